"""Checkpoints: what is saved comes back, and whatever else a file holds ends in one line."""

from __future__ import annotations

import json
import pickle
import struct
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from safetensors.torch import save, save_file

from qsep_live.errors import QsepError
from qsep_live.nets.header import MAX_HEADER, frames_ahead, read_header
from qsep_live.nets.inference import open_backend
from qsep_live.nets.inference_weights import read_weights, separator_shapes
from qsep_live.nets.model import Model, configuration, fingerprint, load_model, save_model
from qsep_live.nets.patch_unet import PatchUNet, PatchUNetConfig
from qsep_live.nets.query_net import QueryNet, QueryNetConfig
from qsep_live.nets.separator import Separator, SeparatorConfig

READERS: dict[str, Callable[[Path], Any]] = {
    "torch": load_model,
    "openvino": lambda path: open_backend(path, "cpu", "openvino"),
}


@pytest.fixture(params=sorted(READERS))
def read(request: pytest.FixtureRequest) -> Callable[[Path], Any]:
    if request.param == "openvino":
        pytest.importorskip("openvino", reason="openvino is not installed")
    return READERS[request.param]


def parts(model: Model) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """Hyperparameters and float32 weights, as a checkpoint holds them."""
    config = configuration(model)
    modules = model.modules().items()
    tensors = {f"{name}.{key}": value.clone() for name, net in modules for key, value in net.state_dict().items()}
    return json.loads(json.dumps(config)), tensors


def forge(path: Path, config: Any, tensors: dict[str, torch.Tensor], **header: Any) -> Path:
    """A checkpoint whose fingerprint is right, whatever else is wrong with it."""
    known = {name: value for name, value in tensors.items() if value.is_floating_point() and value.itemsize < 8}
    entry = {"schema": 1, "config": config, "fingerprint": fingerprint(config, known), "card": {}, **header}
    save_file(tensors, path, {"qsep_live": json.dumps(entry)})
    return path


def refused(read: Callable[[Path], Any], path: Path) -> str:
    with pytest.raises(QsepError) as caught:
        read(path)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert len(message.splitlines()) == 1
    assert len(message) < len(str(path)) + 250
    return message


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_what_is_saved_comes_back(model: Model, tmp_path: Path, dtype: torch.dtype) -> None:
    path = tmp_path / "model.safetensors"
    written = save_model(model, path, dtype)
    found = load_model(path)
    assert (found.fingerprint, found.card) == (written, model.card)
    assert found.separator.config == model.separator.config
    assert found.query_net.config == model.query_net.config
    arrays = read_weights(path).tensors
    for name, module in model.modules().items():
        for key, value in module.state_dict().items():
            stored = value.to(dtype).float()
            torch.testing.assert_close(found.modules()[name].state_dict()[key], stored, rtol=0.0, atol=0.0)
            np.testing.assert_array_equal(arrays[f"{name}.{key}"], stored.numpy())
    assert not any(p.requires_grad for module in found.modules().values() for p in module.parameters())
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_a_loaded_model_can_be_trained_and_saved_again(checkpoint: Path) -> None:
    loaded = load_model(checkpoint)
    assert save_model(loaded, checkpoint) == loaded.fingerprint
    with torch.no_grad():
        next(loaded.query_net.parameters()).add_(1.0)
    assert save_model(loaded, checkpoint) != loaded.fingerprint


def test_the_fingerprint_is_the_one_earlier_checkpoints_have() -> None:
    weights = {"b": torch.arange(6.0).reshape(2, 3), "a": torch.ones(2, dtype=torch.float16)}
    assert fingerprint({"x": {"y": 1}}, weights) == "7b8f3cb0450c9f5e0a7fefd0521b78f5"


@given(st.data())
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_fingerprint_changes_with_any_weight(model: Model, data: st.DataObject) -> None:
    config, tensors = parts(model)
    before = fingerprint(config, tensors)
    flat = tensors[data.draw(st.sampled_from(sorted(tensors)))].view(-1)
    index = data.draw(st.integers(0, len(flat) - 1))
    flat[index] = torch.nextafter(flat[index], torch.tensor(9.0))
    assert fingerprint(config, tensors) != before


def test_the_fingerprint_changes_with_any_hyperparameter_name_or_type(model: Model) -> None:
    config, tensors = parts(model)
    seen = {fingerprint(config, tensors)}
    for network, table in config.items():
        for key, value in table.items():
            changed = [*value, 2] if isinstance(value, list) else value + 1
            seen.add(fingerprint({**config, network: {**table, key: changed}}, tensors))
    seen.add(fingerprint(config, {f"{key}x": value for key, value in tensors.items()}))
    seen.add(fingerprint(config, {key: value.half() for key, value in tensors.items()}))
    assert len(seen) == 3 + sum(len(table) for table in config.values())


@pytest.mark.parametrize(
    "config", [SeparatorConfig(), SeparatorConfig((3, 4), final_adain=False, adain_offset=True), SeparatorConfig((5,))]
)
def test_the_shapes_that_are_required_are_the_separator_s(config: SeparatorConfig) -> None:
    own = {name: tuple(value.shape) for name, value in Separator(config).state_dict().items()}
    assert separator_shapes(json.loads(json.dumps(asdict(config)))) == own


@pytest.mark.parametrize(
    "config",
    [
        PatchUNetConfig(),
        PatchUNetConfig(channels=2),
        PatchUNetConfig((3, 4, 5), (8, 2), squeeze=64),
        PatchUNetConfig((5,), latent=7),
        PatchUNetConfig((4, 5, 6), depth=3),
    ],
)
def test_the_shapes_that_are_required_are_the_patch_unet_s(config: PatchUNetConfig, model: Model) -> None:
    network = PatchUNet(config)
    own = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    header = json.loads(json.dumps(configuration(Model(network, model.query_net))))
    assert separator_shapes(header["separator"]) == own


def test_a_folder_that_is_not_there_is_one_line_and_leaves_nothing(model: Model, tmp_path: Path) -> None:
    with pytest.raises(QsepError, match="could not be written") as caught:
        save_model(model, tmp_path / "none" / "model.safetensors")
    assert len(str(caught.value).splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_missing_and_foreign_files(read: Callable[[Path], Any], tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    assert "No such file" in refused(read, path)
    refused(read, tmp_path)
    for content in (
        b"",
        b"\0" * 7,
        b"\xff" * 64,
        struct.pack("<Q", 1 << 63) + b"{}",
        struct.pack("<Q", MAX_HEADER + 1) + b"{}",
        struct.pack("<Q", 100) + b"{}",
        struct.pack("<Q", 2) + b"{}",
        pickle.dumps({"state_dict": [1.0]}),
        struct.pack("<Q", 500_000) + b"[" * 500_000,
        save({"a": torch.zeros(1)}, {"qsep_live": "[" * 100_000}),
        save({"a": torch.zeros(1)}, {"qsep_live": "9" * 100_000}),
        save({"a": torch.zeros(1)}, {"qsep_live": '{"schema": 1, "config": 3}'}),
        save({"a": torch.zeros(1)}, {"qsep_live": '{"schema": "1", "config": {}}'}),
        save({"a": torch.zeros(1)}, {"other": "{}"}),
        save({"a": torch.zeros(1)}),
    ):
        path.write_bytes(content)
        refused(read, path)


def test_a_pickled_checkpoint_is_refused_and_not_run(read: Callable[[Path], Any], tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "sprung",))

    path = tmp_path / "model.safetensors"
    torch.save({"weights": Trap()}, path)
    refused(read, path)
    assert not (tmp_path / "sprung").exists()


@given(st.data())
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_truncated_checkpoint_is_refused(read: Callable[[Path], Any], checkpoint: Path, data: st.DataObject) -> None:
    whole = checkpoint.read_bytes()
    cut = checkpoint.with_name("cut.safetensors")
    cut.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
    refused(read, cut)


@given(st.binary(max_size=200), st.integers(0, 400))
@example(b"", 2)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_random_bytes_are_refused(read: Callable[[Path], Any], tmp_path: Path, content: bytes, length: int) -> None:
    path = tmp_path / "random.safetensors"
    path.write_bytes(content)
    refused(read, path)
    path.write_bytes(struct.pack("<Q", length) + content)
    refused(read, path)


@given(st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_an_altered_byte_is_refused_or_harmless(
    read: Callable[[Path], Any], checkpoint: Path, data: st.DataObject
) -> None:
    content = bytearray(checkpoint.read_bytes())
    header = 8 + struct.unpack("<Q", content[:8])[0]
    index = data.draw(st.one_of(st.integers(0, header - 1), st.integers(header, len(content) - 1)))
    content[index] ^= data.draw(st.integers(1, 255))
    changed = checkpoint.with_name("changed.safetensors")
    changed.write_bytes(content)
    if index >= header:
        assert "fingerprint" in refused(read, changed)
        return
    # A byte of the card, or of a space, harms nothing; any other error than QsepError fails the test.
    with suppress(QsepError):
        read(changed)


def test_weights_of_another_shape_name_or_type(read: Callable[[Path], Any], model: Model, tmp_path: Path) -> None:
    path = tmp_path / "forged.safetensors"
    config, tensors = parts(model)
    name = "separator.encoder.0.weight"
    read(forge(path, config, tensors))
    changed = [
        {**tensors, name: tensors[name][:, :1].contiguous()},
        {**tensors, name: tensors[name].reshape(-1)},
        {key: value for key, value in tensors.items() if key != name},
        {key: value for key, value in tensors.items() if key != "separator.first.weight"},
        {**tensors, "separator.extra": torch.zeros(1)},
        {**tensors, name: tensors[name].to(torch.int8)},
        {**tensors, name: tensors[name].double()},
        {**tensors, name: torch.full_like(tensors[name], torch.nan)},
        {**tensors, name: tensors[name].index_fill(0, torch.tensor(0), torch.inf)},
        {},
    ]
    for wrong in changed:
        refused(read, forge(path, config, wrong))


@pytest.mark.parametrize(
    "change",
    [
        {"widths": [4096] * 6},
        {"widths": [4, 6, 8]},
        {"widths": [4, 6, 8, 8, 10, -12]},
        {"widths": [4, 6, 8, 8, 10, 0]},
        {"widths": [4, 6, 8, 8, 10, True]},
        {"widths": [4] * 100_000},
        {"widths": []},
        {"widths": 6},
        {"widths": "466"},
        {"widths": [[4]]},
        {"latent": 10**30},
        {"latent": 32.0},
        {"latent": 16},
        {"latent": None},
        {"input_power": "0.5"},
        {"input_power": float("nan")},
        {"input_power": -1.0},
        {"input_power": {}},
        {"final_adain": 1},
        {"final_adain": True},
        {"adain_offset": False},
        {"unknown": 1},
    ],
    ids=lambda change: json.dumps(change)[:40],
)
def test_hyperparameters_that_do_not_fit(
    read: Callable[[Path], Any], model: Model, tmp_path: Path, change: dict[str, Any]
) -> None:
    config, tensors = parts(model)
    config["separator"] |= change
    refused(read, forge(tmp_path / "forged.safetensors", config, tensors))


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "patch-net"},
        {"kind": 1},
        {"widths": [8, 12]},
        {"widths": [8] * 8},
        {"patch": [4]},
        {"patch": [4, 4, 4]},
        {"patch": [3, 4]},
        {"patch": [4, 256]},
        {"patch": [16, 1]},
        {"patch": [0, 4]},
        {"patch": 4},
        {"channels": 1},
        {"channels": 3},
        {"channels": True},
        {"channels": "patch-unet"},
        {"squeeze": 2},
        {"squeeze": 0},
        {"depth": 2},
        {"depth": 0},
        {"depth": 1.0},
        {"bands": 2},
        {"bands": 0},
        {"bands": 7},
        {"bands": 4000},
        {"bands": True},
        {"attention": 1},
        {"attention": -1},
        {"attention": 4000},
        {"attention": False},
        {"per_channel": 1},
        {"per_channel": None},
        {"fine": 4},
        {"fine": -1},
        {"fine": 4000},
        {"fine": False},
        {"latent": 16},
        {"input_power": "0.5"},
        {"unknown": 1},
    ],
    ids=lambda change: json.dumps(change)[:40],
)
def test_hyperparameters_that_do_not_fit_a_patch_unet(
    read: Callable[[Path], Any], model: Model, tmp_path: Path, change: dict[str, Any]
) -> None:
    path = tmp_path / "forged.safetensors"
    config, tensors = parts(Model(PatchUNet(PatchUNetConfig((8, 12, 16), channels=2)), model.query_net))
    read(forge(path, config, tensors))
    config["separator"] |= change
    refused(read, forge(path, config, tensors))


@pytest.mark.parametrize("patch", [(1, 4), (4, 1)])
def test_a_finer_level_needs_patches_that_halve(
    read: Callable[[Path], Any], model: Model, tmp_path: Path, patch: tuple[int, int]
) -> None:
    path = tmp_path / "forged.safetensors"
    config, tensors = parts(Model(PatchUNet(PatchUNetConfig((8, 12, 16), patch)), model.query_net))
    read(forge(path, config, tensors))
    config["separator"] |= {"fine": 2}
    refused(read, forge(path, config, tensors))


def test_an_older_patch_unet_has_a_block_a_level_and_nothing_that_came_later(
    read: Callable[[Path], Any], model: Model, tmp_path: Path
) -> None:
    path = tmp_path / "older.safetensors"
    config, tensors = parts(Model(PatchUNet(PatchUNetConfig((8, 12, 16), channels=2)), model.query_net))
    for name in ("depth", "bands", "attention", "fine", "per_channel"):
        del config["separator"][name]
    read(forge(path, config, tensors))
    separator = load_model(path).separator
    assert isinstance(separator, PatchUNet)
    made = separator.config
    assert (made.depth, made.bands, made.attention, made.fine, made.per_channel) == (1, 1, 0, 0, False)


def test_the_rest_of_the_header(read: Callable[[Path], Any], model: Model, tmp_path: Path) -> None:
    path = tmp_path / "forged.safetensors"
    config, tensors = parts(model)
    for header in ({"card": [1]}, {"fingerprint": None}, {"fingerprint": "0" * 32}, {"schema": 2}, {"schema": None}):
        refused(read, forge(path, config, tensors, **header))
    for wrong in ({}, [], {"separator": config["separator"]}, {**config, "separator": []}, {**config, "third": {}}):
        refused(read, forge(path, wrong, tensors))


def test_networks_that_differ_in_their_latent(model: Model, tmp_path: Path) -> None:
    query_net = QueryNet(replace(QueryNetConfig((2,) * 6, gru_units=4), latent=16))
    path = tmp_path / "model.safetensors"
    save_model(Model(model.separator, query_net), path)
    assert "latent" in refused(load_model, path)


def test_the_header_is_read_without_the_weights(checkpoint: Path, model: Model) -> None:
    content = checkpoint.read_bytes()
    length = struct.unpack("<Q", content[:8])[0]
    checkpoint.write_bytes(content[: 8 + length])
    header = read_header(checkpoint)
    assert header["card"] == model.card
    assert header["config"]["separator"]["input_power"] == 0.5


@pytest.mark.parametrize(("card", "ahead"), [({}, 0), ({"ahead": 0}, 0), ({"ahead": 12}, 12)])
def test_the_card_says_how_many_frames_ahead(card: dict[str, Any], ahead: int) -> None:
    assert frames_ahead(Path("m"), {"card": card}) == ahead
    assert frames_ahead(Path("m"), {}) == 0


@pytest.mark.parametrize("ahead", [-1, 65, 1.5, "12", True, None, [3]])
def test_frames_ahead_that_cannot_be_meant(ahead: Any) -> None:
    with pytest.raises(QsepError, match="must be 0 to 64 frames"):
        frames_ahead(Path("m"), {"card": {"ahead": ahead}})

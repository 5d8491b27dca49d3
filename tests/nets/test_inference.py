"""Backends: every one agrees with the reference, and says in one line what it cannot do."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from qsep_live.dsp.grid import BINS, FRAMES
from qsep_live.errors import QsepError, UsageError
from qsep_live.nets.inference import devices, open_backend
from qsep_live.nets.model import Model, save_model
from qsep_live.nets.openvino_unet import tiled_kernel
from qsep_live.nets.patch_unet import PatchUNet
from qsep_live.nets.separator import Separator

Sound = tuple[NDArray[np.float32], NDArray[np.float32]]

TOLERANCE = 1e-4
"""Of a mask, -80 dB: sums in another order, and OpenVINO's own power and sigmoid."""
SILENT_TOLERANCE = 1e-3
"""The same of (almost) nothing, where instance norms magnify rounding."""
HALF_TOLERANCE = 0.02
"""Of a mask in float16, on CUDA."""

needs_openvino = pytest.mark.skipif(find_spec("openvino") is None, reason="openvino is not installed")
BACKENDS = [pytest.param("openvino", marks=needs_openvino), "torch"]


def reference(separator: Separator | PatchUNet, sound: Sound) -> NDArray[np.float32]:
    magnitude, z = (torch.from_numpy(part) for part in sound)
    mask: NDArray[np.float32] = separator(magnitude[None], z[None])[0, 0].numpy()
    return mask


@pytest.fixture
def heard(sound: Sound, random_model: Model) -> Sound:
    """As much of the sound as the network hears."""
    return sound[0][: random_model.channels], sound[1]


@pytest.fixture
def random_model(any_separator: Separator | PatchUNet, model: Model) -> Model:
    return Model(any_separator, model.query_net, fingerprint="0123")


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("threads", [1, 2])
def test_it_agrees_with_the_separator(random_model: Model, heard: Sound, backend: str, threads: int) -> None:
    network = open_backend(random_model, "cpu", backend, threads)
    assert network.name == f"{backend} cpu"
    assert network.fingerprint == "0123"
    assert network.channels == random_model.channels
    for gain, latent in ((1.0, 1.0), (1.0, 3.0), (1.0, 0.0), (1e-3, 3.0), (0.0, 1.0)):
        given = heard[0] * np.float32(gain), heard[1] * np.float32(latent)
        mask = network(*given)
        assert (mask.shape, mask.dtype) == ((BINS, FRAMES), np.float32)
        assert mask.min() >= 0.0
        assert mask.max() <= 1.0
        tolerance = TOLERANCE if gain == 1.0 else SILENT_TOLERANCE
        np.testing.assert_allclose(mask, reference(random_model.separator, given), rtol=0.0, atol=tolerance)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_window_may_be_shorter(random_model: Model, heard: Sound, backend: str) -> None:
    network = open_backend(random_model, "cpu", backend)
    network.warm_up(128)
    for frames in (128, FRAMES, 96, 128):
        newest = np.ascontiguousarray(heard[0][..., -frames:]), heard[1]
        mask = network(*newest)
        assert mask.shape == (BINS, frames)
        np.testing.assert_allclose(mask, reference(random_model.separator, newest), rtol=0.0, atol=TOLERANCE)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_window_that_the_network_does_not_take_is_one_line(random_model: Model, backend: str) -> None:
    network = open_backend(random_model, "cpu", backend)
    for frames in (FRAMES + 64, 101, 1):
        with pytest.raises(UsageError, match=rf"{frames} frames: this model takes a multiple of \d+, up to {FRAMES}"):
            network.warm_up(frames)


@pytest.mark.parametrize("backend", BACKENDS)
def test_several_latents_give_the_mask_of_each(random_model: Model, heard: Sound, backend: str) -> None:
    magnitude, z = heard
    several = np.stack([z, -2.0 * z, np.roll(z, 5)])
    network = open_backend(random_model, "cpu", backend, latents=3)
    network.warm_up()
    masks = network(magnitude, several)
    assert (masks.shape, masks.dtype) == ((3, BINS, FRAMES), np.float32)
    for mask, latent in zip(masks, several, strict=True):
        wanted = reference(random_model.separator, (magnitude, latent))
        np.testing.assert_allclose(mask, wanted, rtol=0.0, atol=TOLERANCE)
    assert np.abs(masks[0] - masks[1]).max() > 100 * TOLERANCE
    with pytest.raises(ValueError, match=r"must be .* \(3, 32\)"):
        network(magnitude, z)


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_same_input_gives_the_same_mask(random_model: Model, heard: Sound, backend: str) -> None:
    network = open_backend(random_model, "cpu", backend)
    network.warm_up()
    first = network(*heard)
    kept = first.copy()
    other = network(heard[0][:, ::-1], -heard[1])
    assert not np.array_equal(other, kept)
    assert first.tobytes() == kept.tobytes(), "a mask is the caller's own"
    assert network(*heard).tobytes() == kept.tobytes()
    assert open_backend(random_model, "cpu", backend)(*heard).tobytes() == kept.tobytes()


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_checkpoint_and_the_model_in_memory_give_the_same_mask(
    random_model: Model, tmp_path: Path, heard: Sound, backend: str
) -> None:
    path = tmp_path / "model.safetensors"
    random_model.fingerprint = save_model(random_model, path, torch.float32)
    loaded, kept = open_backend(path, "cpu", backend), open_backend(random_model, "cpu", backend)
    assert loaded.fingerprint == kept.fingerprint == random_model.fingerprint
    assert loaded.channels == kept.channels == random_model.channels
    assert loaded(*heard).tobytes() == kept(*heard).tobytes()


@needs_openvino
def test_a_signal_after_two_networks_were_let_go(model: Model, tmp_path: Path) -> None:
    save_model(model, tmp_path / "model.safetensors", torch.float32)
    code = """
import os, pathlib, signal, sys
from qsep_live.nets.inference import open_backend
signal.signal(signal.SIGINT, lambda *_: print("heard"))
networks = [open_backend(pathlib.Path(sys.argv[1]), "cpu", "openvino") for _ in range(2)]
for network in networks:
    network.warm_up()
del network
while networks:
    del networks[0]
os.kill(os.getpid(), signal.SIGINT)
"""
    command = [sys.executable, "-c", code, str(tmp_path / "model.safetensors")]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (ended.returncode, ended.stdout) == (0, "heard\n"), ended.stderr


@pytest.mark.parametrize("backend", BACKENDS)
def test_another_shape_is_refused(random_model: Model, heard: Sound, sound: Sound, backend: str) -> None:
    network = open_backend(random_model, "cpu", backend)
    magnitudes = sound[0]
    for magnitude, z in (
        (heard[0][:, :32], heard[1]),
        (heard[0][0], heard[1]),
        (heard[0][None], heard[1]),
        (magnitudes[: 3 - network.channels], heard[1]),
        (heard[0], heard[1][:16]),
        (heard[0], heard[1][None]),
    ):
        with pytest.raises(ValueError, match=rf"must be \({network.channels}, {BINS}, \d+\)"):
            network(magnitude, z)


@needs_openvino
def test_inexact_masks_are_near(random_model: Model, heard: Sound) -> None:
    """In bfloat16 where the CPU has it; elsewhere the same bits, and the name says which."""
    exact, fast = (open_backend(random_model, "cpu", "openvino", exact=exact) for exact in (True, False))
    mask, near = exact(*heard), fast(*heard)
    if fast.name == exact.name:
        np.testing.assert_array_equal(near, mask)
    else:
        assert fast.name == "openvino cpu bf16"
        assert 0.0 < np.sqrt(np.mean((near - mask) ** 2)) < HALF_TOLERANCE
    assert near.min() >= 0.0
    assert near.max() <= 1.0
    assert fast(*heard).tobytes() == near.tobytes()


def test_a_model_in_memory_stays_as_it_is(model: Model, sound: Sound) -> None:
    model.separator.requires_grad_(True)
    before = {name: value.clone() for name, value in model.separator.state_dict().items()}
    for backend in ("auto", "torch"):
        open_backend(model, "cpu", backend)(sound[0][:1], sound[1])
    assert all(parameter.requires_grad for parameter in model.separator.parameters())
    assert all(torch.equal(before[name], value) for name, value in model.separator.state_dict().items())


@needs_openvino
def test_auto_on_the_cpu_loads_neither_torch_nor_openvino_s_reporter(checkpoint: Path) -> None:
    script = (
        "import json, sys; from pathlib import Path; from qsep_live.nets.inference import open_backend\n"
        "network = open_backend(Path(sys.argv[1]), 'cpu'); network.warm_up()\n"
        "names = {name.partition('.')[0] for name, module in sys.modules.items() if module is not None}\n"
        "print(json.dumps([network.name, sorted(names & {'torch', 'openvino', 'openvino_telemetry'})]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, checkpoint], capture_output=True, text=True, check=True, timeout=120
    )
    assert json.loads(done.stdout) == ["openvino cpu", ["openvino"]]


@needs_openvino
@pytest.mark.parametrize("channels", [1, 5])
def test_tiles_of_the_last_layer_are_its_transposed_convolution(channels: int) -> None:
    torch.manual_seed(0)
    layer = torch.nn.ConvTranspose2d(channels, 1, 4, (2, 1), padding=1, bias=False).double()
    x = torch.randn(1, channels, 6, 12, dtype=torch.float64)
    kernel = torch.from_numpy(tiled_kernel(layer.weight.detach().float().numpy())).double()
    tiles = torch.nn.functional.conv2d(torch.nn.functional.pad(x, (2, 1, 1, 1)), kernel, stride=(2, 4))
    found = torch.nn.functional.pixel_shuffle(tiles, 4)
    torch.testing.assert_close(found, layer(x)[..., :12], rtol=0.0, atol=1e-6)


def test_a_device_that_is_not_here_is_a_usage_error_that_says_which_are(checkpoint: Path) -> None:
    absent = [device for device in ("cuda", "mps") if device not in devices()]
    assert absent, "no machine has both"
    for device in absent:
        with pytest.raises(UsageError) as caught:
            open_backend(checkpoint, device)
        assert str(caught.value) == f"there is no {device} device here; this machine has: {', '.join(devices())}"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"device": "gpu"}, "auto, cpu, cuda, mps"),
        ({"backend": "onnx"}, "auto, openvino, torch"),
        ({"threads": 0}, "1 or more"),
        ({"backend": "openvino", "device": "cuda"}, "not cuda"),
    ],
)
def test_what_cannot_be_meant_is_a_usage_error(checkpoint: Path, options: dict[str, object], told: str) -> None:
    with pytest.raises(UsageError, match=told) as caught:
        open_backend(checkpoint, **options)  # type: ignore[arg-type]
    assert len(str(caught.value).splitlines()) == 1


def test_openvino_asked_for_but_not_installed(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qsep_live.nets.inference._has_openvino", lambda: False)
    with pytest.raises(UsageError, match="pip install openvino"):
        open_backend(checkpoint, backend="openvino")
    assert open_backend(checkpoint, "cpu").name == "torch cpu"


def test_a_missing_checkpoint_is_one_line(tmp_path: Path) -> None:
    for backend in ("auto", "torch"):
        with pytest.raises(QsepError, match="No such file"):
            open_backend(tmp_path / "none.safetensors", "cpu", backend)


if torch.cuda.is_available():  # Not a skip: where everything is required a skipped test has failed.

    @pytest.mark.parametrize("graph", [True, False])
    def test_cuda_agrees_with_the_separator(random_model: Model, heard: Sound, graph: bool) -> None:
        network = open_backend(random_model, "cuda", graph=graph)
        network.warm_up()
        for latent in (heard[1], -heard[1]):
            mask = network(heard[0], latent)
            wanted = reference(random_model.separator, (heard[0], latent))
            np.testing.assert_allclose(mask, wanted, rtol=0.0, atol=HALF_TOLERANCE)
            assert network(heard[0], latent).tobytes() == mask.tobytes()
        newest = np.ascontiguousarray(heard[0][..., -128:]), heard[1]
        wanted = reference(random_model.separator, newest)
        np.testing.assert_allclose(network(*newest), wanted, rtol=0.0, atol=HALF_TOLERANCE)

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from safetensors.numpy import save_file

from qsep_live.errors import QsepError, UsageError
from qsep_live.models.adapters import htdemucs_weights
from qsep_live.models.adapters.htdemucs_hub import read_hub
from qsep_live.models.adapters.htdemucs_weights import Network, load_network, read_onnx, read_source, save_network


def one_line(error: pytest.ExceptionInfo[QsepError], *words: str) -> None:
    text = str(error.value)
    assert "\n" not in text
    assert len(text) < 500
    assert all(word in text for word in words), text


def test_every_tensor_of_the_network_is_in_the_file(real: Network) -> None:
    assert len(real.state) == 533
    assert real.stems == ("drums", "bass", "other", "vocals")
    # Meta published half precision: tensors that went to a wrong place would still be half precision, but the
    # embedding, which the file holds multiplied by its scale, would not be.
    embedding = real.state["freq_emb.embedding.weight"]
    np.testing.assert_array_equal(embedding, embedding.astype(np.float16))


def graph_of(tensors: list[Any], path: Path) -> Path:
    graph = onnx.helper.make_graph([], "hostile", [], [], tensors)
    onnx.save(onnx.helper.make_model(graph), str(path))
    return path


def tensor(name: str, shape: tuple[int, ...]) -> Any:
    return onnx.numpy_helper.from_array(np.ones(shape, np.float32), name)


def test_truncated_file_is_one_line(onnx_file: Path, tmp_path: Path) -> None:
    with onnx_file.open("rb") as file:
        (tmp_path / "cut.onnx").write_bytes(file.read(1_000_000))
    with pytest.raises(QsepError) as error:
        read_source(tmp_path / "cut.onnx")
    one_line(error, "cut.onnx", "not the ONNX file of HTDemucs")


@pytest.mark.parametrize("data", [b"", b"hello", b"\x00" * 1000])
def test_no_onnx_is_one_line(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "no.onnx").write_bytes(data)
    with pytest.raises(QsepError) as error:
        read_source(tmp_path / "no.onnx")
    one_line(error, "no.onnx")


def test_other_architecture_is_one_line(tmp_path: Path) -> None:
    path = graph_of(
        [tensor("encoder.0.conv.weight", (3, 3)), tensor("onnx::Expand_9", (1, 4, 5, 1))], tmp_path / "o.onnx"
    )
    with pytest.raises(QsepError) as error:
        read_source(path)
    one_line(error, "of another architecture")


def test_external_data_is_refused(tmp_path: Path) -> None:
    secret = tmp_path / "secret.bin"
    secret.write_bytes(np.ones(4, np.float32).tobytes())
    outside = tensor("onnx::MatMul_1", (4,))
    outside.ClearField("raw_data")
    outside.data_location = onnx.TensorProto.EXTERNAL
    outside.external_data.add(key="location", value="secret.bin")
    with pytest.raises(QsepError) as error:
        read_source(graph_of([outside], tmp_path / "outside.onnx"))
    one_line(error, "other files, which are not read")


@pytest.mark.parametrize("dims", [(2**40, 2**40), (-1,), (0,), (5,)])
def test_hostile_shapes_are_refused(dims: tuple[int, ...], tmp_path: Path) -> None:
    hostile = tensor("onnx::MatMul_1", (4,))
    del hostile.dims[:]
    hostile.dims.extend(dims)
    with pytest.raises(QsepError) as error:
        read_source(graph_of([hostile], tmp_path / "hostile.onnx"))
    one_line(error, "has other bytes than its shape asks for")


def test_large_file_is_not_opened(tmp_path: Path) -> None:
    path = tmp_path / "large.onnx"
    with path.open("wb") as file:
        file.truncate(htdemucs_weights.LARGEST + 1)
    with pytest.raises(QsepError) as error:
        read_source(path)
    one_line(error, "400 MB")


def test_pickle_is_refused_unread(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
            return Path.touch, (tmp_path / "ran",)

    (tmp_path / "955717e8.th").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(QsepError) as error:
        read_source(tmp_path / "955717e8.th")
    one_line(error, "pickle")
    assert not (tmp_path / "ran").exists()


def test_own_file_gives_the_same_network(small: Network, tmp_path: Path) -> None:
    save_network(small, tmp_path / "own.safetensors")
    again = load_network(tmp_path / "own.safetensors")
    assert dict(again.settings) == dict(small.settings)
    for name, value in small.state.items():
        np.testing.assert_array_equal(again.state[name], value)


def package_file(network: Network, path: Path, **changes: Any) -> Path:
    """As demucs 4.1 publishes: class and arguments in the header."""
    words = {
        "klass": "demucs.htdemucs.HTDemucs",
        "args": "[]",
        "kwargs": json.dumps(
            {**network.settings, "segment": {"_type": "fraction", "numerator": 39, "denominator": 5}, "of_old": 1}
        ),
    }
    save_file({name: value.astype(np.float16) for name, value in network.state.items()}, path, {**words, **changes})
    return path


@pytest.mark.filterwarnings("ignore:Dropping inexistant parameter")
def test_package_file_is_read_as_the_package_reads_it(small: Network, tmp_path: Path) -> None:
    from demucs.hf import load_safetensors_model

    path = package_file(small, tmp_path / "aa.safetensors")
    wanted = load_safetensors_model(path).state_dict()
    given = read_source(path).networks[0].state
    assert set(given) == set(wanted)
    for name, value in given.items():
        np.testing.assert_array_equal(value, wanted[name].float().numpy())


@pytest.mark.parametrize(
    "changes",
    [
        {"klass": "os.system"},
        {"klass": "demucs.hdemucs.HDemucs"},
        {"structure": "{}"},
        {"kwargs": "[]"},
        {"kwargs": '{"sources": ["a"], "channels": 1000000}'},
        {"kwargs": '{"sources": ["a"], "channels": "many"}'},
        {"kwargs": '{"sources": []}'},
        {"args": "nonsense"},
    ],
)
def test_package_file_of_something_else_is_one_line(changes: dict[str, str], small: Network, tmp_path: Path) -> None:
    with pytest.raises(QsepError) as error:
        read_source(package_file(small, tmp_path / "odd.safetensors", **changes))
    one_line(error, "odd.safetensors")


def test_numbers_that_are_not_finite_are_refused(small: Network, tmp_path: Path) -> None:
    state = dict(small.state)
    name = "encoder.0.conv.bias"
    state[name] = np.full_like(state[name], np.nan)
    with pytest.raises(QsepError) as error:
        read_source(package_file(Network(small.settings, state), tmp_path / "nan.safetensors"))
    one_line(error, name, "not finite")


def test_hub_gives_a_bag(small: Network, tmp_path: Path) -> None:
    (tmp_path / "htdemucs_ft.yaml").write_text("models: ['aa', 'bb']\nweights: [[1, 1, 0, 2], [0, 1, 1, 2]]")
    package_file(small, tmp_path / "aa.safetensors")
    package_file(small, tmp_path / "bb.safetensors")
    asked = []

    def fetch(repository: str, file: str) -> Path:
        asked.append((repository, file))
        return tmp_path / file

    bag = read_hub("htdemucs_ft", fetch)
    assert bag.shares == ((1.0, 0.5, 0.0, 0.5), (0.0, 0.5, 1.0, 0.5))
    assert asked[0] == ("adefossez/HTDemucs-ft", "htdemucs_ft.yaml")
    assert all(file.endswith((".yaml", ".safetensors")) for _, file in asked)


def test_repositories_are_those_of_the_package() -> None:
    from demucs.hf import DEFAULT_NAMESPACE, hf_repo_name

    from qsep_live.models.adapters.htdemucs_hub import NAMES, OWNER

    assert OWNER == DEFAULT_NAMESPACE
    assert all(hf_repo_name(name) == repository for name, repository in NAMES.items())


def test_hub_that_fails_is_one_line() -> None:
    def fetch(repository: str, file: str) -> Path:
        raise ConnectionError("no route\nto host")

    with pytest.raises(QsepError) as error:
        read_hub("htdemucs", fetch)
    one_line(error, "adefossez/HTDemucs/htdemucs.yaml could not be fetched: no route")
    with pytest.raises(UsageError):
        read_hub("mdx_q", fetch)


@pytest.mark.parametrize("text", ["", "models: ['../../x']", "models: [1]", "models: ['aa']\nweights: [[1]]", "a: [b"])
def test_recipe_of_something_else_is_one_line(text: str, small: Network, tmp_path: Path) -> None:
    (tmp_path / "htdemucs.yaml").write_text(text)
    package_file(small, tmp_path / "aa.safetensors")
    with pytest.raises(QsepError) as error:
        read_hub("htdemucs", lambda repository, file: tmp_path / file)
    one_line(error, "htdemucs.yaml")


def test_missing_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(QsepError) as error:
        read_onnx(tmp_path / "none.onnx")
    one_line(error, "none.onnx", "No such file")

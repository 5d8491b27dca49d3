"""A model whose network keeps its state, through the command line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from qsep_live.latent.preset import Preset
from qsep_live.latent.preset_file import save_preset
from qsep_live.nets.band_stream import BandStream, BandStreamConfig
from qsep_live.nets.model import Model, save_model
from qsep_live.nets.query_net import QueryNet, QueryNetConfig


@pytest.fixture(scope="module")
def open_gate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A small network whose gains are all but 1: its last layer's bias is so high that nothing else has a say."""
    torch.manual_seed(4)
    network = BandStream(BandStreamConfig(width=8, shared=1, steered=1))
    torch.nn.init.constant_(network.bias, 30.0)
    query_net = QueryNet(QueryNetConfig(channels=(2, 2, 4, 4, 4, 4), gru_units=8))
    path = tmp_path_factory.mktemp("stream") / "open.safetensors"
    return path, save_model(Model(network, query_net), path)


@pytest.fixture
def presets(home: Path, open_gate: tuple[Path, str]) -> None:
    for name in ("red", "blue"):
        save_preset(Preset(name, np.full(32, 0.5, np.float32), open_gate[1], name), home / "presets")


@pytest.mark.parametrize("delay", [[], ["--delay", "23ms"], ["--delay", "0ms"]])
@pytest.mark.parametrize("rate", [44_100, 48_000])
def test_a_file_comes_out_as_long_and_in_time(
    qsep: Callable[..., Any], wav: Callable[..., Path], presets: None, open_gate: tuple[Path, str],
    delay: list[str], rate: int,
) -> None:  # fmt: skip
    """Gains of 1 give the file back, which gains of another time or a wrong length would not."""
    source = wav("in.wav", 2.0, rate, subtype="FLOAT")
    told = qsep("-i", source, "-o", "out.wav", "-p", "red", "--model", open_gate[0], *delay)
    assert told.code == 0, told.err
    given, _ = soundfile.read(source)
    heard, heard_rate = soundfile.read("out.wav")
    assert (heard.shape, heard_rate) == (given.shape, rate)
    # Gains count from the first one on; a gap before it is dry or silent, as live.
    settled = slice(rate // 4, -rate // 20)
    np.testing.assert_allclose(heard[settled], given[settled], atol=2e-3)


def test_the_same_bytes_twice_and_for_each_of_several_presets(
    qsep: Callable[..., Any], wav: Callable[..., Path], presets: None, open_gate: tuple[Path, str]
) -> None:
    source = wav("in.wav", 1.5)
    for folder in ("a", "b"):
        told = qsep("render", source, "-o", folder, "-p", "red,blue", "--model", open_gate[0])
        assert told.code == 0, told.err
    names = sorted(path.name for path in Path("a").rglob("*.wav"))
    assert len(names) == 2
    for path in Path("a").rglob("*.wav"):
        assert path.read_bytes() == (Path("b") / path.relative_to("a")).read_bytes()


def test_a_preset_of_another_model_is_refused(
    qsep: Callable[..., Any], wav: Callable[..., Path], presets: None, open_gate: tuple[Path, str]
) -> None:
    told = qsep("-i", wav("in.wav"), "-o", "out.wav", "-p", "one", "--model", open_gate[0])
    told.fails(told.code, "preset 'one'")
    assert told.code != 0
    assert not Path("out.wav").exists()

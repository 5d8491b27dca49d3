from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qsep_live.audio import demo
from qsep_live.audio.files import read_audio
from qsep_live.bundled import bundled_folder


@pytest.fixture
def short_song(monkeypatch: pytest.MonkeyPatch) -> demo.DemoSong:
    song = demo.demo_song(2.0)
    monkeypatch.setattr(demo, "demo_song", lambda: song)
    return song


def test_tells_what_it_did(
    qsep: Callable[..., Any], tiny_model: tuple[Path, str], short_song: demo.DemoSong, work: Path
) -> None:
    arguments = ("demo", "-o", "out.wav", "-p", "one", "--mixture", "--model", tiny_model[0])
    told = qsep(*arguments)
    assert (told.code, told.err) == (0, "")
    for word in ("out.wav", "one", "delay", "mask age", "times real time", "out-mixture.wav"):
        assert word in told.out
    assert "SDR" not in told.out  # "one" is no stem of the song
    assert read_audio("out.wav")[0].shape == short_song.mixture.shape
    np.testing.assert_allclose(read_audio("out-mixture.wav")[0], short_song.mixture, atol=1e-6)
    assert qsep(*arguments).code == 0  # again, over the files of the first time
    assert sorted(path.name for path in work.iterdir()) == ["out-mixture.wav", "out.wav"]


def test_a_live_delay_can_be_heard(
    qsep: Callable[..., Any], tiny_model: tuple[Path, str], short_song: demo.DemoSong
) -> None:
    told = qsep("demo", "-p", "one", "--delay", "60ms", "--json", "--model", tiny_model[0])
    assert told.code == 0
    (line,) = told.out.splitlines()
    result = json.loads(line)
    assert result["delay"] == 0.06
    assert result["mask_age"] == [0.0, 0.05]
    assert result["latency_removed"] == pytest.approx(0.06, abs=1e-4)
    assert read_audio("vocals.wav")[0].shape == short_song.mixture.shape


def test_the_model_that_comes_along_finds_the_voice(qsep: Callable[..., Any]) -> None:
    assert (bundled_folder("models") / "default.safetensors").is_file()
    told = qsep("demo", "--json")
    assert told.code == 0, told.err
    result = json.loads(told.out)
    assert result["sdr"] > result["sdr_of_mixture"] + 3.0
    assert read_audio("vocals.wav")[0].shape == (882000, 2)

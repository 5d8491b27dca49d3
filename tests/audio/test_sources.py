from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from qsep_live.audio.demo import demo_song
from qsep_live.audio.sources import FileSource
from qsep_live.audio.writer import write_audio
from qsep_live.errors import QsepError


def play(source: FileSource, frames: int | None = None, block: int = 256) -> np.ndarray:
    """Read to the end (or so many frames), waiting where the thread is behind."""
    assert source.wait_ready()
    got, out, count = [], np.empty((block, source.channels), np.float32), 0
    deadline = time.monotonic() + 60
    while not source.finished and (frames is None or count < frames):
        assert time.monotonic() < deadline
        n = source.read_into(out)
        assert not out[n:].any()
        got.append(out[:n].copy())
        count += n
        if n < block:
            time.sleep(0.002)
    return np.concatenate(got)


def tone(frames: int, channels: int, rate: int) -> np.ndarray:
    at = np.arange(frames)[:, None] / rate
    return (0.4 * np.sin(2 * np.pi * 500 * at * (1 + np.arange(channels)))).astype(np.float32)


def test_a_file_arrives_bit_for_bit(tmp_path: Path) -> None:
    sound = np.random.default_rng(0).standard_normal((250_001, 2)).astype(np.float32)
    source = FileSource(write_audio(tmp_path / "a.wav", sound, 44100, "FLOAT"), 44100, 2)
    assert play(source).tobytes() == sound.tobytes()
    assert source.finished
    assert source.error is None
    assert source.position == source.frames == len(sound)
    source.close()


@pytest.mark.parametrize(("file_rate", "rate"), [(48000, 44100), (44100, 96000), (8000, 44100)])
def test_another_rate_is_resampled_in_time(tmp_path: Path, file_rate: int, rate: int) -> None:
    path = write_audio(tmp_path / "a.wav", tone(2 * file_rate, 2, file_rate), file_rate, "FLOAT")
    source = FileSource(path, rate, 2)
    got = play(source)
    assert len(got) == source.frames == 2 * rate
    assert source.seconds == 2
    assert np.abs(got - tone(2 * rate, 2, rate))[rate // 10 : -rate // 10].max() < 0.02
    source.close()


@pytest.mark.parametrize(
    ("have", "want", "mix"),
    [
        (1, 2, [[1, 1]]),
        (2, 1, [[0.5], [0.5]]),
        (2, 2, [[1, 0], [0, 1]]),
        (3, 2, [[0.5, 0], [0, 1], [0.5, 0]]),
        (2, 3, [[1, 0, 0], [0, 1, 0]]),
    ],
)
def test_channels_are_fitted(tmp_path: Path, have: int, want: int, mix: list[list[float]]) -> None:
    sound = np.random.default_rng(1).standard_normal((5000, have)).astype(np.float32)
    source = FileSource(write_audio(tmp_path / "a.wav", sound, 44100, "FLOAT"), 44100, want)
    assert np.allclose(play(source), sound @ np.array(mix, np.float32), atol=1e-6)
    source.close()


def test_a_loop_goes_round_without_a_gap(tmp_path: Path) -> None:
    sound = np.random.default_rng(2).standard_normal((3000, 2)).astype(np.float32)
    path = write_audio(tmp_path / "a.wav", sound, 44100, "FLOAT")
    source = FileSource(path, 44100, 2, loop=True)
    got = play(source, 20_000)
    assert (got == np.tile(sound, (9, 1))[: len(got)]).all()
    assert not source.finished
    source.close()


def test_the_demo_song_is_a_source() -> None:
    source = FileSource("demo", 44100, 2)
    got = play(source, 30_000)
    assert (got == demo_song().mixture[: len(got)]).all()
    assert source.seconds == 20
    source.close()


def test_a_file_that_ends_early_is_told_and_ends_the_source(tmp_path: Path) -> None:
    path = write_audio(tmp_path / "a.flac", tone(200_000, 2, 44100), 44100)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    source = FileSource(path, 44100, 2)
    got = play(source)
    assert 0 < len(got) < 200_000
    assert source.error is not None
    assert "truncated or damaged" in source.error
    source.close()


def test_a_missing_file_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(QsepError, match="no such file"):
        FileSource(tmp_path / "no.wav", 44100, 2)


def test_a_late_thread_is_an_underrun_but_the_end_is_not(tmp_path: Path) -> None:
    path = write_audio(tmp_path / "a.wav", tone(100_000, 2, 44100), 44100)
    source = FileSource(path, 44100, 2, ahead=0.1)
    assert source.wait_ready()
    assert source.read_into(np.empty((50_000, 2), np.float32)) <= 8192 + 4096
    assert source.missed > 0
    play(source)
    assert source.read_into(np.empty((256, 2), np.float32)) == 0
    assert source.finished
    source.close()


def test_nan_is_counted(tmp_path: Path) -> None:
    sound = tone(5000, 2, 44100)
    sound[77] = np.nan
    source = FileSource(write_audio(tmp_path / "a.wav", sound, 44100, "FLOAT"), 44100, 2)
    assert np.isfinite(play(source)).all()
    assert source.repaired == 2
    source.close()

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qsep_live.audio.files import open_audio, read_audio
from qsep_live.audio.writer import AudioWriter, write_audio
from qsep_live.errors import QsepError


def tone(frames: int = 30000, channels: int = 2, rate: int = 44100) -> np.ndarray:
    at = np.arange(frames)[:, None] / rate
    return (0.4 * np.sin(2 * np.pi * 440 * at * (1 + np.arange(channels)))).astype(np.float32)


@pytest.mark.parametrize(
    ("suffix", "rate", "tolerance"),
    [
        ("wav", 44100, 1e-6),
        ("flac", 96000, 1e-6),
        ("aiff", 44100, 1e-6),
        ("ogg", 44100, 0.02),
        ("opus", 48000, 0.02),
        ("mp3", 44100, 0.02),
    ],
)
def test_every_format_is_read_back(tmp_path: Path, suffix: str, rate: int, tolerance: float) -> None:
    sound = tone(rate=rate)
    path = write_audio(tmp_path / f"a.{suffix}", sound, rate)
    with open_audio(path) as reader:
        assert (reader.rate, reader.channels, reader.frames) == (rate, 2, len(sound))
        blocks = [reader.read(777) for _ in range(-(-len(sound) // 777))]
        assert len(reader.read(10)) == 0
        got = np.concatenate(blocks)
        middle = slice(2000, -2000)
        assert np.abs(got - sound)[middle].max() < tolerance
        reader.seek(5000)
        assert np.abs(reader.read(300) - got[5000:5300]).max() < 1e-3
    assert list(tmp_path.iterdir()) == [path]


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(0, 9000), min_size=1, max_size=8), st.integers(1, 6))
def test_any_chunking_reads_and_writes_the_same(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], channels: int
) -> None:
    folder = tmp_path_factory.mktemp("chunks")
    sound = np.random.default_rng(sum(sizes)).standard_normal((sum(sizes) + 1, channels)).astype(np.float32)
    with AudioWriter(folder / "a.wav", 44100, channels, "FLOAT") as writer:
        start = 0
        for size in [*sizes, 1]:
            writer.write(sound[start : start + size])
            start += size
    with open_audio(folder / "a.wav") as reader:
        got = np.concatenate(list(reader.blocks(1234)))
    assert got.tobytes() == sound.tobytes()


def test_missing_names_the_nearest(tmp_path: Path) -> None:
    write_audio(tmp_path / "song.wav", tone(), 44100)
    with pytest.raises(QsepError, match=r"no such file \(did you mean song\.wav\?\)"):
        open_audio(tmp_path / "sogn.wav")


def hostile(folder: Path, name: str) -> Path:
    """Make a file that is not a whole sound file."""
    path = folder / name
    whole = folder / f"whole{path.suffix}"
    if name.startswith("cut"):
        rate = 48000 if path.suffix == ".opus" else 44100
        data = write_audio(whole, tone(60000, rate=rate), rate).read_bytes()
        path.write_bytes(data[: len(data) // 2])
    elif name == "folder":
        path.mkdir()
    elif name == "header.wav":
        path.write_bytes(write_audio(whole, tone(), 44100).read_bytes()[:30])
    elif name == "silent.wav":
        write_audio(path, np.zeros((0, 2)), 44100)
    elif name == "pipe.wav":
        os.mkfifo(path)
    else:
        contents = {"empty.wav": b"", "text.wav": b"hello\n" * 99, "x.raw": b"abcd" * 99}
        path.write_bytes(contents.get(name, os.urandom(4000)))
    return path


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("empty.wav", "is empty"),
        ("folder", "is a folder"),
        ("text.wav", "not a sound file"),
        ("x.raw", "not a sound file"),
        ("random.flac", "not a sound file"),
        ("random.m4a", "m4a files are not read, only wav, flac"),
        ("header.wav", "damaged"),
        ("silent.wav", "holds no sound"),
        ("cut.wav", "is truncated"),
        ("cut.mp3", "is truncated"),
        ("cut.ogg", "is truncated"),
        ("cut.opus", "is truncated|is damaged"),
        pytest.param(
            "pipe.wav",
            "not a regular file",
            marks=pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes on this system"),
        ),
    ],
)
def test_hostile_files_give_one_line(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(QsepError, match=message) as caught:
        open_audio(hostile(tmp_path, name))
    assert "\n" not in str(caught.value)
    assert name in str(caught.value)


@pytest.mark.parametrize("read", [4096, -1])
def test_truncated_flac_is_found_while_reading(tmp_path: Path, read: int) -> None:
    with open_audio(hostile(tmp_path, "cut.flac")) as reader:
        blocks = iter(lambda: len(reader.read(read)), 0)
        with pytest.raises(QsepError, match=r"is truncated or damaged: it can be read up to"):
            sum(blocks)


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=300), st.sampled_from(["wav", "flac", "ogg", "mp3"]), st.integers(0, 200))
def test_random_bytes_never_crash(
    tmp_path_factory: pytest.TempPathFactory, junk: bytes, suffix: str, where: int
) -> None:
    folder = tmp_path_factory.mktemp("junk")
    data = bytearray(write_audio(folder / f"a.{suffix}", tone(3000), 44100).read_bytes())
    data[where : where + len(junk)] = junk
    (folder / f"b.{suffix}").write_bytes(data)
    line, samples = "", np.zeros(0)
    try:
        samples, _ = read_audio(folder / f"b.{suffix}")
    except QsepError as error:
        line = str(error)
    assert "\n" not in line
    assert np.isfinite(samples).all()


def test_nan_and_infinity_become_silence_and_are_counted(tmp_path: Path) -> None:
    sound = tone()
    sound[100, 0], sound[200, 1], sound[25000] = np.nan, np.inf, -np.inf
    write_audio(tmp_path / "a.wav", sound, 44100, "FLOAT")
    with open_audio(tmp_path / "a.wav") as reader:
        got = reader.read()
        assert reader.repaired == 4
    assert got[100, 0] == got[200, 1] == got[25000, 0] == 0
    good = np.isfinite(sound)
    assert (got[good] == sound[good]).all()


def test_a_wav_that_was_written_to_a_pipe_is_read(tmp_path: Path) -> None:
    if shutil.which("ffmpeg") is None:
        pytest.skip("ffmpeg is not installed")
    write_audio(tmp_path / "a.wav", tone(), 44100, "PCM_16")
    with (tmp_path / "b.wav").open("wb") as out:
        command = ["ffmpeg", "-loglevel", "error", "-i", str(tmp_path / "a.wav"), "-f", "wav", "-"]
        subprocess.run(command, check=True, stdout=out)
    assert len(read_audio(tmp_path / "b.wav")[0]) == 30000

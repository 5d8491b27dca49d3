"""WAVs that a recorder left without a length."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile

from qsep_live.audio.files import open_audio
from qsep_live.audio.wav_header import unfinished_wav
from qsep_live.errors import QsepError

RATE = 44_100


def wav(path: Path, subtype: str = "PCM_16", before: bytes = b"", channels: int = 2) -> tuple[Path, np.ndarray, int]:
    """A WAV with a chunk ``before`` its sound, and where the length of the sound stands."""
    rng = np.random.default_rng(1)
    soundfile.write(path, 0.3 * rng.standard_normal((RATE, channels)), RATE, subtype)
    raw = path.read_bytes()
    place = raw.index(b"data")
    if before:
        chunk = b"JUNK" + struct.pack("<I", len(before)) + before + bytes(len(before) % 2)
        raw = raw[:place] + chunk + raw[place:]
        place += len(chunk)
        raw = raw[:4] + struct.pack("<I", len(raw) - 8) + raw[8:]
        path.write_bytes(raw)
    samples, _ = soundfile.read(path, dtype="float32", always_2d=True)
    return path, samples, place + 4


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT"])
@pytest.mark.parametrize("before", [b"", b"x" * 4001, bytes(28)])
@pytest.mark.parametrize("riff_too", [False, True])
def test_a_length_of_nothing_is_read_to_the_end(tmp_path: Path, subtype: str, before: bytes, riff_too: bool) -> None:
    path, samples, place = wav(tmp_path / "a.wav", subtype, before)
    raw = bytearray(path.read_bytes())
    raw[place : place + 4] = bytes(4)
    if riff_too:
        raw[4:8] = bytes(4)
    path.write_bytes(raw)
    with open_audio(path) as reader:
        np.testing.assert_array_equal(np.concatenate(list(reader.blocks(4096))), samples)
        assert "its recorder wrote no length" in reader.remark
        reader.seek(10_000)
        np.testing.assert_array_equal(reader.read(100), samples[10_000:10_100])


def test_half_a_frame_at_the_end_is_left(tmp_path: Path) -> None:
    path, samples, place = wav(tmp_path / "a.wav")
    raw = bytearray(path.read_bytes())
    raw[place : place + 4] = bytes(4)
    path.write_bytes(raw[:-1])
    with open_audio(path) as reader:
        np.testing.assert_array_equal(reader.read(), samples[:-1])


def test_a_whole_wav_has_no_remark(tmp_path: Path) -> None:
    path, samples, _ = wav(tmp_path / "a.wav", before=b"JUNKJUNK")
    assert unfinished_wav(path) is None
    with open_audio(path) as reader:
        assert (len(reader.read()), reader.remark) == (len(samples), "")


def test_a_wav_that_is_truly_empty_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, np.zeros((0, 2)), RATE)
    raw = path.read_bytes()
    listed = b"LIST" + struct.pack("<I", 4) + b"INFO"
    path.write_bytes(raw[:4] + struct.pack("<I", len(raw) + len(listed) - 8) + raw[8:] + listed)
    with pytest.raises(QsepError, match="no sound"):
        open_audio(path)

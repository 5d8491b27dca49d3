from __future__ import annotations

import io
import struct
import sys
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from qsep_live.audio import riff
from qsep_live.audio.files import read_audio
from qsep_live.audio.writer import AudioWriter, choose_subtype, write_audio
from qsep_live.errors import QsepError, UsageError

NOISE = np.random.default_rng(1).standard_normal((20000, 2)).astype(np.float32)


def test_float_wav_is_bit_faithful_and_the_same_every_time(tmp_path: Path) -> None:
    sound = NOISE * 40
    one = write_audio(tmp_path / "a.wav", sound, 44100, "FLOAT")
    assert read_audio(one)[0].tobytes() == sound.tobytes()
    assert one.read_bytes() == write_audio(tmp_path / "b.wav", sound, 44100, "FLOAT").read_bytes()
    assert soundfile.info(one).format == "WAV"
    assert soundfile.info(one).subtype == "FLOAT"


def test_target_and_rest_add_up_bit_for_bit_at_24_bits(tmp_path: Path) -> None:
    steps = np.random.default_rng(2).integers(-(2**22), 2**22, (3000, 2))
    sound = (steps / 2**23).astype(np.float32)
    write_audio(tmp_path / "a.wav", sound, 44100)
    assert (read_audio(tmp_path / "a.wav")[0] == sound).all()


@pytest.mark.parametrize(("subtype", "width"), [("PCM_16", 2), ("PCM_24", 3)])
@pytest.mark.parametrize("frames", [4, 5])
@pytest.mark.parametrize("channels", [1, 2])
def test_plain_wav_readers_read_it(tmp_path: Path, subtype: str, width: int, frames: int, channels: int) -> None:
    path = write_audio(tmp_path / "a.wav", np.full((frames, channels), 0.5), 8000, subtype)
    with wave.open(str(path)) as plain:
        assert plain.getparams()[:4] == (channels, width, 8000, frames)
        assert plain.readframes(9)[-1] == 0x40
    assert path.stat().st_size % 2 == 0
    assert struct.unpack_from("<I", path.read_bytes(), 4)[0] == path.stat().st_size - 8


def test_eight_channels(tmp_path: Path) -> None:
    sound = np.random.default_rng(3).standard_normal((999, 8)).astype(np.float32)
    write_audio(tmp_path / "a.wav", sound, 48000, "FLOAT")
    assert (read_audio(tmp_path / "a.wav")[0] == sound).all()


class Sparse(io.BytesIO):
    """A file whose header stands for more than it holds."""

    size = 0

    def seek(self, offset: int, whence: int = 0) -> int:
        return self.size if whence == 2 else super().seek(offset, whence)

    def truncate(self, size: int | None = None) -> int:
        raise AssertionError("a whole file is not cut")


def test_beyond_4_gib_the_header_stays_rf64(tmp_path: Path) -> None:
    path = tmp_path / "a.rf64"
    soundfile.write(path, NOISE, 44100, format="RF64", subtype="FLOAT")
    head = bytearray(path.read_bytes()[: riff.HEADER])
    size = 5 * 2**30
    struct.pack_into("<Q", head, 28, size)
    file = Sparse(bytes(head))
    file.size = riff.HEADER + size
    assert riff.settle(file) == size // 8
    assert struct.unpack_from("<4sI4s4sIQQQ", file.getvalue()) == (
        *(b"RF64", 0xFFFFFFFF, b"WAVE", b"ds64", 28, riff.HEADER + size - 8, size, size // 8),
    )


@given(st.binary(max_size=200))
def test_a_foreign_header_is_refused(junk: bytes) -> None:
    with pytest.raises(ValueError, match="RF64 header"):
        riff.settle(io.BytesIO(junk))


def test_an_exception_leaves_the_old_file(tmp_path: Path) -> None:
    path = write_audio(tmp_path / "a.wav", NOISE, 44100)
    before = path.read_bytes()
    interrupted = AudioWriter(path, 44100, 2)
    interrupted.write(NOISE[:100])
    assert path.read_bytes() == before
    with pytest.raises(ValueError, match="3 channels"), interrupted as writer:
        writer.write(np.zeros((5, 3)))
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_abort_and_close_can_come_in_any_order(tmp_path: Path) -> None:
    writer = AudioWriter(tmp_path / "a.flac", 44100, 2)
    writer.write(NOISE)
    writer.abort()
    writer.abort()
    assert writer.close() == tmp_path / "a.flac"
    assert not list(tmp_path.iterdir())
    with pytest.raises(QsepError, match="already closed"):
        writer.write(NOISE)


@pytest.mark.parametrize(
    ("name", "rate", "channels", "subtype", "message"),
    [
        ("a.m4a", 44100, 2, None, r"unknown file type '\.m4a'; these can be written: wav, flac"),
        ("a", 44100, 2, None, "no file type in the name"),
        ("a.flac", 44100, 2, "FLOAT", "no FLOAT in this format, only PCM_16, PCM_24"),
        ("a.mp3", 44100, 6, None, "mp3 cannot hold 6 channels at 44100 Hz"),
        ("a.opus", 44100, 2, None, "opus cannot hold 2 channels at 44100 Hz"),
        ("none/a.wav", 44100, 2, None, "does not exist"),
        ("folder.wav", 44100, 2, None, "is a folder"),
    ],
)
def test_what_cannot_be_written_is_said(
    tmp_path: Path, name: str, rate: int, channels: int, subtype: str | None, message: str
) -> None:
    (tmp_path / "folder.wav").mkdir()
    with pytest.raises(UsageError, match=message) as caught:
        AudioWriter(tmp_path / name, rate, channels, subtype)
    assert "\n" not in str(caught.value)
    assert [entry.name for entry in tmp_path.iterdir()] == ["folder.wav"]


@pytest.mark.skipif(sys.platform == "win32", reason="no /dev/null")
def test_a_device_is_never_replaced() -> None:
    with pytest.raises(UsageError):
        AudioWriter("/dev/null", 44100, 2)
    link = Path("/dev/full")
    assert not link.exists() or link.is_char_device()


def test_a_link_keeps_pointing_to_the_new_file(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    link = tmp_path / "a.wav"
    link.symlink_to(tmp_path / "real" / "b.wav")
    write_audio(link, NOISE, 44100)
    assert link.is_symlink()
    assert len(read_audio(tmp_path / "real" / "b.wav")[0]) == len(NOISE)


LIMITED = """
    import resource, signal
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))
    from qsep_live.audio.writer import AudioWriter
    from qsep_live.errors import QsepError
    noise = (np.random.default_rng(0).standard_normal((400_000, 2)) * 0.2).astype("float32")
    path = "{path}"
    try:
        with AudioWriter(path, {rate}, 2) as writer:
            writer.write(noise)
        report("no error")
    except QsepError as error:
        report([str(error), os.listdir(os.path.dirname(path))])
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no file size limit to set")
@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "opus", "mp3", "aiff"])
def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path: Path, child: Callable[..., Any], suffix: str) -> None:
    rate = 48000 if suffix == "opus" else 44100
    line, left = child(LIMITED.format(path=tmp_path / f"a.{suffix}", rate=rate))
    assert "cannot be written: the file size limit is reached (after" in line
    assert "\n" not in line
    assert left == []


def test_samples_beyond_full_scale_are_counted_and_cut(tmp_path: Path) -> None:
    with AudioWriter(tmp_path / "a.wav", 44100, 1, "PCM_16") as writer:
        writer.write(np.array([0.5, 1.5, -3.0], np.float32))
        assert writer.clipped == 2
    assert np.allclose(read_audio(tmp_path / "a.wav")[0][:, 0], [0.5, 1, -1], atol=1e-4)


@pytest.mark.parametrize(
    ("name", "like", "chosen"),
    [
        ("a.wav", "PCM_16", "PCM_16"),
        ("a.wav", "DOUBLE", "FLOAT"),
        ("a.wav", "VORBIS", "PCM_24"),
        ("a.WAV", None, "PCM_24"),
        ("a.flac", "FLOAT", "PCM_24"),
        ("a.flac", "PCM_16", "PCM_16"),
        ("a.ogg", "PCM_16", "VORBIS"),
    ],
)
def test_a_render_keeps_the_sample_format_where_it_can(name: str, like: str | None, chosen: str) -> None:
    assert choose_subtype(name, like) == chosen


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24"])
def test_the_same_sound_has_the_same_integers_in_every_format(tmp_path: Path, subtype: str) -> None:
    sound = np.random.default_rng(3).uniform(-1.1, 1.1, (9000, 2)).astype(np.float32)
    full = 2.0 ** (int(subtype[4:]) - 1)
    right = np.clip(np.rint(sound.astype(np.float64) * full), -full, full - 1) / full
    for suffix in ("wav", "flac", "aiff"):
        path = write_audio(tmp_path / f"a.{suffix}", sound, 44100, subtype)
        assert np.array_equal(soundfile.read(path)[0], right), suffix


@pytest.mark.parametrize("name", ["a" * 251 + ".wav", "\u6b4c" * 82 + ".wav"])
def test_long_names_are_written(tmp_path: Path, name: str) -> None:
    write_audio(tmp_path / name, np.zeros((10, 2), np.float32), 44100)
    assert [each.name for each in tmp_path.iterdir()] == [name]

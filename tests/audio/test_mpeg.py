"""MP3s of old encoders, cut files, broken downloads: all of the sound, or a line that says what is wrong."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile

from qsep_live.audio.files import open_audio, read_audio
from qsep_live.audio.mpeg import mpeg_layout
from qsep_live.errors import QsepError

RATE = 44_100


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four loud seconds and four silent ones, stereo, which a variable bit rate spends very differently."""
    rng = np.random.default_rng(1)
    loud = 0.3 * rng.standard_normal((4 * RATE, 2)) * np.linspace(0.2, 1.0, 4 * RATE)[:, None]
    path = tmp_path_factory.mktemp("sound") / "in.wav"
    soundfile.write(path, np.concatenate([loud, np.zeros_like(loud)]), RATE, "FLOAT")
    return path


def encode(source: Path, target: Path, *options: str, cover: Path | None = None) -> Path:
    if shutil.which("ffmpeg") is None:
        pytest.skip("needs ffmpeg (Debian: apt-get install ffmpeg)")
    picture = () if cover is None else ("-i", str(cover), "-map", "0", "-map", "1", "-c:v", "copy")
    line = ["ffmpeg", "-v", "error", "-y", "-i", str(source), *picture, "-c:a", "libmp3lame", *options, str(target)]
    subprocess.run(line, check=True, stdin=subprocess.DEVNULL)
    return target


UNTAGGED = ("-q:a", "4", "-write_xing", "0")


@pytest.mark.parametrize(
    "options",
    [
        UNTAGGED,
        ("-abr", "1", "-b:a", "160k", "-write_xing", "0"),
        ("-b:a", "128k", "-write_xing", "0", "-metadata", "title=Info"),
        ("-b:a", "128k", "-write_xing", "0", "-metadata", "title=Xing Info VBRI"),
        ("-q:a", "4", "-write_xing", "0", "-ac", "1"),
        ("-q:a", "4", "-write_xing", "0", "-ar", "22050"),
        ("-q:a", "4", "-write_xing", "0", "-id3v2_version", "0"),
    ],
)
def test_an_mp3_without_a_length_is_read_to_its_end(sound: Path, tmp_path: Path, options: tuple[str, ...]) -> None:
    samples, rate = read_audio(encode(sound, tmp_path / "a.mp3", *options))
    # Frames of 1152 samples, and what the encoder puts before and after.
    assert 8.0 * rate <= len(samples) <= 8.0 * rate + 4 * 1152
    loud, silent = samples[: round(3.5 * rate)], samples[round(4.5 * rate) :]
    assert np.sqrt(np.mean(loud**2)) > 0.05
    assert np.abs(silent).max() < 1e-3


@pytest.mark.parametrize("options", [("-q:a", "4"), ("-b:a", "128k"), ("-q:a", "2", "-ac", "1")])
def test_a_tagged_mp3_has_its_exact_length(sound: Path, tmp_path: Path, options: tuple[str, ...]) -> None:
    samples, rate = read_audio(encode(sound, tmp_path / "a.mp3", *options))
    assert len(samples) == 8 * rate


def test_blocks_and_seeks_are_as_the_whole(sound: Path, tmp_path: Path) -> None:
    path = encode(sound, tmp_path / "a.mp3", *UNTAGGED)
    whole, _ = read_audio(path)
    with open_audio(path) as reader:
        np.testing.assert_array_equal(np.concatenate(list(reader.blocks(4096))), whole)
        reader.seek(100_000)
        np.testing.assert_array_equal(reader.read(5000), whole[100_000:105_000])


@pytest.mark.parametrize("options", [UNTAGGED, ("-q:a", "4")])
@pytest.mark.parametrize("junk", [bytes(4096), b"<html><body>not found</body></html>" * 100])
def test_what_is_no_sound_behind_it_is_left_out_and_said(
    sound: Path, tmp_path: Path, options: tuple[str, ...], junk: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    path = encode(sound, tmp_path / "a.mp3", *options)
    clean, _ = read_audio(path)
    path.write_bytes(path.read_bytes() + junk)
    with open_audio(path) as reader:
        np.testing.assert_array_equal(reader.read(), clean)
        assert f"{len(junk):,} bytes behind the sound" in reader.remark
    assert capfd.readouterr().err == ""


def test_tags_behind_the_sound_are_no_remark(sound: Path, tmp_path: Path) -> None:
    path = encode(sound, tmp_path / "a.mp3", "-q:a", "4", "-write_id3v1", "1", "-metadata", "title=x")
    with open_audio(path) as reader:
        assert reader.remark == ""


def test_half_a_download_is_told_with_and_without_a_large_cover(sound: Path, tmp_path: Path) -> None:
    cover = tmp_path / "cover.png"
    subprocess.run(
        ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", "nullsrc=s=400x400,geq=random(1)*255:128:128", "-frames:v", "1",
         str(cover)], check=True, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert cover.stat().st_size > 1 << 16
    covered = encode(sound, tmp_path / "b.mp3", "-q:a", "4", cover=cover)
    for path in (encode(sound, tmp_path / "a.mp3", "-q:a", "4"), covered):
        layout = mpeg_layout(path)
        assert layout is not None
        assert layout.tagged
        path.write_bytes(path.read_bytes()[: layout.first + (layout.end - layout.first) // 2])
        with pytest.raises(QsepError, match="is truncated"):
            open_audio(path)


def test_two_in_a_row_are_refused_with_what_mends_them(sound: Path, tmp_path: Path) -> None:
    path = encode(sound, tmp_path / "a song.mp3", "-q:a", "4")
    path.write_bytes(2 * path.read_bytes())
    with pytest.raises(QsepError, match="2 MP3s in a row") as error:
        open_audio(path)
    command = str(error.value).rpartition(": ")[2]
    subprocess.run([*shlex.split(command), "-v", "error"], check=True, stdin=subprocess.DEVNULL)
    assert soundfile.info(path.with_suffix(".flac")).frames >= 16 * RATE


def test_two_without_tags_in_a_row_are_read_as_one(sound: Path, tmp_path: Path) -> None:
    path = encode(sound, tmp_path / "a.mp3", *UNTAGGED)
    once, _ = read_audio(path)
    path.write_bytes(2 * path.read_bytes())
    twice, _ = read_audio(path)
    assert abs(len(twice) - 2 * len(once)) <= 2 * 1152


@pytest.mark.parametrize("text", [b"ID3 nothing", b"\xff\xfb\x90\x00", b"\xff" * 5000])
def test_what_only_begins_like_an_mp3(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "a.mp3"
    path.write_bytes(text)
    assert mpeg_layout(path) is None
    with pytest.raises(QsepError, match="damaged or not a sound file"):
        open_audio(path)

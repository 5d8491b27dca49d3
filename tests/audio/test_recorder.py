from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qsep_live.audio.files import read_audio
from qsep_live.audio.recorder import Recorder
from qsep_live.audio.writer import AudioWriter
from qsep_live.errors import UsageError


@pytest.mark.parametrize("suffix", ["wav", "flac"])
def test_everything_pushed_is_in_the_file(tmp_path: Path, suffix: str) -> None:
    rng = np.random.default_rng(0)
    sound = (rng.integers(-(2**23), 2**23, (200_000, 2)) / 2**23).astype(np.float32)
    recorder = Recorder(tmp_path / f"a.{suffix}", 44100, 2)
    start = 0
    while start < len(sound):
        size = int(rng.integers(1, 2000))
        recorder.push(sound[start : start + size])
        start += size
    assert recorder.close() == recorder.path
    assert recorder.close() == recorder.path
    assert recorder.error is None
    assert (read_audio(recorder.path)[0] == sound).all()
    assert list(tmp_path.iterdir()) == [recorder.path]


def test_nothing_recorded_leaves_no_file(tmp_path: Path) -> None:
    assert Recorder(tmp_path / "a.wav", 44100, 2).close() is None
    assert not list(tmp_path.iterdir())


def test_the_file_appears_only_at_the_end(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "a.wav", 44100, 2)
    recorder.push(np.ones((5000, 2), np.float32))
    while not recorder.seconds:
        time.sleep(0.01)
    assert not recorder.path.exists()
    recorder.close()
    assert recorder.path.exists()


def test_a_bad_name_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="these can be written"):
        Recorder(tmp_path / "a.xyz", 44100, 2)


def test_a_slow_disk_costs_silence_of_the_same_length(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gate, inside = threading.Event(), threading.Event()
    write = AudioWriter.write

    def slow(self: AudioWriter, block: Any) -> None:
        inside.set()
        assert gate.wait(30)
        write(self, block)

    monkeypatch.setattr(AudioWriter, "write", slow)
    recorder = Recorder(tmp_path / "a.wav", 44100, 1, "FLOAT", seconds=10000 / 44100)
    recorder.push(np.full((1000, 1), 1, np.float32))
    assert inside.wait(10)
    for value in range(2, 32):
        recorder.push(np.full((1000, 1), value, np.float32))
    assert recorder.overruns == 20
    assert recorder.lost == 20_000
    gate.set()
    # Each push that finds room pays back up to four blocks of silence.
    while recorder.overruns and recorder._owed:
        time.sleep(0.02)
        recorder.push(np.full((1000, 1), 99, np.float32))
    recorder.push(np.full((1000, 1), 50, np.float32))
    lost = recorder.lost
    recorder.close()
    got = read_audio(tmp_path / "a.wav")[0][::1000, 0]
    assert got[:11].tolist() == list(range(1, 12))
    assert got[-1] == 50
    assert (got == 0).sum() == lost / 1000
    assert len(got) == 31 + (lost - 20_000) / 1000 + 1 + (got == 99).sum()


LIMITED = """
    import resource, signal
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
    from qsep_live.audio.recorder import Recorder
    sound = (np.random.default_rng(0).standard_normal((500_000, 2)) * 0.2).astype("float32")
    recorder = Recorder("{path}", 44100, 2, {subtype!r})
    for start in range(0, len(sound), 256):
        recorder.push(sound[start : start + 256])
    deadline = time.monotonic() + 20
    while recorder.error is None and time.monotonic() < deadline:
        time.sleep(0.01)
    for _ in range(100):
        recorder.push(sound[:256])
    kept = recorder.close()
    frames = -1
    if kept:
        from qsep_live.audio.files import read_audio
        got = read_audio(kept)[0]
        frames = len(got) if np.abs(got - sound[: len(got)]).max() < 1e-6 else -2
    report([recorder.error, str(kept), frames, os.listdir(os.path.dirname("{path}"))])
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no file size limit to set")
@pytest.mark.parametrize(
    ("name", "subtype", "frames"),
    [("a.wav", "FLOAT", 124_987), ("a.wav", "PCM_24", 166_649), ("a.flac", None, -1)],
)
def test_a_full_disk_keeps_a_readable_wav_or_nothing(
    tmp_path: Path, child: Callable[..., Any], name: str, subtype: str | None, frames: int
) -> None:
    line, kept, got, left = child(LIMITED.format(path=tmp_path / name, subtype=subtype))
    assert "the file size limit is reached" in line
    assert "\n" not in line
    if frames > 0:
        assert kept == str(tmp_path / name)
        assert "s were kept" in line
        assert got == pytest.approx(frames, abs=4096)
        assert left == [name]
    else:
        assert kept == "None"
        assert left == []


def test_a_real_full_disk(tmp_path: Path, child: Callable[..., Any]) -> None:
    """On a small file system of its own, where the system lets us mount one."""
    mount = tmp_path / "disk"
    mount.mkdir()
    try:
        made = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(mount)], capture_output=True, text=True
        )
    except FileNotFoundError:
        pytest.skip("there is no mount command")
    if made.returncode:
        pytest.skip(f"a tmpfs cannot be mounted: {made.stderr.strip()}")
    try:
        recorder = Recorder(mount / "a.wav", 44100, 2)
        block = np.full((1000, 2), 0.25, np.float32)
        for _ in range(300):
            recorder.push(block)
        kept = recorder.close()
        assert recorder.error is not None
        assert "the disk is full" in recorder.error
        assert kept == mount / "a.wav"
        got = read_audio(kept)[0]
        assert 60_000 < len(got) < 512 * 1024 / 6
        assert (got == 0.25).all()
        assert [entry.name for entry in mount.iterdir()] == ["a.wav"]
    finally:
        subprocess.run(["umount", str(mount)], check=True)

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from qsep_live.audio.program import Program, ProgramSound
from qsep_live.audio.sources import FileSource
from qsep_live.errors import QsepError

COUNT = "import struct, sys; [sys.stdout.buffer.write(struct.pack('<f', n)) for n in range({})]; sys.stdout.flush()"


def python(text: str, channels: int = 1, rate: int = 44100) -> Program:
    return Program("compose:test", (sys.executable, "-c", text), rate, channels)


def test_frames_come_in_order_and_end() -> None:
    sound = ProgramSound(python(COUNT.format(1001), channels=2))
    blocks = list(sound.blocks(300))
    assert [block.shape for block in blocks] == [(300, 2), (200, 2)]  # half a frame at the end is none
    assert np.array_equal(np.concatenate(blocks).ravel(), np.arange(1000))
    assert len(sound.read(5)) == 0
    sound.close()


def test_a_program_without_end_waits_for_its_reader_and_is_ended() -> None:
    sound = ProgramSound(python("import sys\nwhile True: sys.stdout.buffer.write(bytes(4096))"))
    assert len(sound.read(100_000)) == 100_000
    sound.close()
    sound.close()


def test_what_is_no_number_is_silence() -> None:
    text = "import struct, sys; sys.stdout.buffer.write(struct.pack('<3f', float('nan'), float('inf'), 0.5))"
    assert ProgramSound(python(text)).read(3).ravel().tolist() == [0.0, 0.0, 0.5]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("raise SystemExit('first\\nqsep-live: error: no network')", "compose:test: no network"),
        ("raise SystemExit(3)", "compose:test: it ended with code 3"),
    ],
)
def test_a_program_that_fails_says_why(text: str, said: str) -> None:
    with pytest.raises(QsepError) as told:
        ProgramSound(python(text)).read(10)
    assert str(told.value) == said


def test_a_program_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(QsepError, match="compose:test: cannot be started: No such file"):
        ProgramSound(Program("compose:test", (str(tmp_path / "none"),), 44100, 1))


def test_it_plays_into_a_callback() -> None:
    source = FileSource(python(COUNT.format(50_000)), 44100, 2)
    assert source.wait_ready()
    block, got = np.empty((1000, 2), np.float32), []
    deadline = time.monotonic() + 60
    while not source.finished and time.monotonic() < deadline:
        got.append(block[: source.read_into(block)].copy())
    assert np.array_equal(np.concatenate(got), np.repeat(np.arange(50_000, dtype=np.float32)[:, None], 2, axis=1))
    assert source.error is None
    source.close()


def test_its_failure_is_the_sources() -> None:
    source = FileSource(python("raise SystemExit('no luck')"), 44100, 2)
    assert source.wait_ready()
    assert source.error == "compose:test: no luck"
    assert source.finished
    source.close()


def test_closing_ends_it() -> None:
    source = FileSource(python("import sys\nwhile True: sys.stdout.buffer.write(bytes(4096))"), 48000, 2)
    assert source.wait_ready()
    source.close()
    assert not source._thread.is_alive()


def test_what_libraries_print_is_not_heard() -> None:
    text = """
import os
import numpy as np
from qsep_live.audio.program import RawOutput
output = RawOutput()
print("found at", flush=True)
os.write(1, b"odd")
output.write(np.arange(3, dtype=np.float32))
print("at the end")
output.write(np.arange(3, 5, dtype=np.float32))
"""
    told = subprocess.run([sys.executable, "-c", text], capture_output=True, timeout=60)
    assert np.frombuffer(told.stdout, "<f4").tolist() == [0, 1, 2, 3, 4]
    assert told.stderr.split() == [b"found", b"at", b"oddat", b"the", b"end"]

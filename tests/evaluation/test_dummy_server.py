"""What is read of processes and of a server's words; the server itself runs in tests/live."""

from __future__ import annotations

import os
import subprocess
import sys

from qsep_live.evaluation.dummy_server import own_memory_of, runs_in_real_time

HOLD = "import sys; held = bytearray(int(sys.argv[1])); print('held', flush=True); sys.stdin.read()"


def test_what_a_process_got_for_itself_grows_by_what_it_takes() -> None:
    found = []
    for size in (0, 50_000_000):
        with subprocess.Popen(
            [sys.executable, "-c", HOLD, str(size)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"held\n"
            found.append(own_memory_of(process.pid))
            process.kill()
    assert 45_000_000 < found[1] - found[0] < 55_000_000


def test_of_a_process_that_is_gone_nothing_is_known() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    assert own_memory_of(process.pid) == 0
    assert not runs_in_real_time(process.pid)


def test_a_test_does_not_run_in_real_time() -> None:
    assert not runs_in_real_time(os.getpid())

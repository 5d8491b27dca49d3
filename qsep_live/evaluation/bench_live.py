"""The real thing beside a bare passthrough client on the same server: who misses how many blocks.

A JACK server with the dummy driver is started for the run, so that no sound card is needed; both programs use
PortAudio. What the machine itself cannot hold shows in the passthrough's count.
"""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection

import psutil

from qsep_live.engine.session import TICK, LiveSession, SessionConfig
from qsep_live.engine.status import Status
from qsep_live.errors import QsepError

SERVER = "qsep-bench"


@dataclass(frozen=True)
class LiveRow:
    """One run: frames per block, minutes, what the passthrough missed, and the session's last status."""

    blocksize: int
    minutes: float
    passthrough_underruns: int
    status: Status
    memory: int


def live_bench(
    config: SessionConfig,
    blocksize: int,
    minutes: float,
    rate: int = 44_100,
    progress: Callable[[float], None] | None = None,
) -> LiveRow:
    """Run a session and a passthrough for ``minutes`` on a server of their own with ``blocksize`` frames."""
    with _Server(rate, blocksize):
        theirs, ours = multiprocessing.Pipe()
        other = multiprocessing.get_context("spawn").Process(target=_passthrough, args=(ours,), daemon=True)
        other.start()
        session = LiveSession(config, lambda _text: None)
        try:
            session.start()
            if not theirs.poll(30.0) or theirs.recv() != "running":
                raise QsepError("the passthrough client did not start")
            start = time.monotonic()
            while (passed := time.monotonic() - start) < 60.0 * minutes:
                session.tick()
                if progress is not None:
                    progress(passed / (60.0 * minutes))
                time.sleep(TICK)
            theirs.send("stop")
            missed = int(theirs.recv()) if theirs.poll(10.0) else -1
            memory = memory_of(session.pids)
        finally:
            status = session.stop()
            other.kill()
    return LiveRow(blocksize, minutes, missed, status, memory)


class _Server:
    """A jackd for the run; the clients of this process and its children find it by the environment."""

    def __init__(self, rate: int, blocksize: int) -> None:
        self._command = ["jackd", "--no-realtime", "--no-mlock", "--name", SERVER, "-d", "dummy"]
        self._command += ["-r", str(rate), "-p", str(blocksize), "-C", "2", "-P", "2"]

    def __enter__(self) -> None:
        os.environ |= {"JACK_DEFAULT_SERVER": SERVER, "JACK_NO_START_SERVER": "1"}
        try:
            self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        except FileNotFoundError:
            raise QsepError("this benchmark needs a JACK server: sudo apt-get install jackd2") from None
        time.sleep(2.0)
        if self._process.poll() is not None:
            raise QsepError("jackd does not start here; is another server running?")

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(5.0)
        self._process.kill()


def _passthrough(link: Connection) -> None:
    """Input to output, nothing else; counts what PortAudio says was missed."""
    from qsep_live.audio.devices import find_device
    from qsep_live.audio.stream import DuplexStream, StreamTimes

    missed = 0

    def copy(indata: object, outdata: object, times: StreamTimes) -> None:
        nonlocal missed
        outdata[:] = indata  # type: ignore[index]
        missed += times.output_underflow

    stream = DuplexStream(find_device("input"), find_device("output"), None, 0, 2, copy)
    stream.start()
    link.send("running")
    link.recv()
    link.send(missed)
    os._exit(0)


def memory_of(pids: Sequence[int]) -> int:
    """Proportional set size of processes, bytes; where the system does not tell, the unique set size."""
    total = 0
    for pid in pids:
        with suppress(psutil.Error):
            info = psutil.Process(pid).memory_full_info()
            total += getattr(info, "pss", info.uss)
    return total

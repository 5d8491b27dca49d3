"""A JACK server with the dummy driver for a measurement, and a bare passthrough client at it to compare with."""

from __future__ import annotations

import multiprocessing
import os
import re
import subprocess
import time
from collections import Counter
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryFile

import psutil

from qsep_live.errors import QsepError

SERVER = "qsep-bench"


ITSELF = "the server itself"
_LATE = re.compile(r"XRun: client = (.+) was not finished|Process XRun = ")
_ANONYMOUS = re.compile(r"^Anonymous: +(\d+) kB", re.MULTILINE)
PASSTHROUGH = "passthrough"
REAL_TIME = (os.SCHED_FIFO, os.SCHED_RR)
PRIORITY = 60
"""Of the server's thread; those of its clients are 5 less."""


class DummyServer:
    """A jackd for the run; the clients of this process and its children find it by the environment.

    Its threads and its clients' are scheduled in real time, as on a stage, where the system lets them be
    (`runs_in_real_time` tells).
    """

    def __init__(self, rate: int, blocksize: int) -> None:
        self._command = ["jackd", "--realtime", "--realtime-priority", str(PRIORITY), "--no-mlock", "--name", SERVER]
        self._command += ["-d", "dummy", "-r", str(rate), "-p", str(blocksize), "-C", "2", "-P", "2"]

    def __enter__(self) -> DummyServer:
        use_server(SERVER)
        self._words = TemporaryFile()
        try:
            self._process = subprocess.Popen(self._command, stdout=self._words, stderr=self._words)
        except FileNotFoundError:
            raise QsepError("this measurement needs a JACK server: sudo apt-get install jackd2") from None
        time.sleep(2.0)
        if self._process.poll() is not None:
            raise QsepError("jackd does not start here; is another server running?")
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(5.0)
        self._process.kill()
        self._words.close()

    def late(self) -> Counter[str]:
        """Who was late, in the server's words: how often each client, and `ITSELF` where the server was woken late."""
        self._words.seek(0)
        found = _LATE.findall(self._words.read().decode(errors="replace"))
        return Counter(name or ITSELF for name in found)


def use_server(name: str) -> None:
    """The JACK server that this process and those it starts will be clients of."""
    os.environ |= {"JACK_DEFAULT_SERVER": name, "JACK_NO_START_SERVER": "1"}


def runs_in_real_time(pid: int) -> bool:
    """Whether a process has a thread that is scheduled in real time."""
    with suppress(psutil.Error, ProcessLookupError):
        return any(os.sched_getscheduler(thread.id) in REAL_TIME for thread in psutil.Process(pid).threads())
    return False


class Passthrough:
    """Input to output, nothing else, in a process of its own; counts what PortAudio says was missed."""

    def __init__(self) -> None:
        self._link, theirs = multiprocessing.Pipe()
        context = multiprocessing.get_context("spawn")
        self._process = context.Process(target=_passthrough, args=(theirs,), daemon=True)
        self._process.start()

    def wait_running(self) -> None:
        """Wait until sound goes through.

        Raises
        ------
        QsepError
            It does not.
        """
        if not self._link.poll(30.0) or self._link.recv() != "running":
            raise QsepError("the passthrough client did not start")

    def stop(self) -> int:
        """End it; the blocks it missed, or -1 if it is gone."""
        missed = -1
        with suppress(OSError, EOFError):
            self._link.send("stop")
            missed = int(self._link.recv()) if self._link.poll(10.0) else -1
        self.kill()
        return missed

    def kill(self) -> None:
        self._process.kill()


def _passthrough(link: Connection) -> None:
    from qsep_live.audio.devices import find_device, list_devices
    from qsep_live.audio.stream import DuplexStream, StreamTimes

    missed = 0

    def copy(indata: object, outdata: object, times: StreamTimes) -> None:
        nonlocal missed
        outdata[:] = indata  # type: ignore[index]
        missed += times.output_underflow

    devices = list_devices(PASSTHROUGH)
    stream = DuplexStream(find_device("input", None, devices), find_device("output", None, devices), None, 0, 2, copy)
    stream.start()
    link.send("running")
    link.recv()
    link.send(missed)
    os._exit(0)


def memory_of(pid: int) -> int:
    """Proportional set size in bytes; where the system does not tell, the unique set size; 0 if it is gone."""
    try:
        info = psutil.Process(pid).memory_full_info()
    except psutil.Error:
        return 0
    return int(getattr(info, "pss", info.uss))


def own_memory_of(pid: int) -> int:
    """Bytes that a process has got for itself (anonymous pages); where the system does not tell, the unique set size; 0
    if it is gone.

    The share of a library's pages that counts as a process's own rises and falls with every other program that maps it.
    """
    with suppress(OSError):
        if found := _ANONYMOUS.search(Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")):
            return 1024 * int(found[1])
    with suppress(psutil.Error):
        return int(psutil.Process(pid).memory_full_info().uss)
    return 0

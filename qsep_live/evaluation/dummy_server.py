"""A JACK server with the dummy driver for a measurement, and a bare passthrough client at it to compare with."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import time
from contextlib import suppress
from multiprocessing.connection import Connection

import psutil

from qsep_live.errors import QsepError

SERVER = "qsep-bench"


class DummyServer:
    """A jackd for the run; the clients of this process and its children find it by the environment."""

    def __init__(self, rate: int, blocksize: int) -> None:
        self._command = ["jackd", "--no-realtime", "--no-mlock", "--name", SERVER, "-d", "dummy"]
        self._command += ["-r", str(rate), "-p", str(blocksize), "-C", "2", "-P", "2"]

    def __enter__(self) -> None:
        use_server(SERVER)
        try:
            self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        except FileNotFoundError:
            raise QsepError("this measurement needs a JACK server: sudo apt-get install jackd2") from None
        time.sleep(2.0)
        if self._process.poll() is not None:
            raise QsepError("jackd does not start here; is another server running?")

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(5.0)
        self._process.kill()


def use_server(name: str) -> None:
    """The JACK server that this process and those it starts will be clients of."""
    os.environ |= {"JACK_DEFAULT_SERVER": name, "JACK_NO_START_SERVER": "1"}


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


def memory_of(pid: int) -> int:
    """Proportional set size in bytes; where the system does not tell, the unique set size; 0 if it is gone."""
    try:
        info = psutil.Process(pid).memory_full_info()
    except psutil.Error:
        return 0
    return int(getattr(info, "pss", info.uss))

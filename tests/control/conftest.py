"""A JACK server of the test's own, with the dummy driver."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

# Synchronous: on a busy machine the default mode loses MIDI now and then.
COMMAND = ("jackd", "-S", "--timeout", "5000", "--no-realtime", "--no-mlock")
DRIVER = ("-d", "dummy", "-r", "44100", "-p", "256", "-C", "2", "-P", "2")
_counter = itertools.count()


def until(condition: Callable[[], object], seconds: float = 20.0) -> bool:
    """Whether the condition came true in time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return bool(condition())


class JackServer:
    """A jackd under a name of its own."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; a second and third time when it does not answer, as happens when two servers start at once."""
        told = ""
        for _attempt in range(3):
            with tempfile.TemporaryFile() as words:
                process = subprocess.Popen([*COMMAND, "--name", self.name, *DRIVER], stdout=words, stderr=words)
                self._process = process
                until(lambda process=process: process.poll() is not None or self.answers(), 15)
                if process.poll() is None and self.answers():
                    return
                self.kill()
                words.seek(0)
                told = words.read().decode(errors="replace")
        pytest.fail(f"jackd does not start; it says: {told}")

    def answers(self) -> bool:
        environment = {**os.environ, "JACK_DEFAULT_SERVER": self.name, "JACK_NO_START_SERVER": "1"}
        try:
            return subprocess.run(["jack_lsp"], env=environment, capture_output=True, timeout=5).returncode == 0
        except subprocess.TimeoutExpired:
            return False

    def kill(self) -> None:
        """No goodbye: the way a server dies on stage."""
        if self._process:
            self._process.kill()
            self._process.wait()

    def stop(self) -> None:
        # A killed server keeps its place among the eight that JACK's shared registry has; a server of the same
        # name that ends well gives it back.
        if self._process and self._process.poll() is not None:
            self.start()
        if self._process:
            self._process.terminate()
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self.kill()
        for left in Path("/dev/shm").glob(f"jack_sem.*_{self.name}_*"):  # by clients that outlived their server
            left.unlink(missing_ok=True)


@pytest.fixture
def jack_name(monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a JACK server that does not run; this process's JACK clients will look for it."""
    name = f"qsep-control-{os.getpid()}-{next(_counter)}"
    monkeypatch.setenv("JACK_DEFAULT_SERVER", name)
    monkeypatch.setenv("JACK_NO_START_SERVER", "1")
    return name


@pytest.fixture
def jackd(jack_name: str) -> Iterator[JackServer]:
    """A running JACK server that this process's JACK clients find."""
    for program in ("jackd", "jack_lsp"):
        if shutil.which(program) is None:
            pytest.skip(f"needs {program} (Debian: apt-get install jackd2)")
    server = JackServer(jack_name)
    try:
        server.start()
        yield server
    finally:
        server.stop()

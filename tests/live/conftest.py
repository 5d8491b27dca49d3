"""A live session as users start it, on a real JACK server, with a test client at both ends of the cable."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray


class Program:
    """`qsep-live --json …` as a process; `wait` finds the next line that fits."""

    def __init__(self, arguments: list[str], env: dict[str, str]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "qsep_live", "--json", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **env},
        )
        self.lines: queue.Queue[dict[str, Any]] = queue.Queue()
        self.seen: list[dict[str, Any]] = []
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.put(json.loads(line))

    def wait(
        self,
        fits: Callable[[dict[str, Any]], bool],
        what: str,
        timeout: float = 90.0,
        nudge: Callable[[], None] = lambda: None,
    ) -> dict[str, Any]:
        """The next line that ``fits``; ``nudge`` is called between looks (a busy server loses MIDI now and then)."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            with contextlib.suppress(queue.Empty):
                line = self.lines.get(timeout=0.2)
                self.seen.append(line)
                if fits(line):
                    return line
            if self.process.poll() is not None and self.lines.empty():
                break
            nudge()
        raise AssertionError(f"{what} never came; exit {self.process.poll()}; last: {self.seen[-3:]}; {self.errors()}")

    def running(self) -> dict[str, Any]:
        """The first status with sound going through and a mask in."""
        return self.wait(lambda s: s["type"] == "status" and s["state"] == "running" and s["mask_age"], "running")

    def errors(self) -> str:
        if self.process.poll() is None:
            return ""
        assert self.process.stderr is not None
        return self.process.stderr.read()

    def stop(self) -> dict[str, Any]:
        """Ctrl-C; the summary."""
        self.process.send_signal(signal.SIGINT)
        summary = self.wait(lambda s: s["type"] == "summary", "the summary")
        assert self.process.wait(20) == 0
        return summary


@pytest.fixture
def program(home: Any) -> Iterator[Callable[..., Program]]:
    """Start the program against a server: ``program(jack, "--preset", "vocals")``."""
    started: list[Program] = []

    def start(jack: Any, *arguments: str) -> Program:
        options = ["--model", str(home.model), *arguments]
        started.append(Program(options, {**jack.env, **home.env}))
        return started[-1]

    yield start
    for one in started:
        one.process.kill()
        one.process.wait()


class Cable:
    """A JACK client that plays into the program and records what comes out, sample by sample.

    Output and input of one process call belong to the same frame, so an offset between what was played and what was
    recorded is the delay of everything between.
    """

    def __init__(self, server: str) -> None:
        jack = pytest.importorskip("jack", reason="the JACK-Client package is not installed")
        self._client = jack.Client("cable", servername=server, no_start_server=True)
        self._outs = [self._client.outports.register(f"out_{n}") for n in (1, 2)]
        self._ins = [self._client.inports.register(f"in_{n}") for n in (1, 2)]
        self._sound = np.zeros((0, 2), np.float32)
        self._heard = np.zeros((0, 2), np.float32)
        self._place = -1
        self._done = threading.Event()
        self._freewheel: queue.Queue[bool] = queue.Queue()
        self._client.set_freewheel_callback(lambda starts: self._freewheel.put(bool(starts)))
        self._client.set_process_callback(self._process)
        self._client.activate()

    def _process(self, frames: int) -> None:
        place = self._place
        if place < 0 or self._done.is_set():
            for port in self._outs:
                port.get_array()[:] = 0.0
            return
        stop = min(place + frames, len(self._sound))
        for channel in (0, 1):
            out = self._outs[channel].get_array()
            out[:] = 0.0
            out[: stop - place] = self._sound[place:stop, channel]
            self._heard[place:stop, channel] = self._ins[channel].get_array()[: stop - place]
        self._place = stop
        if stop == len(self._sound):
            self._done.set()

    def plug(self, client: str = "PortAudio") -> None:
        """Put the cable at both ends of the client's PortAudio stream in place of the server's own ports."""
        jack = self._client
        theirs_in = jack.get_ports(f"{client}:in", is_input=True)
        theirs_out = jack.get_ports(f"{client}:out", is_output=True)
        assert len(theirs_in) == len(theirs_out) == 2, (theirs_in, theirs_out)
        for port in [*theirs_in, *theirs_out]:
            for other in jack.get_all_connections(port):
                jack.disconnect(*((other, port) if port.is_input else (port, other)))
        for mine, port in zip(self._outs, theirs_in, strict=True):
            jack.connect(mine, port)
        for port, mine in zip(theirs_out, self._ins, strict=True):
            jack.connect(port, mine)

    def play(self, sound: NDArray[np.float32], freewheel: bool = False, timeout: float = 120.0) -> NDArray[np.float32]:
        """Send ``sound`` (n, 2) through; what came back meanwhile, (n, 2)."""
        self._sound, self._heard = sound, np.zeros_like(sound)
        self._done.clear()
        if freewheel:
            self._set_freewheel(True)
        self._place = 0
        try:
            assert self._done.wait(timeout), f"only {self._place} of {len(sound)} frames went through"
        finally:
            self._place = -1
            if freewheel:
                self._set_freewheel(False)
        return self._heard

    def _set_freewheel(self, on: bool) -> None:
        """Change the mode, and wait until it has: blocks in between could be late, and lost."""
        self._client.set_freewheel(on)
        while self._freewheel.get(timeout=20.0) is not on:
            pass
        time.sleep(0.2)

    def close(self) -> None:
        self._client.deactivate()
        self._client.close()


@pytest.fixture
def cable(jack: Any) -> Iterator[Cable]:
    made = Cable(jack.name)
    yield made
    made.close()

"""A live session as users start it, on a real JACK server, with a test client at both ends of the cable."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from numpy.typing import NDArray


class Program:
    """`qsep-live --json …` as a process, or another ``command`` of it; `wait` finds the next line that fits."""

    def __init__(self, arguments: list[str], env: dict[str, str], command: Sequence[str] = ()) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "qsep_live", *command, "--json", *arguments],
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

    def start(jack: Any, *arguments: str, command: Sequence[str] = ()) -> Program:
        options = ["--model", str(home.model), *arguments]
        started.append(Program(options, {**jack.env, **home.env}, command))
        return started[-1]

    yield start
    for one in started:
        one.process.kill()
        one.process.wait()


RACK = """schema = 1
[[effect]]
type = "Gain"
name = "raises"
[[effect]]
type = "Gain"
name = "nan"
[[effect]]
type = "Gain"
name = "slow"
"""


class Stage:
    """A session that many tests disturb, one after the other, and that is to survive them all."""

    def __init__(self, home: Any, server: Any, folder: Path, *options: str) -> None:
        self.folder = folder
        self.take = folder / "take.wav"
        self.faults = folder / "faults"
        self.faults.mkdir()
        (folder / "rack.toml").write_text(RACK)
        self.presets = folder / "home" / "presets"
        shutil.copytree(home.folder / "presets", self.presets)
        here = str(Path(__file__).parent / "faults")
        env = {
            **server.env,
            "QSEP_LIVE_HOME": str(folder / "home"),
            "QSEP_FAULTS": str(self.faults),
            "PYTHONPATH": os.pathsep.join(filter(None, (here, os.environ.get("PYTHONPATH")))),
        }
        told = ("--model", str(home.model), "--delay", "50ms", "--rack", str(folder / "rack.toml"), *options)
        self.program = Program(["--preset", "vocals,drums", "--record", str(self.take), *told], env)

    def child(self, libraries: tuple[str, ...]) -> psutil.Process:
        """The process of the session that has one of ``libraries`` loaded."""
        for child in psutil.Process(self.program.process.pid).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                if any(name in mapped.path for mapped in child.memory_maps() for name in libraries):
                    return child
        raise AssertionError(f"no child has {libraries} loaded")

    @property
    def mask(self) -> psutil.Process:
        return self.child(("libopenvino", "libtorch"))

    @property
    def audio(self) -> psutil.Process:
        return self.child(("libportaudio",))

    def now(self) -> dict[str, Any]:
        """A status that is newer than this call."""
        asked = time.time()
        return self.program.wait(lambda s: s["type"] == "status" and s["time"] > asked, "a status")

    def well(self, **counters: int) -> dict[str, Any]:
        """The first status from now on with sound and fresh masks, and ``counters`` at least as large as these."""
        asked = time.time()
        return self.program.wait(
            lambda s: (
                s["type"] == "status"
                and s["time"] > asked
                and s["state"] == "running"
                and s["mask_age"] is not None
                and s["mask_age"] < 0.9
                and all(s[name] >= count for name, count in counters.items())
            ),
            f"a session that is well again, with {counters}",
        )

    def event(self, text: str, **options: Any) -> str:
        """The next event with ``text`` in it."""
        said = self.program.wait(lambda s: s["type"] == "event" and text in s["text"], repr(text), **options)
        return str(said["text"])


@pytest.fixture(scope="module")
def new_stage(home: Any, jack: Any) -> Iterator[Callable[..., Stage]]:
    """Start one in a folder: ``new_stage(folder, "--no-midi")``."""
    made: list[Stage] = []

    def start(folder: Path, *options: str) -> Stage:
        made.append(Stage(home, jack, folder, *options))
        return made[-1]

    yield start
    for one in made:
        one.program.process.kill()
        one.program.process.wait()


@pytest.fixture(scope="module")
def stage(new_stage: Callable[..., Stage], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A running session with a rack, a recording and a MIDI port to come; it leaves no error message behind."""
    made = new_stage(tmp_path_factory.mktemp("stage"), "--midi", "pad")
    made.program.running()
    yield made
    made.program.stop()
    assert made.program.errors() == ""


class Cable:
    """A JACK client that plays into the program and records what comes out, sample by sample.

    Output and input of one process call belong to the same frame, so an offset between what was played and what was
    recorded is the delay of everything between.
    """

    def __init__(self, server: str, heard: int = 2) -> None:
        jack = pytest.importorskip("jack", reason="the JACK-Client package is not installed")
        self._client = jack.Client("cable", servername=server, no_start_server=True)
        self._outs = [self._client.outports.register(f"out_{n}") for n in (1, 2)]
        self._ins = [self._client.inports.register(f"in_{n + 1}") for n in range(heard)]
        self._sound = np.zeros((0, 2), np.float32)
        self._heard = np.zeros((0, heard), np.float32)
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
        for channel, port in enumerate(self._outs):
            out = port.get_array()
            out[:] = 0.0
            out[: stop - place] = self._sound[place:stop, channel]
        for channel, port in enumerate(self._ins):
            self._heard[place:stop, channel] = port.get_array()[: stop - place]
        self._place = stop
        if stop == len(self._sound):
            self._done.set()

    def plug(self, client: str = "qsep-live", inputs: bool = True) -> None:
        """Put the cable at both ends of the client's PortAudio stream in place of the server's own ports."""
        jack = self._client
        theirs_in = jack.get_ports(f"{client}:in", is_input=True)
        theirs_out = jack.get_ports(f"{client}:out", is_output=True)
        assert (len(theirs_in), len(theirs_out)) == (2 * inputs, len(self._ins)), (theirs_in, theirs_out)
        for port in [*theirs_in, *theirs_out]:
            for other in jack.get_all_connections(port):
                jack.disconnect(*((other, port) if port.is_input else (port, other)))
        for mine, port in zip(self._outs[: len(theirs_in)], theirs_in, strict=True):
            jack.connect(mine, port)
        for port, mine in zip(theirs_out, self._ins, strict=True):
            jack.connect(port, mine)

    def play(self, sound: NDArray[np.float32], freewheel: bool = False, timeout: float = 120.0) -> NDArray[np.float32]:
        """Send ``sound`` (n, 2) through; what came back meanwhile, (n, heard)."""
        self._sound, self._heard = sound, np.zeros((len(sound), len(self._ins)), np.float32)
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

    def listen(self, seconds: float) -> NDArray[np.float32]:
        """What comes back of tones, in freewheel mode: what is missing then is not the fault of a busy machine."""
        axis = np.arange(int(44100 * seconds)) / 44100
        tones = 0.3 * np.sin(2 * np.pi * np.array([220.0, 331.0]) * axis[:, None])
        return self.play(tones.astype(np.float32), freewheel=True)

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
def listener() -> Iterator[Callable[..., Cable]]:
    """Put a client at a server: ``listener(jack.name)``."""
    made: list[Cable] = []

    def connect(server: str, heard: int = 2) -> Cable:
        made.append(Cable(server, heard))
        return made[-1]

    yield connect
    for one in made:
        one.close()


@pytest.fixture
def cable(jack: Any, listener: Callable[..., Cable]) -> Cable:
    return listener(jack.name)


class Pad:
    """A MIDI instrument at the server that may send any bytes at all."""

    def __init__(self, server: str) -> None:
        jack = pytest.importorskip("jack", reason="the JACK-Client package is not installed")
        self._client = jack.Client("pads", servername=server, no_start_server=True)
        self._waiting: deque[bytes] = deque()
        self._port: Any = None
        self._client.set_process_callback(self._process)
        self._client.activate()

    def _process(self, frames: int) -> None:
        port = self._port
        if port is None:
            return
        port.clear_buffer()
        for offset in range(min(len(self._waiting), frames // 2)):
            port.write_midi_event(offset, self._waiting.popleft())

    def plug(self) -> None:
        self._port = self._client.midi_outports.register("pad")

    def pull(self) -> None:
        """Once everything was sent."""
        while self._waiting:
            time.sleep(0.01)
        port, self._port = self._port, None
        port.unregister()

    def send(self, message: Sequence[int]) -> None:
        self._waiting.append(bytes(message))

    def close(self) -> None:
        self._client.deactivate()
        self._client.close()


@pytest.fixture
def pad(jack: Any) -> Iterator[Pad]:
    made = Pad(jack.name)
    yield made
    made.close()

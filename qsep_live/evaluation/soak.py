"""The live engine for a long time beside a bare passthrough, with moving knobs, other presets and faults that are real:
processes killed and stopped, preset files broken. What it should have survived is in the report.

Threading: the host's thread alone; it ticks the session and looks at it in between.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from qsep_live.audio.program import Program
from qsep_live.control.surface import PickPreset, SetParameter
from qsep_live.engine.endpoint import Endpoint
from qsep_live.engine.part import Part
from qsep_live.engine.session import TICK, LiveSession
from qsep_live.engine.session_config import SessionConfig
from qsep_live.engine.status import State, Status
from qsep_live.evaluation.dummy_server import DummyServer, Passthrough, own_memory_of, runs_in_real_time, use_server

RATE = 44_100
LOOK = 0.25
"""Seconds between two looks at the counters."""
FAULTS = ("mask killed", "mask stopped", "audio killed", "MIDI killed", "preset broken")
EXPLAINED = {"mask killed": 30.0, "mask stopped": 10.0, "audio killed": 30.0}
"""Seconds after a fault in which a fallback is its work: a new process reads the model again."""
UNDERRUN_EXPLAINED = {"audio killed": 10.0, "MIDI killed": 5.0}
"""Seconds after a fault in which an underrun is its work. Both processes are clients of the server: it waits for one
that died, and all clients miss that block; and a new stream begins."""
RECOVERY = 20.0
"""Seconds at the end without faults, or a quarter of the run: the session is to be well when it ends."""


@dataclass(frozen=True)
class Fault:
    """What was done to the session, and when, in seconds since the start."""

    at: float
    kind: str


@dataclass
class SoakRun:
    """What a soak came to.

    Attributes
    ----------
    memory
        For each process, its name and number: seconds and bytes.
    fallbacks, underruns
        Seconds at which the counters were seen to have risen, and by how many.
    late
        Who was late when a block was missed, as the server says: all its clients count all of these. None if it is not
        ours to listen to.
    real_time
        The audio process had a thread that is scheduled in real time.
    """

    blocksize: int
    minutes: float
    seed: int
    status: Status
    passthrough_underruns: int = 0
    faults: list[Fault] = field(default_factory=list)
    events: list[tuple[float, str]] = field(default_factory=list)
    fallbacks: list[tuple[float, int]] = field(default_factory=list)
    underruns: list[tuple[float, int]] = field(default_factory=list)
    memory: dict[str, list[tuple[float, int]]] = field(default_factory=dict)
    loudest: float = -np.inf
    recovered: bool = False
    real_time: bool = False
    late: Mapping[str, int] | None = None

    def unexplained_fallbacks(self) -> int:
        return sum(count for at, count in self.fallbacks if not self._follows(at, EXPLAINED))

    def unexplained_underruns(self) -> int:
        return sum(count for at, count in self.underruns if not self._follows(at, UNDERRUN_EXPLAINED))

    def count(self, kind: str) -> int:
        """How often a fault was injected."""
        return sum(fault.kind == kind for fault in self.faults)

    def growth(self) -> float | None:
        """Bytes that the processes have grown by after their warm-up, added up; None if no run was long enough.

        Of a process's life the first quarter (at least `WARM_UP` seconds) is left out; the medians of the first and
        the last quarter of the rest are compared, and of several lives of one process the one that grew most counts.
        """
        grown: dict[str, float] = {}
        for name, series in self.memory.items():
            times, sizes = np.array([at for at, _ in series]), np.array([size for _, size in series])
            life = times[-1] - times[0]
            settled = sizes[times - times[0] >= max(WARM_UP, life / 4)]
            if len(settled) < 16:
                continue
            part = len(settled) // 4
            role = name.partition(" ")[0]
            change = float(np.median(settled[-part:]) - np.median(settled[:part]))
            grown[role] = max(grown.get(role, -np.inf), change)
        return sum(max(0.0, change) for change in grown.values()) if grown else None

    def _follows(self, at: float, kinds: dict[str, float]) -> bool:
        # A look comes up to LOOK seconds after what it sees.
        return any(0.0 <= at - fault.at <= kinds.get(fault.kind, -1.0) + 2 * LOOK for fault in self.faults)


WARM_UP = 60.0
"""Seconds of a process's life that its memory may take to settle."""


def soak(
    config: SessionConfig,
    blocksize: int,
    minutes: float,
    seed: int,
    server: str | None = None,
    progress: Callable[[float], None] | None = None,
) -> SoakRun:
    """Run a session for ``minutes``.

    Parameters
    ----------
    config
        Its input becomes the demo song, again and again; its presets are read from copies of their files.
    blocksize
        Of the server that is started; of a given one, what it has.
    server
        The name of a JACK server that runs; None starts one with the dummy driver.
    progress
        Called with the share that is done.
    """
    with ExitStack() as closing:
        folder = Path(closing.enter_context(TemporaryDirectory(prefix="qsep-soak")))
        own = None
        if server is None:
            own = closing.enter_context(DummyServer(RATE, blocksize))
        else:
            use_server(server)
        passthrough = Passthrough()
        closing.callback(passthrough.kill)
        song = Program("the demo song", (sys.executable, "-m", "qsep_live.evaluation.soak_song"), RATE, 2)
        parts = tuple(_copied(part, folder) for part in config.parts)
        config = replace(config, parts=parts, input=Endpoint.of(song))
        result = _Soak(config, blocksize, minutes, seed, passthrough).run(progress)
        result.late = own.late() if own else None
        return result


class _Soak:
    def __init__(
        self, config: SessionConfig, blocksize: int, minutes: float, seed: int, passthrough: Passthrough
    ) -> None:
        self._config, self._seconds, self._passthrough = config, 60.0 * minutes, passthrough
        self._random = np.random.default_rng(seed)
        self._start = 0.0
        self._session = LiveSession(config, self._on_event)
        self._files = [path for part in config.parts for path in part.files or ()]
        self._names = [preset.name for part in config.parts for preset in part.presets]
        self._fault_queue: list[str] = []
        self._to_do: list[tuple[float, Callable[[], None]]] = []
        self._lives: dict[int, str] = {}
        self.result = SoakRun(blocksize, minutes, seed, self._session.status())

    def run(self, progress: Callable[[float], None] | None) -> SoakRun:
        result, session = self.result, self._session
        self._start = time.monotonic()
        try:
            session.start()
            self._passthrough.wait_running()
            self._start = time.monotonic()
            knobs = presets = looked = weighed = 0.0
            every = min(60.0, max(3.0, self._seconds / 8))
            quiet = self._seconds - min(RECOVERY, self._seconds / 4)
            faults = every / 2
            while (now := self._now()) < self._seconds:
                session.tick()
                if now >= knobs:
                    knobs = now + self._random.exponential(0.3)
                    self._turn_a_knob()
                if now >= presets:
                    presets = now + self._random.exponential(8.0)
                    session.apply(PickPreset(str(self._random.choice(self._names))))
                if faults <= now < quiet:
                    faults = now + every * self._random.uniform(0.8, 1.2)
                    self._inject(now)
                self._do_what_is_due(now)
                if now >= looked:
                    looked = now + LOOK
                    self._look(now)
                    if progress is not None:
                        progress(now / self._seconds)
                if now >= weighed:
                    weighed = now + min(10.0, max(0.5, self._seconds / 200))
                    self._weigh(now)
                time.sleep(TICK)
            result.recovered = session.status().state is State.RUNNING
            result.passthrough_underruns = self._passthrough.stop()
        finally:
            for _, action in self._to_do:
                action()
            result.status = session.stop()
        return result

    def _now(self) -> float:
        return time.monotonic() - self._start

    def _on_event(self, text: str) -> None:
        self.result.events.append((self._now(), text))

    def _turn_a_knob(self) -> None:
        parameters = self._session.parameters
        chosen = parameters[int(self._random.integers(len(parameters)))]
        self._session.apply(SetParameter(chosen.name, float(self._random.uniform(chosen.minimum, chosen.maximum))))

    def _inject(self, now: float) -> None:
        """The next fault: every kind comes once before any comes again."""
        if not self._fault_queue:
            self._fault_queue = [str(kind) for kind in self._random.permutation(FAULTS)]
        kind = self._fault_queue.pop()
        if kind == "preset broken":
            self._break_a_preset(now)
        else:
            name, _, what = kind.partition(" ")
            pid = self._session.workers.get(name)
            if pid is None:
                return
            with suppress(ProcessLookupError):
                if what == "killed":
                    os.kill(pid, signal.SIGKILL)
                else:
                    os.kill(pid, signal.SIGSTOP)
                    self._to_do.append((now + self._random.uniform(0.5, 3.0), lambda: _go_on(pid)))
        self.result.faults.append(Fault(now, kind))

    def _break_a_preset(self, now: float) -> None:
        path = self._files[int(self._random.integers(len(self._files)))]
        text = path.read_text(encoding="utf-8")
        path.write_text(text[: len(text) // 2], encoding="utf-8")

        def mend() -> None:
            path.write_text(text, encoding="utf-8")

        self._to_do.append((now + 2.5, mend))

    def _do_what_is_due(self, now: float) -> None:
        for when, action in [each for each in self._to_do if each[0] <= now]:
            self._to_do.remove((when, action))
            action()

    def _look(self, now: float) -> None:
        result, status = self.result, self._session.status()
        for name, seen in (("fallbacks", result.fallbacks), ("underruns", result.underruns)):
            risen = getattr(status, name) - sum(count for _, count in seen)
            if risen > 0:
                seen.append((now, risen))
        result.loudest = max(result.loudest, status.level_out)

    def _weigh(self, now: float) -> None:
        for name, pid in self._session.workers.items():
            life = self._lives.setdefault(pid, f"{name} {sum(n.startswith(name) for n in self._lives.values()) + 1}")
            if size := own_memory_of(pid):
                self.result.memory.setdefault(life, []).append((now, size))
            self.result.real_time |= name == "audio" and runs_in_real_time(pid)


def _go_on(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGCONT)


def _copied(part: Part, folder: Path) -> Part:
    """The part with files of its own, that may be broken."""
    if part.files is None:
        return part
    return replace(part, files=tuple(Path(shutil.copy(path, folder)) for path in part.files))

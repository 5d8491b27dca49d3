"""MIDI input from a port that may come and go, and MIDI output to one that is there.

Threading: one thread owns a `MidiInput` or a `MidiOutput` and calls everything on it.
"""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, Literal

from qsep_live.control.system import MidiSystem, known_systems
from qsep_live.errors import QsepError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

# After a hang the host gets the newest messages: a knob's last value is what counts.
CAPACITY = 1024
# Trying a server that is not there costs some ten milliseconds.
_RETRY = 3.0
# JACK takes messages with its next cycle, and one that closes before has sent nothing.
_DRAIN = 0.1
_NO_INSTRUMENT = "midi through"


def _no_system(reasons: Iterable[str]) -> str:
    return f"MIDI is not available here ({'; '.join(reasons)}); load ALSA's sequencer or start a JACK server"


def list_ports() -> tuple[list[str], list[str]]:
    """The MIDI inputs and outputs that exist, by full name.

    Raises
    ------
    QsepError
        There is no MIDI system at all; the message says why each one failed.
    """
    reasons = []
    lists: dict[Literal["in", "out"], list[str]] = {"in": [], "out": []}
    found = False
    for api, label in known_systems():
        try:
            for kind, names in lists.items():
                system = MidiSystem(api, kind)
                names.extend(name for name in system.names() if name not in names)
                system.close()
            found = True
        except ConnectionError as error:
            reasons.append(f"{label}: {error}")
    if not found:
        raise QsepError(_no_system(reasons))
    return lists["in"], lists["out"]


class MidiInput:
    """The messages of one MIDI input port, whenever it is there.

    Parameters
    ----------
    name_part
        Listen to the first port whose name contains this, in any case. None takes the first port that is an
        instrument (not ALSA's "Midi Through"); that there is none is fine.
    clock
        The clock that stamps messages, in seconds; `watch` goes by it too.

    Raises
    ------
    QsepError
        A port was asked for by name and there is no MIDI system at all. That the port itself is missing is no
        error: `watch` says so and waits for it.
    """

    def __init__(self, name_part: str | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._name_part = name_part
        self._clock = clock
        self._systems: dict[int, MidiSystem] = {}
        self._retry_at: dict[int, float] = {}
        self._open: MidiSystem | None = None
        self._port_name: str | None = None
        self._lost: str | None = None
        self._dropped = 0
        self._polled_at = clock()
        reasons = self._enter_systems(self._polled_at)
        if name_part is not None and not self._systems:
            raise QsepError(_no_system(reasons))
        self._connect()
        self._news = self._came() if self.connected else self._missing()

    @property
    def connected(self) -> bool:
        """Whether a port is open."""
        return self._open is not None

    @property
    def port_name(self) -> str | None:
        """The full name of the open port, or None."""
        return self._port_name

    @property
    def dropped(self) -> int:
        """Messages thrown away, oldest first, because the host did not poll for too long."""
        return self._dropped

    def poll(self) -> list[tuple[float, bytes]]:
        """The messages since the last poll, oldest first, each with its time on the clock."""
        now = self._clock()
        messages: deque[tuple[float, bytes]] = deque(maxlen=CAPACITY)
        count = 0
        # Every system, not only the open port's: what a port sent just before it vanished counts too.
        for system in self._systems.values():
            came = system.read(self._polled_at, now)
            messages.extend(came)
            count += len(came)
        self._dropped += count - len(messages)
        self._polled_at = now
        return list(messages)

    def watch(self, now: float) -> str | None:
        """Follow ports and servers that come and go; call it about once a second.

        Returns a line for the user when something happened (the first call: how it began). Never raises:
        without a port it waits for one.
        """
        news = [self._news] if self._news else []
        self._news = None
        if self._open and not self._open.linked():
            news.append(self._let_go(self._open))
        for api in [api for api, system in self._systems.items() if not system.alive]:
            self._systems.pop(api).close()
        if not self.connected:
            self._enter_systems(now)
            if self._connect():
                news.append(self._came())
        return "; ".join(news) or None

    def close(self) -> None:
        """Let go of the port and leave all MIDI systems."""
        self._open = self._port_name = None
        while self._systems:
            self._systems.popitem()[1].close()

    def _enter_systems(self, now: float) -> list[str]:
        """Become a client of each system that is there; why the others are not."""
        reasons = []
        for api, label in known_systems():
            if api in self._systems or now < self._retry_at.get(api, now):
                continue
            try:
                self._systems[api] = MidiSystem(api)
            except ConnectionError as error:
                self._retry_at[api] = now + _RETRY
                reasons.append(f"{label}: {error}")
        return reasons

    def _connect(self) -> bool:
        """Open the first port that is wanted, in the order of the systems."""
        for system in self._systems.values():
            for name in system.names():
                if self._wanted(name) and system.open(name):
                    self._open, self._port_name = system, name
                    return True
        return False

    def _wanted(self, name: str) -> bool:
        if self._name_part is None:
            return _NO_INSTRUMENT not in name.lower()
        return self._name_part.lower() in name.lower()

    def _let_go(self, system: MidiSystem) -> str:
        name, self._lost = self._port_name, self._port_name
        self._open = self._port_name = None
        system.shut()
        server = "" if system.alive else " with its server"
        return f"MIDI input '{name}' is gone{server}; waiting for it"

    def _came(self) -> str:
        back = "is back" if self._port_name == self._lost else "is connected"
        return f"MIDI input '{self._port_name}' {back}"

    def _missing(self) -> str | None:
        if self._name_part is None:
            return None
        there = ", ".join(f"'{name}'" for system in self._systems.values() for name in system.names())
        wanted = f"no MIDI input has '{self._name_part}' in its name"
        return f"{wanted} (there are: {there or 'none'}); waiting for it"


class MidiOutput:
    """The first MIDI output port whose name contains ``name_part``, in any case.

    Raises
    ------
    QsepError
        There is no such port, or no MIDI system at all: says what there is.
    """

    def __init__(self, name_part: str) -> None:
        reasons, there = [], []
        for api, label in known_systems():
            try:
                system = MidiSystem(api, "out")
            except ConnectionError as error:
                reasons.append(f"{label}: {error}")
                continue
            names = system.names()
            for name in names:
                if name_part.lower() in name.lower() and system.open(name):
                    self._system, self.port_name = system, name
                    return
            there += names
            system.close()
        if len(reasons) == len(known_systems()):
            raise QsepError(_no_system(reasons))
        listed = ", ".join(f"'{name}'" for name in there) or "none"
        raise QsepError(f"no MIDI output has '{name_part}' in its name; there are: {listed}")

    def send(self, message: bytes) -> None:
        """Send one message. Raises QsepError where the port is gone."""
        if not self._system.send(message):
            raise QsepError(f"MIDI output '{self.port_name}' is gone")

    def close(self) -> None:
        """Let go of the port; what was sent a moment ago still arrives."""
        time.sleep(_DRAIN)
        self._system.close()

"""A client of one of the systems that carry MIDI: ALSA, JACK, Core MIDI, Windows MM.

Threading: the thread that makes a `MidiSystem` calls everything on it. rtmidi's own thread (under JACK: the
server's process cycle) only fills rtmidi's queue. A Python callback instead would make the JACK cycle wait
for the GIL: measured with a busy host, a hundred xruns in five seconds and one controller in twenty lost,
against none.
"""

from __future__ import annotations

import math
import time
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from qsep_live.control.native import JackWatch, quiet_alsa

if TYPE_CHECKING:
    from collections.abc import Callable

_T = TypeVar("_T")

CLIENT = "qsep-live-midi"
# A MIDI cable carries a thousand messages a second: four such seconds for a host that hangs.
QUEUE = 4096
_LINK_WAIT = 0.3


def _unless_gone(call: Callable[..., _T], otherwise: _T, *arguments: object) -> _T:
    """What ``call`` returns, or ``otherwise`` when rtmidi refuses because a port or server just went away."""
    import rtmidi

    try:
        return call(*arguments)
    except rtmidi.RtMidiError:
        return otherwise


class MidiSystem:
    """One such client, for reading (``in``) or for writing (``out``).

    Raises
    ------
    ConnectionError
        The system is not there.
    """

    def __init__(self, api: int, kind: Literal["in", "out"] = "in") -> None:
        import rtmidi

        self._watch = JackWatch(f"{CLIENT}-watch") if api == rtmidi.API_UNIX_JACK else None
        self._api, self._kind = api, kind
        try:
            self._rtmidi: Any = self._client()
        except rtmidi.RtMidiError as error:
            if self._watch:
                self._watch.close()
            raise ConnectionError(str(error).rstrip(".")) from error
        self._used = False
        self._source: str | None = None
        self._own: frozenset[str] = frozenset()
        self._stamp = math.inf

    def _client(self) -> Any:
        import rtmidi

        with quiet_alsa() if self._api == rtmidi.API_LINUX_ALSA else nullcontext():
            if self._kind == "in":
                return rtmidi.MidiIn(self._api, name=CLIENT, queue_size_limit=QUEUE)
            return rtmidi.MidiOut(self._api, name=CLIENT)

    @property
    def alive(self) -> bool:
        """False when the server behind it died; only JACK's can."""
        return self._rtmidi is not None and (self._watch is None or self._watch.alive)

    def names(self) -> list[str]:
        """The full names of the ports to read from (or to write to, for an output client)."""
        return _unless_gone(self._rtmidi.get_ports, []) if self.alive else []

    def open(self, source: str) -> bool:
        """Listen to ``source`` (or be ready to send to it); False when it went away meanwhile."""
        if self._used:
            self._renew()
        self._used = True
        before = self._watch.listeners(source) if self._watch else frozenset()
        names = self.names()
        if source not in names or _unless_gone(self._open_index, None, names.index(source)) is None:
            return False
        self._source = source
        if self._watch is None:
            return True
        # rtmidi does not say whether JACK made the connection, and a busy server shows it some cycles later.
        until = time.monotonic() + _LINK_WAIT
        while not (own := self._watch.listeners(source) - before) and time.monotonic() < until:
            time.sleep(0.01)
        self._own = own
        if not own:
            self.shut()
        return bool(own)

    def _renew(self) -> None:
        """Begin with a new client: one whose port was pulled in the middle of a system-exclusive message waits for the
        end of it for ever, and hears nothing else."""
        self._rtmidi.delete()
        self._rtmidi = _unless_gone(self._client, None)
        self._stamp = math.inf

    def _open_index(self, index: int) -> Any:
        return self._rtmidi.open_port(index, name=f"midi {self._kind}")

    def linked(self) -> bool:
        """Whether the port that was opened is still there, and the same one.

        A JACK port that was closed and opened again since is another one, although it has the same name.
        """
        if self._source is None or self._source not in self.names():
            return False
        return self._watch is None or bool(self._own & self._watch.listeners(self._source))

    def shut(self) -> None:
        """Stop listening to the port."""
        self._source = None
        if self._rtmidi is not None:
            _unless_gone(self._rtmidi.close_port, None)

    def read(self, since: float, now: float) -> list[tuple[float, bytes]]:
        """The messages that came after the time ``since``, oldest first, each with its time.

        rtmidi tells the distances between messages only, so the times are the latest possible ones: the last
        message came no later than any ``now`` at which it was read.
        """
        messages = []
        span = 0.0
        while self._rtmidi is not None and (event := self._rtmidi.get_message()) is not None:
            span += event[1]
            messages.append((span, bytes(event[0])))
        if not messages:
            return []
        start = min(self._stamp, now - span)
        self._stamp = start + span
        return [(min(now, max(since, start + offset)), data) for offset, data in messages]

    def send(self, message: bytes) -> bool:
        """Send to the port that was opened; False when it is gone."""
        if not self.linked():
            return False
        return bool(_unless_gone(self._send, False, message))

    def _send(self, message: bytes) -> bool:
        self._rtmidi.send_message(message)
        return True

    def close(self) -> None:
        """Leave the system; the object is spent."""
        if self._rtmidi is not None:
            self._rtmidi.delete()
        if self._watch:
            self._watch.close()


def known_systems() -> list[tuple[int, str]]:
    """The systems that this build of rtmidi knows, by number and name, the usual one first."""
    import rtmidi

    return [(api, rtmidi.get_api_display_name(api)) for api in rtmidi.get_compiled_api()]

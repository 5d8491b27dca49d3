"""One face for whatever shows a session: meters, plain lines, or JSON.

Threading: the host's thread alone.
"""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Protocol, TextIO

if TYPE_CHECKING:
    from qsep_live.engine.status import Status


class Display(AbstractContextManager["Display"], Protocol):
    """Shows a session. Leaving the context gives the terminal back."""

    interval: float
    """Seconds between two calls of `show` that are worth it."""

    @property
    def closed(self) -> bool:
        """Whether the reader of the output is gone (a broken pipe); nothing is shown any more."""

    def event(self, text: str) -> None:
        """Something happened."""

    def show(self, status: Status) -> None:
        """The session now."""

    def finish(self, status: Status) -> None:
        """The session is over: the summary. Call it after leaving the context."""


class Output:
    """A text stream that may lose its reader: it then swallows the rest and remembers."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.closed = False

    def line(self, text: str) -> None:
        """Write a line at once."""
        if self.closed:
            return
        try:
            self._stream.write(text + "\n")
            self._stream.flush()
        except BrokenPipeError:
            self.closed = True


def open_display(as_json: bool) -> Display:
    """JSON lines if asked for, meters where there is a terminal, else plain lines on stdout."""
    if as_json:
        from qsep_live.ui.lines import JsonDisplay

        return JsonDisplay(sys.stdout)
    from qsep_live.ui.meters import Meters, PlainDisplay

    for stream in (sys.stdout, sys.stderr):
        if stream.isatty():
            return Meters(stream, sys.stdout)
    return PlainDisplay(sys.stdout)

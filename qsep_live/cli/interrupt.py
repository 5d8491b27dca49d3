"""Ctrl-C and SIGTERM: an exception that cleans up after itself, or a wish that a loop looks at.

Threading: the main thread, where Python delivers signals.
"""

from __future__ import annotations

import signal
from types import FrameType
from typing import Any, Self

import click

from qsep_live.unbroken import forget, raise_when_free

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(BaseException):
    """One of the signals came; ``number`` says which. No KeyboardInterrupt, of which click would make its own."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class Interrupts:
    """A context manager in which both signals raise `Interrupted`, or after `defer` set `wished`.

    ``raised`` is the last one that was raised.
    """

    def __init__(self) -> None:
        self.wished = False
        self.raised: Interrupted | None = None
        self._deferred = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        forget()
        for number in _SIGNALS:
            self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        forget()

    def defer(self) -> None:
        """From now on only take note."""
        self._deferred = True

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        self.wished = True
        if not self._deferred:
            self.raised = Interrupted(number)
            raise_when_free(self.raised)


class Noted(Interrupts):
    """A first signal is noted, so that the run can save; a second one ends it at once."""

    number = 0

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.wished:
            raise_when_free(Interrupted(number))
            return
        self.number = number
        super()._handle(number, frame)
        click.echo("stopping: the state is saved after this step; once more to stop without", err=True)

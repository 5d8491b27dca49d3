"""Calls that a signal does not break: an exception cannot pass through a C library's callbacks, which only print it.

Nor is it safe everywhere else: Python's own import of a name that is not there clears what a handler raised meanwhile.
So what was raised is remembered, and work of many steps asks at each whether it was lost (`raise_lost`).

This module imports no room, so that every room may use it. Threading: the main thread, where Python runs handlers; on
other threads `unbroken` does nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

_depth = 0
_waiting: BaseException | None = None
_raised: BaseException | None = None


@contextmanager
def unbroken() -> Iterator[None]:
    """Within: what `raise_when_free` is given waits, and is raised at the end, in place of any other exception."""
    global _depth, _waiting
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _depth += 1
    try:
        yield
    finally:
        _depth -= 1
        if _depth == 0 and _waiting is not None:
            waiting, _waiting = _waiting, None
            _raise(waiting)


def raise_when_free(error: BaseException) -> None:
    """Raise ``error``, from a signal's handler, now or when the calls that must not be broken are over."""
    global _waiting
    if _depth:
        _waiting = error
    else:
        _raise(error)


def raise_lost() -> None:
    """Raise again what was raised and swallowed on its way: the caller is still at work."""
    if _raised is not None and threading.current_thread() is threading.main_thread():
        raise _raised


def forget() -> None:
    """Nothing has been raised so far: other handlers begin, or these have had their effect."""
    global _raised
    _raised = None


def _raise(error: BaseException) -> NoReturn:
    global _raised
    _raised = error
    raise error

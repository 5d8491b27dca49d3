"""Calls that a signal does not break: an exception cannot pass through a C library's callbacks, which only print it.

This module imports no room, so that every room may use it. Threading: the main thread, where Python runs handlers; on
other threads `unbroken` does nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

_depth = 0
_waiting: BaseException | None = None


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
            raise waiting


def raise_when_free(error: BaseException) -> None:
    """Raise ``error``, from a signal's handler, now or when the calls that must not be broken are over."""
    global _waiting
    if _depth:
        _waiting = error
    else:
        raise error

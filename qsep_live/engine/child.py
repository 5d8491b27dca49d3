"""What the audio and the mask process share: how they start, report, notice the host's end, and leave.

A child is spawned, never forked. It ignores Ctrl-C, which reaches the whole group: the host alone decides. It tells
the host of errors in one line through its pipe, and beats in shared memory so that a hang is seen.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Literal

from qsep_live.errors import QsepError, UsageError

FAILED = 1
USAGE = 2
LOST = 3
"""Exit codes: a one-line error was sent (2: the user's); the stream is gone, start again."""


@dataclass(frozen=True)
class Word:
    """One message from a child to the host."""

    kind: Literal["ready", "event", "error", "usage", "midi"]
    text: str = ""
    data: dict[str, Any] = field(default_factory=dict)


class HostWatch:
    """Whether the host still lives; asks the system twice a second."""

    def __init__(self) -> None:
        self._parent = multiprocessing.parent_process()
        self._next = 0.0

    def gone(self) -> bool:
        now = time.monotonic()
        if self._parent is None or now < self._next:
            return False
        self._next = now + 0.5
        return not self._parent.is_alive()


def run_child(main: Callable[..., None], link: Connection, *arguments: object) -> None:
    """Run ``main(link, *arguments)`` as a child: errors become words, the process ends at once after it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    code = 0
    try:
        main(link, *arguments)
    except UsageError as error:
        code = USAGE
        tell(link, Word("usage", str(error)))
    except QsepError as error:
        code = FAILED
        tell(link, Word("error", str(error)))
    except Exception as error:
        code = FAILED
        place = _place(error)
        reason = " ".join(str(error).split())[:200]
        tell(
            link,
            Word("error", f"{main.__module__.rsplit('.', 1)[-1]}: {type(error).__name__}: {reason} ({place})"),
        )
    finally:
        # A dead audio server hangs PortAudio's own exit handler, so nobody's is run.
        with suppress(OSError):
            link.close()
        os._exit(code)


def tell(link: Connection, word: Word) -> None:
    """Send ``word``; a host that is gone hears nothing."""
    with suppress(OSError, ValueError):
        link.send(word)


def _place(error: BaseException) -> str:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return "unknown place"
    return f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}"

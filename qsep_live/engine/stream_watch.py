"""A process with an open stream: it beats, notices the end of the host and of the device, and hears SIGTERM.

Threading: the main thread of such a process.
"""

from __future__ import annotations

import gc
import signal
import time
from math import inf
from types import FrameType
from typing import TYPE_CHECKING

from qsep_live.engine.child import HostWatch
from qsep_live.engine.shared import Board

if TYPE_CHECKING:
    from qsep_live.audio.stream import DuplexStream

STALLED = 2.0
"""Seconds without a callback after which the server counts as gone."""
TURN = 0.02


class StreamWatch:
    """Starts a stream and looks after it: ``while watch.turn(): …``, and `lost` says whether the device is gone.

    Parameters
    ----------
    board
        Where it beats, at ``beat``, and where the host says that it is over.
    stream
        Opened, not started.
    """

    def __init__(self, board: Board, beat: int, stream: DuplexStream) -> None:
        self._board, self._beat, self._stream = board, beat, stream
        self._host = HostWatch()
        self._asked = False
        self._last = self._trust = 0.0
        # A collection in the middle of a callback is an xrun: what exists is exempt, what is new has no cycles.
        gc.collect()
        gc.freeze()
        gc.disable()
        stream.start()
        signal.signal(signal.SIGTERM, self._ask)

    def turn(self) -> bool:
        """Wait for the next turn; False when the session is over."""
        if self._asked:
            return False
        time.sleep(TURN)
        now = self._board.beats[self._beat] = time.monotonic()
        if self._last and now - self._last > 0.5 * STALLED:
            # This process was stopped, so no callback could come: the stream gets the time to go on.
            self._trust = now + STALLED
        self._last = now
        self._board.control.refresh()
        return not (self._board.control["stop"] or self._host.gone())

    @property
    def lost(self) -> str | None:
        """Why there is no sound any more, or None while there is. PortAudio must then not be touched again."""
        if self._stream.alive(STALLED if self._last >= self._trust else inf):
            return None
        error = self._stream.error
        return f"{type(error).__name__}: {error}" if error else "the audio server stopped calling"

    def _ask(self, _number: int, _frame: FrameType | None) -> None:
        """A service manager sends SIGTERM to every process of a session: what is open is completed first."""
        self._asked = True

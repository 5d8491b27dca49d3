"""What comes from an input device with a clock of its own, as the audio callback reads it."""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray

from qsep_live.audio.clock_join import ClockJoin, Mark
from qsep_live.engine.shared import Board


class InputFeed:
    """A source like `audio.sources.FileSource`. Threading: `read_into` in the callback; the rest anywhere.

    Attributes
    ----------
    finished
        Never: a device that is gone may come back.
    """

    finished = False

    def __init__(self, board: Board, channels: int, rate: int) -> None:
        self._board, self._rate = board, rate
        self._join = ClockJoin(board.captured, channels, rate, self._mark)

    @property
    def missed(self) -> int:
        """Frames that were dropped or made up."""
        return self._join.dropped + self._join.silent

    @property
    def drift(self) -> float:
        """What the input's clock is faster than the output's, as a share."""
        return self._join.drift

    @property
    def latency(self) -> float:
        """Seconds from the interface's input to the callback."""
        record = self._board.input
        device = max(0.0, record["latency"] - record["block"] / max(1.0, record["rate"]))
        return device + self._join.delay if self._join.joined else 0.0

    def read_into(self, block: NDArray[np.float32]) -> int:
        """Fill ``block`` (n, channels), with silence where there is no input."""
        self._join.read_into(block, time.perf_counter())
        return len(block)

    def _mark(self) -> Mark | None:
        record = self._board.input
        record.refresh()
        if not record["epoch"]:
            return None
        return Mark(
            int(record["epoch"]), record["rate"], int(record["first"]), int(record["position"]),
            record["time"], record["seconds"], int(record["block"]),
        )  # fmt: skip

"""A bounded queue of samples between parts that do not take and give the same number of frames."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Block = NDArray[np.float32]
"""Samples shaped (channels, frames), float32, C-contiguous: what pedalboard takes."""


class Fifo:
    """Frames in, frames out, in order; the memory is allocated once.

    Parameters
    ----------
    channels
        Rows of every block.
    capacity
        The most frames it ever holds.
    """

    def __init__(self, channels: int, capacity: int) -> None:
        self._data = np.zeros((channels, 2 * capacity), np.float32)
        self._start = 0
        self._capacity = capacity
        self.count = 0

    def refill(self, frames: int) -> None:
        """Hold ``frames`` of silence and nothing else."""
        self._data.fill(0.0)
        self._start, self.count = 0, frames

    def push(self, block: Block) -> None:
        """Append a block (channels, n).

        Raises
        ------
        OverflowError
            It would hold more than its capacity.
        """
        frames = block.shape[1]
        if self.count + frames > self._capacity:
            raise OverflowError(f"{self.count + frames} frames in a queue for {self._capacity}")
        if self._start + self.count + frames > self._data.shape[1]:
            self._data[:, : self.count] = self._data[:, self._start : self._start + self.count]
            self._start = 0
        end = self._start + self.count
        self._data[:, end : end + frames] = block
        self.count += frames

    def pop(self, frames: int) -> Block:
        """The oldest ``frames``, as a new C-contiguous array."""
        if frames > self.count:
            raise ValueError(f"{frames} frames wanted of {self.count}")
        out = self._data[:, self._start : self._start + frames].copy()
        self._start += frames
        self.count -= frames
        return out

    def drop(self, frames: int) -> int:
        """Forget up to ``frames`` of the oldest; how many there were."""
        frames = min(frames, self.count)
        self._start += frames
        self.count -= frames
        return frames

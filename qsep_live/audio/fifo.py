"""Frames from one thread to another.

Threading: one thread writes, one thread reads, neither waits. Each side moves only its own counter, after the
samples are in place; a Python int is stored at once, so no lock is needed.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Block = NDArray[np.float32]


class FrameFifo:
    """A bounded first-in, first-out store of frames.

    Parameters
    ----------
    capacity : int
        Frames it can hold.
    channels : int
    """

    def __init__(self, capacity: int, channels: int) -> None:
        self.capacity = max(1, capacity)
        self.channels = channels
        self._data = np.zeros((self.capacity, channels), np.float32)
        self.written = 0
        self.taken = 0

    @property
    def fill(self) -> int:
        """Frames waiting to be read."""
        return self.written - self.taken

    @property
    def space(self) -> int:
        """Frames that can be written now."""
        return self.capacity - self.fill

    def write(self, block: Block) -> int:
        """Writer: append as many frames as fit; returns how many."""
        count = min(len(block), self.space)
        start = self.written % self.capacity
        head = min(count, self.capacity - start)
        self._data[start : start + head] = block[:head]
        self._data[: count - head] = block[head:count]
        self.written += count
        return count

    def write_silence(self, frames: int) -> int:
        """Writer: append as many zero frames as fit; returns how many."""
        count = min(frames, self.space)
        start = self.written % self.capacity
        head = min(count, self.capacity - start)
        self._data[start : start + head] = 0.0
        self._data[: count - head] = 0.0
        self.written += count
        return count

    def read_into(self, out: Block) -> int:
        """Reader: fill ``out`` with what is there, zeros after it; returns how many frames there were."""
        count = min(len(out), self.fill)
        start = self.taken % self.capacity
        head = min(count, self.capacity - start)
        out[:head] = self._data[start : start + head]
        out[head:count] = self._data[: count - head]
        out[count:] = 0.0
        self.taken += count
        return count

    def skip(self, frames: int) -> int:
        """Reader: drop the oldest frames; returns how many."""
        count = min(frames, self.fill)
        self.taken += count
        return count

"""Single-producer, single-consumer ring of samples over any buffer, plain or shared memory.

Threading: one thread (or process) calls `write`, one calls `read` and `latest`. Neither waits; each owns one
cursor. Positions are absolute: the number of frames ever written, so both sides agree on sample time.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


class Ring:
    """A ring of float32 frames.

    Parameters
    ----------
    samples
        (capacity, channels) float32: where the frames live.
    cursors
        (2,) int64: frames written, frames read.
    """

    def __init__(self, samples: NDArray[np.float32], cursors: NDArray[np.int64]) -> None:
        self._samples = samples
        self._cursors = cursors
        self.capacity = samples.shape[0]

    @classmethod
    def allocate(cls, capacity: int, channels: int) -> Ring:
        """A ring in this process's own memory."""
        return cls(np.zeros((capacity, channels), np.float32), np.zeros(2, np.int64))

    @property
    def written(self) -> int:
        """Frames ever written: the position of the next frame."""
        return int(self._cursors[0])

    @property
    def consumed(self) -> int:
        """Frames ever read by `read`."""
        return int(self._cursors[1])

    def write(self, block: NDArray[np.float32]) -> None:
        """Append ``block`` (n, channels), n ≤ capacity; the oldest frames are overwritten."""
        count = block.shape[0]
        if count > self.capacity:
            raise ValueError(f"{count} frames do not fit a ring of {self.capacity}")
        start = self.written
        offset = start % self.capacity
        head = min(count, self.capacity - offset)
        self._samples[offset : offset + head] = block[:head]
        self._samples[: count - head] = block[head:]
        self._cursors[0] = start + count

    def read(self, out: NDArray[np.float32]) -> int:
        """Fill ``out`` (n, channels) with the next frames, zeros where there are none.

        Returns
        -------
        int
            Frames that were there; fewer than n is an underrun. Frames overwritten before they were read are
            skipped, so that delay never grows.
        """
        written = self.written
        start = max(self.consumed, written - self.capacity)
        count = min(out.shape[0], written - start)
        self._copy(start, out[:count])
        out[count:] = 0.0
        self._cursors[1] = start + count
        return int(count)

    def latest(self, out: NDArray[np.float32]) -> int | None:
        """Fill ``out`` (n, channels) with the newest n frames, zeros before the first ever written.

        Returns
        -------
        int or None
            The position after the newest frame copied, or None if the writer overran the copy.
        """
        end = self.written
        return end if self.at(end, out) else None

    def at(self, end: int, out: NDArray[np.float32]) -> bool:
        """Fill ``out`` (n, channels) with the frames before position ``end``; False if they are not (all) here."""
        count = out.shape[0]
        start = end - count
        present = min(count, end)
        out[: count - present] = 0.0
        self._copy(end - present, out[count - present :])
        return self.written >= end and self.written - max(start, 0) <= self.capacity

    def _copy(self, start: int, out: NDArray[np.float32]) -> None:
        offset = start % self.capacity
        head = min(out.shape[0], self.capacity - offset)
        out[:head] = self._samples[offset : offset + head]
        out[head:] = self._samples[: out.shape[0] - head]

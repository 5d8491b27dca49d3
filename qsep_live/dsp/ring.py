"""Single-producer, single-consumer ring of samples over any buffer, plain or shared memory.

Threading: one thread (or process) calls `write`, one calls `read`, `latest` and `at`. Neither waits; each owns its
own cursors. Positions are absolute: the number of frames ever written, so both sides agree on sample time. The writer
claims the frames it is about to overwrite before it touches them, so that a reader knows afterwards whether what it
copied was whole.
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
        (3,) int64: frames written, frames read, frames claimed by a write under way.
    """

    def __init__(self, samples: NDArray[np.float32], cursors: NDArray[np.int64]) -> None:
        self._samples = samples
        self._cursors = cursors
        self.capacity: int = samples.shape[0]

    @classmethod
    def allocate(cls, capacity: int, channels: int) -> Ring:
        """A ring in this process's own memory."""
        return cls(np.zeros((capacity, channels), np.float32), np.zeros(3, np.int64))

    @property
    def written(self) -> int:
        """Frames ever written: the position of the next frame."""
        return int(self._cursors[0])

    @property
    def consumed(self) -> int:
        """Frames ever read by `read`, or skipped by it because they were overwritten."""
        return int(self._cursors[1])

    @property
    def _oldest(self) -> int:
        """Position of the oldest frame that no write touches now."""
        return int(self._cursors[2]) - self.capacity

    def write(self, block: NDArray[np.float32]) -> None:
        """Append ``block`` (n, channels), n ≤ capacity; the oldest frames are overwritten."""
        count = block.shape[0]
        if count > self.capacity:
            raise ValueError(f"{count} frames do not fit a ring of {self.capacity}")
        start = self.written
        offset = start % self.capacity
        head = min(count, self.capacity - offset)
        self._cursors[2] = start + count
        self._samples[offset : offset + head] = block[:head]
        self._samples[: count - head] = block[head:]
        self._cursors[0] = start + count

    def read(self, out: NDArray[np.float32]) -> int:
        """Fill ``out`` (n, channels) with the next frames, zeros where there are none.

        Returns
        -------
        int
            Frames that were there; fewer than n is an underrun. Frames overwritten before they were read, or while,
            are skipped, so that delay never grows: `consumed` grows by more than was returned.
        """
        # A second attempt fails only if the writer has gone round the whole ring during the first copy.
        for _ in range(2):
            start = max(self.consumed, self._oldest)
            count = max(0, min(int(out.shape[0]), self.written - start))
            self._copy(start, out[:count])
            if self._oldest <= start:
                break
        else:
            start, count = self.written, 0
        out[count:] = 0.0
        self._cursors[1] = start + count
        return count

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
        """Fill ``out`` (n, channels), n ≤ capacity, with the frames before position ``end``.

        Returns
        -------
        bool
            False if they were not all there, or were overwritten meanwhile; ``out`` is then of no use.
        """
        count: int = out.shape[0]
        if count > self.capacity:
            raise ValueError(f"{count} frames asked of a ring of {self.capacity}")
        if self.written < end:
            return False
        present = min(count, max(end, 0))
        out[: count - present] = 0.0
        self._copy(end - present, out[count - present :])
        return present == 0 or self._oldest <= end - present

    def _copy(self, start: int, out: NDArray[np.float32]) -> None:
        offset = start % self.capacity
        head = min(out.shape[0], self.capacity - offset)
        out[:head] = self._samples[offset : offset + head]
        out[head:] = self._samples[: out.shape[0] - head]

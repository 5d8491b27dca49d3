"""A growing-end, moving-start buffer of samples: push at the end, look at a contiguous stretch, skip the start."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


class Tape:
    """Channel-major samples between a write and a read position, always contiguous.

    Moving the kept samples to the front is amortised over a capacity several times what is kept. It grows only when
    a block larger than ever before arrives.
    """

    def __init__(self, channels: int, capacity: int, filled: int = 0) -> None:
        self._samples = np.zeros((channels, capacity), np.float32)
        self._start, self._end = 0, filled

    def __len__(self) -> int:
        return self._end - self._start

    def push(self, samples: NDArray[np.float32]) -> None:
        """Append ``samples`` (channels, n)."""
        count, kept = samples.shape[1], len(self)
        if self._end + count > self._samples.shape[1]:
            target = self._samples
            if kept + count > target.shape[1]:
                target = np.zeros((target.shape[0], 4 * (kept + count)), np.float32)
            target[:, :kept] = self._samples[:, self._start : self._end]
            self._samples, self._start, self._end = target, 0, kept
        self._samples[:, self._end : self._end + count] = samples
        self._end += count

    def view(self, count: int, offset: int = 0) -> NDArray[np.float32]:
        """The ``count`` samples from ``offset`` after the read position, (channels, count), not copied."""
        if not 0 <= offset <= offset + count <= len(self):
            raise ValueError(f"{count} samples at {offset} asked of {len(self)}")
        start = self._start + offset
        return self._samples[:, start : start + count]

    def skip(self, count: int) -> None:
        """Let go of the first ``count`` samples."""
        if not 0 <= count <= len(self):
            raise ValueError(f"{count} samples skipped of {len(self)}")
        self._start += count

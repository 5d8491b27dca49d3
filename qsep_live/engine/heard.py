"""The mixture of the last second, as the network's frames show it: power in the model's bins at any time.

Threading: owned by the signal path.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qsep_live.dsp.grid import BIN_HZ, BINS, hann
from qsep_live.dsp.tape import Tape

SECONDS = 1.5
"""What is remembered."""


class Heard:
    """Remembers the middle of what was pushed.

    Parameters
    ----------
    rate
        Hz.
    frame
        Samples in a frame, as long in time as the model's.
    position
        Of the first sample.
    """

    def __init__(self, rate: int, frame: int, position: int = 0) -> None:
        self.frame = frame
        self._length = round(SECONDS * rate) + frame
        self._tape = Tape(1, 4 * self._length, self._length)
        self._end = position
        self._window = hann(frame)
        place = np.minimum(np.arange(BINS) * (BIN_HZ * frame / rate), frame // 2 - 1)
        self._low = place.astype(np.int64)
        self._share = (place - self._low).astype(np.float32)
        self._identity = not self._share.any() and self._low[-1] == BINS - 1

    def push(self, block: NDArray[np.float32]) -> None:
        """Append ``block`` (n, channels)."""
        self._tape.push(block.mean(axis=1, dtype=np.float32)[None])
        self._end += block.shape[0]
        self._tape.skip(len(self._tape) - self._length - block.shape[0])

    def covers(self, time: float, now: float) -> bool:
        """Whether the frame whose middle is at ``time`` is remembered and was heard in full at ``now``."""
        start = round(time) - self.frame // 2
        return start >= now - self._length and start + self.frame <= now

    def power(self, time: float) -> NDArray[np.float32]:
        """(BINS,) power of the frame whose middle is at ``time``, a position in samples that `covers` allows."""
        start = round(time) - self.frame // 2 - (self._end - len(self._tape))
        spectrum = np.fft.rfft(self._tape.view(self.frame, start)[0] * self._window)
        power = np.square(spectrum.real, dtype=np.float32) + np.square(spectrum.imag, dtype=np.float32)
        if self._identity:
            return power[:BINS]
        low: NDArray[np.float32] = power[self._low]
        between: NDArray[np.float32] = low + self._share * (power[self._low + 1] - low)
        return between

"""The last thing before the loudspeakers: nothing louder than full scale leaves, whatever happened before.

Threading: one caller, the audio callback. numpy only, bounded work, no waiting.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

CEILING = 1.0
"""Amplitude: 0 dBFS."""
RELEASE = 0.5
"""Seconds from silence back to a gain of one; from 6 dB of reduction it takes half of that."""
_UNIT = 1 << 40


class Limiter:
    """A gain that falls at once when a sample is too loud and rises again evenly, the same for all channels.

    It adds no delay, and below the ceiling it changes no bit. The gain is counted in whole steps of 2⁻⁴⁰ (how far it
    is below one), so that it is the same, exactly, however the sound is cut into blocks.

    Parameters
    ----------
    rate
        Hz.
    ceiling
        Amplitude that no sample passes.
    release
        Seconds from a gain of zero to a gain of one.

    Attributes
    ----------
    limited : int
        How often the sound became too loud: once for each time that the gain left one.
    repaired : int
        Samples that were not finite.
    """

    def __init__(self, rate: int, ceiling: float = CEILING, release: float = RELEASE) -> None:
        self.limited = self.repaired = 0
        self._ceiling = ceiling
        self._rise = max(1, round(_UNIT / (release * rate)))
        self._reduction = 0
        self._rises = np.zeros(0, np.int64)

    @property
    def gain(self) -> float:
        """The gain of the newest sample."""
        return 1.0 - self._reduction / _UNIT

    def process(self, block: NDArray[np.float32]) -> NDArray[np.float32]:
        """``block`` (n, channels), limited: itself where there is nothing to do, else a new array.

        NaN and infinity become silence.
        """
        if not block.size or (not self._reduction and self._is_quiet(block)):
            return block
        block = self._repaired(block)
        reduction = self._reductions(np.abs(block).max(axis=1).astype(np.float64))
        before = np.concatenate([[self._reduction], reduction[:-1]])
        self.limited += int(np.count_nonzero((reduction > 0) & (before == 0)))
        self._reduction = int(reduction[-1])
        out = (block * (1.0 - reduction / _UNIT)[:, None]).astype(np.float32)
        # The last bit: a product may round to just above the ceiling.
        return np.clip(out, -np.float32(self._ceiling), np.float32(self._ceiling), out=out)

    def _is_quiet(self, block: NDArray[np.float32]) -> bool:
        """Whether every sample is within the ceiling; NaN is not."""
        return bool(block.max() <= self._ceiling and block.min() >= -self._ceiling)

    def _repaired(self, block: NDArray[np.float32]) -> NDArray[np.float32]:
        bad = ~np.isfinite(block)
        count = int(np.count_nonzero(bad))
        self.repaired += count
        return np.where(bad, np.float32(0.0), block) if count else block

    def _reductions(self, peaks: NDArray[np.float64]) -> NDArray[np.int64]:
        """How far below one the gain is at each sample, in steps: as far as needed, or one rise less than before."""
        count = peaks.shape[0]
        if count > self._rises.shape[0]:
            self._rises = self._rise * np.arange(1, 2 * count + 1, dtype=np.int64)
        rises = self._rises[:count]
        # Rounded up: never less than what brings the peak down to the ceiling.
        needed = np.ceil((1.0 - self._ceiling / np.maximum(peaks, self._ceiling)) * _UNIT).astype(np.int64)
        # reduction[n] = max(needed[n], reduction[n − 1] − rise), all at once.
        levels = needed + rises
        levels[0] = max(int(levels[0]), self._reduction)
        reduction: NDArray[np.int64] = np.maximum.accumulate(levels) - rises
        return reduction

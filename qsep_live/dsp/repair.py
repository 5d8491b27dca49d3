"""Samples that no arithmetic survives, taken out before they reach any."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

LOUDEST = 1e6
"""Amplitude, 120 dB over full scale; nothing beyond it is sound, and its transform overflows."""


def repair(block: NDArray[np.float32]) -> tuple[NDArray[np.float32], int]:
    """``block`` with NaN, infinite and absurd samples (beyond `LOUDEST`) as zero.

    Returns
    -------
    block, count
        The block itself if it is sound, else a copy; and how many samples were replaced.
    """
    # The sum of squares is not finite or too large if any sample is; it costs a tenth of looking at each.
    with np.errstate(invalid="ignore", over="ignore"):
        power = float(np.vdot(block, block))
    if power <= LOUDEST**2:
        return block, 0
    bad = ~(np.abs(block) <= LOUDEST)
    return np.where(bad, np.float32(0.0), block), int(np.count_nonzero(bad))

"""Where the sixteenths and the bars of a score lie.

A file counts ticks from its beginning, but its notes need not: recordings that were transcribed often begin between
two ticks of the beat, and a pick-up may stand in a bar of its own. So the notes themselves are asked.

Threading: pure functions, any thread.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qsep_live.compose.melody import BAR

_TRUST = 1.5
"""How much stronger the accents of another beat must be before the file's own bar lines are not believed."""
_ON_GRID = 0.05
"""Steps that the notes may lie beside the file's own sixteenths, for its bar lines to count."""


def grid_phase(onsets: NDArray[np.float64]) -> tuple[float, float]:
    """Where notes lie between sixteenths, and how surely.

    Parameters
    ----------
    onsets : (notes,) float64
        In steps, as the file counts.

    Returns
    -------
    phase : float
        -0.5 to 0.5 steps: the circular mean of the onsets' fractions.
    concord : float
        0 to 1: its length. 1 for notes exactly on a grid, near 0 for notes that know no grid or another one
        (triplets); Gaussian timing errors of s steps give exp(-(2 pi s)**2 / 2).
    """
    mean = complex(np.exp(2j * np.pi * onsets).mean())
    return float(np.angle(mean)) / (2.0 * np.pi), abs(mean)


def bar_start(steps: NDArray[np.int64], weights: NDArray[np.float64], phase: float, meter_known: bool) -> int:
    """The step, 0 to 15, with which a bar begins.

    Each of the 16 places is scored by how much of the notes' weight falls on it, on the half bar, and on the quarters
    (the metrical hierarchy of 4/4, Palmer and Krumhansl 1990). Where the file has bar lines of its own, and its notes
    lie on its grid, they hold unless another place is clearly stronger.

    Parameters
    ----------
    steps : (notes,) int64
        Starts.
    weights : (notes,) float64
        Of the notes; long and low ones are accents.
    """
    weight = np.bincount(steps % BAR, weights, BAR)
    scores = sum(share * np.roll(weight, -place) for place, share in ((0, 1.0), (8, 0.5), (4, 0.25), (12, 0.25)))
    assert isinstance(scores, np.ndarray)
    if meter_known and abs(phase) < _ON_GRID:
        scores[0] *= _TRUST
    return int(np.argmax(scores))

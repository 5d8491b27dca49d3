"""Weights over the stems of a model: points on the unit sphere, none of them negative.

The square of a weight is the stem's share of the energy, so the squares add up to 1, and slerp between two such points
stays on the sphere and never below zero. What is heard is `gains`: two stems in equal parts are both at full level.

Threading: pure functions, any thread.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

_ON_THE_SPHERE = 1e-6


def normalised(weights: Iterable[float]) -> NDArray[np.float32]:
    """``weights`` brought to length 1, (n,) float32. What has that length in float32 comes back bit for bit.

    Raises
    ------
    ValueError
        One is negative, NaN or infinite, or all are zero: says which one, counted from 1.
    """
    wide = np.array(list(weights), dtype=np.float64)
    for number, weight in enumerate(wide, start=1):
        if not math.isfinite(weight):
            raise ValueError(f"weight {number} is NaN or infinite, must be 0 or more")
        if weight < 0.0:
            raise ValueError(f"weight {number} is {weight:g}, must be 0 or more")
    if not wide.any():
        raise ValueError("all weights are zero, at least one must be more")
    narrow = wide.astype(np.float32) if wide.max() <= 2.0 else np.zeros(0, np.float32)
    # A file that was written normalised is read as it is: a second division would change last digits.
    if narrow.size and abs(float(np.linalg.norm(narrow.astype(np.float64))) - 1.0) < _ON_THE_SPHERE:
        return narrow + np.float32(0.0)  # a zero may have had a minus
    wide /= wide.max()
    wide /= np.linalg.norm(wide)
    return (wide + 0.0).astype(np.float32)


def axis(name: str, stems: Sequence[str]) -> NDArray[np.float32]:
    """The weights of stem ``name`` alone, (stems,) float32.

    Raises
    ------
    ValueError
        It is not one of ``stems``.
    """
    weights = np.zeros(len(stems), np.float32)
    weights[list(stems).index(name)] = 1.0
    return weights


def gains(weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """Gain in [0, 1] of each stem, the largest 1: ``weights / max(weights)``.

    Parameters
    ----------
    weights : (stems,) or (several, stems) float32
        None negative, in each row one above zero.

    Returns
    -------
    ndarray
        Of the same shape, float32, a new array.
    """
    divided: NDArray[np.float32] = weights / weights.max(axis=-1, keepdims=True)
    return divided


def weights_of_energy(energies: Sequence[float] | NDArray[np.float64]) -> NDArray[np.float32]:
    """The weights of stems that have these energies: the square roots of their shares, (stems,) float32.

    Raises
    ------
    ValueError
        One is negative, NaN or infinite, or all are zero.
    """
    wide = np.asarray(energies, dtype=np.float64)
    if not (np.isfinite(wide).all() and (wide >= 0.0).all() and wide.any()):
        raise ValueError(f"energies are {wide}, must be 0 or more and not all zero")
    return normalised(np.sqrt(wide / wide.max()))


def projected(weights: NDArray[np.float32], names: Sequence[str], stems: Sequence[str]) -> NDArray[np.float32]:
    """``weights`` of ``names`` in the order of ``stems``, 0 where a stem has none, (stems,) float32.

    Raises
    ------
    ValueError
        One of ``names`` is not among ``stems``.
    """
    ordered = np.zeros(len(stems), np.float32)
    places = list(stems)
    for name, weight in zip(names, weights, strict=True):
        ordered[places.index(name)] = weight
    return ordered


def shares_in_words(weights: NDArray[np.float32], names: Sequence[str]) -> str:
    """Shares of the energy for people, the largest first: ``drums 64 %, bass 36 %``."""
    found = sorted(zip(names, weights.astype(np.float64) ** 2, strict=True), key=lambda each: -each[1])
    return ", ".join(f"{name} {100.0 * share:.0f} %" for name, share in found if share > 0.0)

"""Spherical interpolation between two latents of any size, defined for every pair of vectors.

Threading: pure functions, any thread.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

LATENT_SIZE = 32
"""Numbers in a latent of the own networks. `slerp` takes any number."""

_NO_DIRECTION = 1e-12
_SAME = 1e-6
_OPPOSITE = 1e-7
_FADE = math.radians(10.0)
_FLOAT32_MAX = float(np.finfo(np.float32).max)


def slerp(a: NDArray[np.float32], b: NDArray[np.float32], alpha: float) -> NDArray[np.float32]:
    """Interpolate from ``a`` to ``b`` along the great circle (Lee, Choi and Lee 2020, eq. 4.3).

    ``sin((1 - alpha) theta) / sin(theta) * a + sin(alpha theta) / sin(theta) * b``, theta the angle between.

    Parameters
    ----------
    a, b : (n,) float32
        Latents of one size, finite.
    alpha : float
        0 gives ``a`` exactly, 1 gives ``b`` exactly; values outside [0, 1] are clamped.

    Returns
    -------
    (n,) float32
        A new array, always finite.

    Raises
    ------
    ValueError
        A vector is none or of another size than the other, or holds NaN or infinity; or ``alpha`` is NaN.

    Notes
    -----
    Where the equation has no answer, or a useless one:

    - a vector of length zero has no direction: straight line (lerp);
    - (nearly) equal directions: straight line, which is the equation's limit;
    - opposite directions: infinitely many great circles join them. The one taken leans towards the coordinate
      axis on which the vectors are smallest (the first, if several), the same there and back; of one number
      alone there is no circle, and the line is straight;
    - within 10 degrees of opposite, vectors of unequal length would be thrown far out (the equation's length
      grows without bound). There the result fades to a turn at linearly changing length, which is what the
      equation gives for equal lengths.
    """
    a64, b64 = _checked(a, "a"), _checked(b, "b")
    if a64.shape != b64.shape:
        raise ValueError(f"a has shape {a64.shape} and b {b64.shape}: latents of one model have one size")
    if math.isnan(alpha):
        raise ValueError("alpha is NaN")
    if alpha <= 0.0:
        return a64.astype(np.float32)
    if alpha >= 1.0:
        return b64.astype(np.float32)
    mixed = between(a64, b64, float(alpha))
    return np.clip(mixed, -_FLOAT32_MAX, _FLOAT32_MAX).astype(np.float32)


def _checked(vector: NDArray[np.float32], which: str) -> NDArray[np.float64]:
    # float64 inside: squares of any float32 neither overflow nor vanish.
    wide = np.asarray(vector, dtype=np.float64)
    if wide.ndim != 1 or not wide.size:
        raise ValueError(f"{which} has shape {wide.shape}, a latent has (n,)")
    if not np.isfinite(wide).all():
        raise ValueError(f"{which} holds NaN or infinity")
    return wide


def between(a: NDArray[np.float64], b: NDArray[np.float64], alpha: float) -> NDArray[np.float64]:
    """`slerp` for vectors of any length, unchecked, for ``alpha`` from 0 to 1."""
    beta = 1.0 - alpha
    length_a, length_b = float(np.linalg.norm(a)), float(np.linalg.norm(b))
    if length_a < _NO_DIRECTION or length_b < _NO_DIRECTION:
        return beta * a + alpha * b
    unit_a, unit_b = a / length_a, b / length_b
    apart, together = float(np.linalg.norm(unit_a - unit_b)), float(np.linalg.norm(unit_a + unit_b))
    # Two half-angle arctangents instead of arccos, which loses half the digits at 0 and at pi.
    theta = 2.0 * math.atan2(apart, together)
    to_opposite = 2.0 * math.atan2(together, apart)
    if theta < _SAME or a.size == 1:
        return beta * a + alpha * b
    if to_opposite < _OPPOSITE:
        return _turn(unit_a, _side(unit_a), alpha * math.pi, beta * length_a + alpha * length_b)
    weight_a, weight_b = math.sin(beta * theta) / math.sin(theta), math.sin(alpha * theta) / math.sin(theta)
    paper = weight_a * a + weight_b * b
    if to_opposite >= _FADE:
        return paper
    even = (beta * length_a + alpha * length_b) * (weight_a * unit_a + weight_b * unit_b)
    # The equation grows as 1/x towards opposite, so a square takes it to nothing there.
    keep = (to_opposite / _FADE) ** 2
    return keep * paper + (1.0 - keep) * even


def _side(unit: NDArray[np.float64]) -> NDArray[np.float64]:
    """Unit vector at right angles to ``unit``, the same for ``-unit``: the way back is the way there."""
    axis = int(np.argmin(np.abs(unit)))
    side: NDArray[np.float64] = -unit[axis] * unit
    side[axis] += 1.0
    side /= np.linalg.norm(side)
    return side


def _turn(unit: NDArray[np.float64], side: NDArray[np.float64], angle: float, length: float) -> NDArray[np.float64]:
    return length * (math.cos(angle) * unit + math.sin(angle) * side)

"""Target and dry to what is heard: isolate, remove or rebalance, wet/dry and gain, without clicks."""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

Mode = Literal["isolate", "remove", "balance"]
MODES: tuple[Mode, ...] = get_args(Mode)


def coefficients(mode: Mode, wet: float, gain_db: float) -> tuple[float, float]:
    """What target and dry are multiplied by.

    isolate: the target alone; remove: everything else; balance: the mix with the target ``gain_db`` louder or
    softer in it. ``wet`` fades from the dry signal (0) to that (1). In isolate and remove, ``gain_db`` is the
    output's gain.
    """
    gain = 10.0 ** (gain_db / 20.0)
    if mode == "isolate":
        return gain * wet, gain * (1.0 - wet)
    if mode == "remove":
        return -gain * wet, gain
    return (gain - 1.0) * wet, 1.0


class Mixer:
    """Applies `coefficients`, gliding across a block when they change."""

    def __init__(self) -> None:
        self._last: tuple[float, float] | None = None

    def mix(
        self, target: NDArray[np.float32], dry: NDArray[np.float32], mode: Mode, wet: float, gain_db: float
    ) -> NDArray[np.float32]:
        """Target and dry (n, channels) to output (n, channels)."""
        if not target.shape[0]:
            return target.copy()
        new = coefficients(mode, wet, gain_db)
        old = self._last or new
        self._last = new
        if new == old:
            a: Any = np.float32(new[0])
            b: Any = np.float32(new[1])
        else:
            ramp: NDArray[np.float32] = np.arange(1, target.shape[0] + 1, dtype=np.float32)[:, None]
            ramp /= np.float32(target.shape[0])
            a = np.float32(old[0]) + np.float32(new[0] - old[0]) * ramp
            b = np.float32(old[1]) + np.float32(new[1] - old[1]) * ramp
        out: NDArray[np.float32] = a * target + b * dry
        return out

"""One adjustable value: its name, range and scale, and where a knob's travel puts it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Parameter:
    """A continuous parameter that a knob, a file or a program may set.

    Parameters
    ----------
    name
        Unique among the parameters of a session, e.g. ``"wet"`` or ``"rack.reverb.room_size"``.
    minimum, maximum
        The legal range, in ``unit``. ``log`` scales need ``minimum > 0``.
    default
        The value at start.
    unit
        For display: ``"dB"``, ``"Hz"``, ``"ms"`` or ``""``.
    scale
        How a knob's travel in [0, 1] maps to the range.
    """

    name: str
    minimum: float
    maximum: float
    default: float
    unit: str = ""
    scale: Literal["linear", "log"] = "linear"

    def __post_init__(self) -> None:
        if not self.minimum < self.maximum:
            raise ValueError(f"{self.name}: minimum {self.minimum} must be below maximum {self.maximum}")
        if self.scale == "log" and self.minimum <= 0:
            raise ValueError(f"{self.name}: a log scale needs a minimum above 0, not {self.minimum}")

    def clamp(self, value: float) -> float:
        """The nearest legal value; NaN becomes the default."""
        if math.isnan(value):
            return self.default
        return min(self.maximum, max(self.minimum, value))

    def from_travel(self, travel: float) -> float:
        """The value at a knob's position ``travel`` in [0, 1]."""
        travel = min(1.0, max(0.0, travel))
        if self.scale == "log":
            return self.clamp(self.minimum * (self.maximum / self.minimum) ** travel)
        return self.clamp(self.minimum + (self.maximum - self.minimum) * travel)

    def to_travel(self, value: float) -> float:
        """The knob position in [0, 1] that stands for ``value``."""
        value = self.clamp(value)
        if self.scale == "log":
            return math.log(value / self.minimum) / math.log(self.maximum / self.minimum)
        return (value - self.minimum) / (self.maximum - self.minimum)

"""One value gliding to its target, so that a jump of a knob is a glide of the sound."""

from __future__ import annotations

import math

# A one-pole never arrives by itself; below this part of the way (-60 dB) it has arrived.
_ARRIVED = 1e-3
# Nor does it arrive when a step is lost in rounding.
_ROUNDING = 1e-9
_TINY = 1e-300


class Glide:
    """A one-pole filter in time, stepped by whoever owns the clock; it reaches its target exactly.

    Parameters
    ----------
    value
        Where it stands at first.
    time_constant
        Seconds until 63 % of the way is done; it arrives after seven of them. 0 follows at once.
    """

    def __init__(self, value: float, time_constant: float) -> None:
        if not (math.isfinite(time_constant) and time_constant >= 0):
            raise ValueError(f"the time constant must be a number of seconds from 0 up, not {time_constant}")
        self._time_constant = time_constant
        self.jump(value)

    @property
    def value(self) -> float:
        """Where it is now."""
        return self._value

    @property
    def target(self) -> float:
        """Where it is going."""
        return self._target

    @property
    def settled(self) -> bool:
        """Whether it is there."""
        return self._value == self._target

    def jump(self, value: float) -> None:
        """Be at ``value`` at once."""
        if not math.isfinite(value):
            raise ValueError(f"a glide needs a finite value, not {value}")
        self._value = self._target = float(value)
        self._close = 0.0

    def set(self, target: float) -> None:
        """Go to ``target`` from wherever it is; ValueError when that is not a finite number."""
        if not math.isfinite(target):
            raise ValueError(f"a glide needs a finite target, not {target}")
        if target != self._target:
            self._target = float(target)
            reach = max(abs(self._value), abs(self._target))
            self._close = max(abs(self._target - self._value) * _ARRIVED, reach * _ROUNDING, _TINY)

    def step(self, dt: float) -> float:
        """The value ``dt`` seconds later; a ``dt`` of 0 or less changes nothing."""
        if dt > 0 and not self.settled:
            left = math.exp(-dt / self._time_constant) if self._time_constant else 0.0
            value = self._target + (self._value - self._target) * left
            self._value = self._target if abs(value - self._target) <= self._close else value
        return self._value

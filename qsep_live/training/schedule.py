"""How long a run lasts, what its learning rate is at each step, and when something is due again."""

from __future__ import annotations

import math
from dataclasses import dataclass

from qsep_live.errors import UsageError

KINDS = ("cosine", "steps")


@dataclass(frozen=True)
class ScheduleConfig:
    """The course of the learning rate.

    Attributes
    ----------
    kind
        ``"cosine"``: `warmup` steps of linear rise, and half a cosine over the whole budget down to `floor`.
        ``"steps"``: the paper's (§3.4), constant for `hold` steps and then `drop` less every `every`; its own
        numbers are the defaults here.
    warmup
        Steps of linear rise, cosine only.
    floor
        Share of the full rate that is left at the end, cosine only.
    """

    kind: str = "cosine"
    warmup: int = 100
    floor: float = 0.01
    hold: int = 200_000
    drop: float = 5e-6
    every: int = 10_000

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise UsageError(f"schedule.kind is {self.kind!r}; there are {', '.join(KINDS)}")

    def rate(self, full: float, step: int, progress: float) -> float:
        """Learning rate of step ``step`` (from 0) at ``progress`` of the budget, 0 to 1."""
        if self.kind == "steps":
            drops = 0 if step < self.hold else 1 + (step - self.hold) // self.every
            return max(0.0, full - self.drop * drops)
        warm = min(1.0, (step + 1) / max(1, self.warmup))
        fall = 0.5 * (1.0 + math.cos(math.pi * min(1.0, progress)))
        return full * warm * (self.floor + (1.0 - self.floor) * fall)

    def natural_end(self, full: float) -> int | None:
        """The step at which the rate has come to nothing, where the schedule has one of its own."""
        if self.kind != "steps" or self.drop <= 0.0:
            return None
        return self.hold + (math.ceil(round(full / self.drop, 6)) - 1) * self.every


@dataclass(frozen=True)
class Budget:
    """What a run may use: steps, seconds of training, or whichever ends first."""

    steps: float = math.inf
    seconds: float = math.inf

    def progress(self, step: int, seconds: float) -> float:
        """Share of the budget that is used, 0 to 1."""
        return min(1.0, max(step / self.steps if self.steps else 1.0, seconds / self.seconds if self.seconds else 1.0))


@dataclass(frozen=True)
class Every:
    """A distance in a run: so many steps, or so many seconds of training."""

    steps: float = math.inf
    seconds: float = math.inf


class Due:
    """Says when `Every` has gone by since the last time."""

    def __init__(self, every: Every, step: int, seconds: float) -> None:
        self._every = every
        self.reset(step, seconds)

    def reset(self, step: int, seconds: float) -> None:
        self._step, self._seconds = step + self._every.steps, seconds + self._every.seconds

    def due(self, step: int, seconds: float) -> bool:
        """Whether it is time; if so, the next distance begins."""
        if step < self._step and seconds < self._seconds:
            return False
        self.reset(step, seconds)
        return True

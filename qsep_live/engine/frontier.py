"""What a model's sound is worth at every lead: the measured frontier of the delay dial, and how early it allows gains.

A gain's lead is how much sound after the middle of its frame the network has heard when the gain is used at its
oldest, less half a model frame: 0 where the newest whole frame is just the one, below 0 where gains are held or made
ahead. Delay and the age of masks act through it alone, so what was measured on one machine holds on another.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from qsep_live.dsp.grid import MODEL_RATE, N_FFT
from qsep_live.engine.delay import DelayPlan
from qsep_live.errors import QsepError
from qsep_live.whole_file import write_whole

SCHEMA = 1
FORGIVEN = 0.4
"""dB below the best that nobody waits for: the next 0.15 dB of the shipped model would cost 25 ms."""


@dataclass(frozen=True)
class Frontier:
    """Measured points of a model.

    Attributes
    ----------
    model
        Its fingerprint.
    data
        What was measured, for people.
    points
        (lead in seconds, SDR in dB), by rising lead.
    """

    model: str
    data: str
    points: tuple[tuple[float, float], ...]

    @property
    def lead(self) -> float:
        """Seconds: the shortest lead from which on, up to the best one, no point is more than `FORGIVEN` below it.

        Between points it is linear.
        """
        values = [sdr for _, sdr in self.points]
        wanted = max(values) - FORGIVEN
        below = [place for place, sdr in enumerate(values[: values.index(max(values))]) if sdr < wanted]
        if not below:
            return self.points[0][0]
        (low, less), (high, more) = self.points[below[-1] : below[-1] + 2]
        return low + (high - low) * (wanted - less) / (more - less)

    def sdr(self, lead: float) -> float:
        """dB at a lead in seconds: linear between points, and beyond them what the nearest one has."""
        leads, values = zip(*self.points, strict=True)
        return float(np.interp(lead, leads, values))


def lead_of(plan: DelayPlan, age: float) -> float:
    """Seconds of lead at a plan with masks that get ``age`` seconds old."""
    return plan.lag / plan.rate - age - 0.5 * N_FFT / MODEL_RATE


def frontier_file(model: Path) -> Path:
    """Where a model's frontier lies: beside it."""
    return model.with_suffix(".frontier.json")


def save_frontier(frontier: Frontier, path: Path) -> None:
    """Write it; times in milliseconds, for people's sake.

    Raises
    ------
    QsepError
        It cannot be written.
    """
    points = [[round(1e3 * lead, 2), round(sdr, 3)] for lead, sdr in frontier.points]
    values = {"schema": SCHEMA, "model": frontier.model, "data": frontier.data, "lead_ms, sdr_db": points}
    write_whole(path, (json.dumps(values, indent=1) + "\n").encode())


def load_frontier(model: Path, fingerprint: str) -> Frontier | None:
    """The frontier beside ``model``; None where there is none, or one of another model.

    Raises
    ------
    QsepError
        The file is damaged.
    """
    path = frontier_file(model)
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if values["schema"] != SCHEMA:
            raise ValueError(f"schema {values['schema']}; this version reads {SCHEMA}")
        points = sorted((1e-3 * float(lead), float(sdr)) for lead, sdr in values["lead_ms, sdr_db"])
        if not points or not all(map(math.isfinite, sum(points, ()))):
            raise ValueError("no points")
        frontier = Frontier(str(values["model"]), str(values["data"]), tuple(points))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise QsepError(f"{path}: no frontier of the delay dial ({error}); measure it: qsep-live bench delay") from None
    return frontier if frontier.model == fingerprint else None

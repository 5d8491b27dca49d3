"""The delay dial's frontier: SDR against total delay, through the live engine, and the oracle's above it.

At every mark the audio callback's own code runs with masks as they come on this machine (one every period, a period
late), and with ideal ones (one a frame, at once). The oracle is the ratio mask of the true stems' middles, as stale
as this machine's masks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qsep_live.dsp.grid import FRAME_SECONDS
from qsep_live.engine.delay import OFFLINE_STEP, REFERENCE_RATE, DelayPlan, centred_plan, plan_delay
from qsep_live.engine.foresight import Foresight
from qsep_live.engine.frontier import Frontier, lead_of
from qsep_live.engine.machine_delay import SHORTEST_DEFAULT
from qsep_live.engine.mask_path import Separate, mid_side_of
from qsep_live.engine.pace import RATE
from qsep_live.errors import UsageError
from qsep_live.evaluation.extra import pyplot
from qsep_live.evaluation.latents import Latent
from qsep_live.evaluation.network import Network, NetworkSpec
from qsep_live.evaluation.pool import over_tracks
from qsep_live.evaluation.rendering import Audio, Live, rendered, streamed
from qsep_live.evaluation.report import Report, Table
from qsep_live.evaluation.scores import MIXTURE, Score, medians
from qsep_live.evaluation.sdr import Metric, track_scores
from qsep_live.evaluation.tracks import STEMS, Tell, Track, Tracks, quiet

SHORT = tuple(samples / REFERENCE_RATE for samples in (0, 128, 256, 512, 1024))
MARKS = (*SHORT, 0.035, 0.0464, 0.07, 0.093, 0.14, 0.2, 0.4)
"""Seconds: the delays that are measured, beside centred."""
BLOCK = 256
MACHINE, HELD, IDEAL, ORACLE = "this machine", "this machine, gains held", "ideal masks", "oracle, as late"
CENTRED = "centred"


@dataclass(frozen=True)
class DelayBench:
    """What is measured on a track.

    Attributes
    ----------
    means
        Class to latent.
    period
        Seconds from one mask to the next on this machine, and until one is there.
    ahead
        Frames ahead that the model was trained for. If there are any, gains that are held are measured beside them.
    window
        Frames in the network's window; None as each delay asks for.
    """

    means: dict[str, Latent]
    period: float
    ahead: int = 0
    marks: tuple[float, ...] = MARKS
    metric: Metric = "museval"
    foresight: Foresight | None = None
    window: int | None = None

    def conditions(self) -> dict[str, Live]:
        machine = Live(self.period, BLOCK, self.ahead, foresight=self.foresight, window=self.window)
        held = {HELD: replace(machine, ahead=0)} if self.ahead else {}
        return {MACHINE: machine, **held, IDEAL: replace(machine, period=FRAME_SECONDS, late=0.0)}

    def __call__(self, network: Network, track: Track) -> list[Score]:
        """Scores whose row is condition and mark."""
        rate, mixture = track.rate, track.mixture
        plans: dict[str, DelayPlan] = {mark_name(mark): plan_delay(mark, rate) for mark in self.marks}
        middles = np.stack([mid_side_of(track.stems[stem])[:, 0] for stem in track.stems], axis=1)
        estimates: dict[str, dict[str, Audio]] = {MIXTURE: dict.fromkeys(track.stems, mixture)}
        for place, stem in enumerate(track.stems):
            latent, heard = self.means[stem], mid_side_of(mixture)
            runs: list[tuple[str, dict[str, Audio]]] = [
                (name, streamed(mixture, heard, rate, network.separate, latent, plans, live))
                for name, live in self.conditions().items()
            ]
            runs.append((MACHINE, {CENTRED: rendered(mixture, rate, network.separate, latent, [None])[None]}))
            oracle = Oracle(len(track.stems), place)
            live = Live(self.period, BLOCK)
            runs.append((ORACLE, streamed(mixture, middles, rate, oracle, latent, plans, live)))
            live, centred = Live(OFFLINE_STEP, BLOCK, late=0.0), {CENTRED: centred_plan(rate)}
            runs.append((ORACLE, streamed(mixture, middles, rate, oracle, latent, centred, live)))
            for name, sounds in runs:
                for mark, sound in sounds.items():
                    estimates.setdefault(_row(name, mark), {})[stem] = sound
        return [
            Score(row, track.name, stem, value)
            for row, found in estimates.items()
            for stem, value in track_scores(track.stems, found, rate, self.metric).items()
        ]


class Oracle(Separate):
    """Hears every stem's middle by itself and answers with the ratio mask of one."""

    def __init__(self, stems: int, place: int) -> None:
        self._stems, self._place = stems, place

    @property
    def channels(self) -> int:
        return self._stems

    def __call__(self, magnitude: NDArray[np.float32], z: NDArray[np.float32], /) -> NDArray[np.float32]:
        del z
        total = magnitude.sum(axis=0) + np.finfo(np.float32).tiny
        mask: NDArray[np.float32] = magnitude[self._place] / total
        return mask


def delay_report(bench: DelayBench, spec: NetworkSpec, tracks: Tracks, jobs: int = 1, tell: Tell = quiet) -> Report:
    """Median SDR per class at every mark and condition, and the frontier drawn."""
    scores = [score for found in over_tracks(bench, spec, tracks, jobs, tell) for score in found]
    rows = medians(scores)
    table = Table("SDR against delay", ("masks", "delay (ms)", *STEMS, "average"))
    averages: dict[str, dict[str, float]] = {}
    for row, values in rows.items():
        name, _, mark = row.partition(", at ")
        numbers = [values[stem] for stem in STEMS]
        average = float(np.mean(numbers))
        table.rows.append((name, mark, *numbers, average))
        averages.setdefault(name, {})[mark] = average
    table.notes = [
        f"{tracks.label}; median SDR ({bench.metric}) in dB, mean latents, blocks of {BLOCK} frames. The delay is the "
        "signal path's own, window and wait, without the interface's.",
        f"{MACHINE}: a mask every {1e3 * bench.period:.0f} ms, there as much later. {IDEAL}: one every "
        f"{1e3 * FRAME_SECONDS:.1f} ms, there at once. {ORACLE}: the ratio mask of the true stems' middles.",
    ]
    if bench.ahead:
        table.notes.append(f"Masks are up to {bench.ahead} frames ahead of the sound; {HELD}: none.")
    songs = Table("", ("condition", "track", "stem", "SDR"), [tuple(score) for score in scores])
    return Report("delay", table, _frontier(averages, bench.marks, tracks.label), {"tracks": songs})


def frontier_of(bench: DelayBench, report: Report, model: str, data: str) -> Frontier:
    """The average SDR by lead, with this machine's masks, at the marks that a default delay may have.

    Parameters
    ----------
    model
        The fingerprint.
    data
        What was measured, for people.
    """
    found = {(row[0], row[1]): float(row[-1]) for row in report.table.rows}
    age = bench.conditions()[MACHINE].age
    plans = {mark: plan_delay(mark, RATE) for mark in bench.marks}
    points = [
        (lead_of(plan, age), found[MACHINE, mark_name(mark)])
        for mark, plan in plans.items()
        if mark >= SHORTEST_DEFAULT
    ]
    if not points:
        raise UsageError(f"no mark of {1e3 * SHORTEST_DEFAULT:.1f} ms or more: nothing to choose a default delay by")
    return Frontier(model, data, tuple(sorted(points)))


def mark_name(delay: float) -> str:
    """Milliseconds, as in the table."""
    return f"{1e3 * delay:.1f}"


def _row(name: str, mark: str) -> str:
    return f"{name}, at {mark}"


def _frontier(averages: dict[str, dict[str, float]], marks: Sequence[float], data: str) -> Any:
    plt = pyplot()
    figure, axes = plt.subplots(figsize=(7.5, 5), layout="constrained")
    for name in (ORACLE, IDEAL, MACHINE, HELD):
        found = averages.get(name)
        if found is None:
            continue
        line = axes.plot([1e3 * mark for mark in marks], [found[mark_name(mark)] for mark in marks], marker=".")[0]
        line.set_label(name)
        if CENTRED in found:
            axes.axhline(found[CENTRED], color=line.get_color(), linestyle=":", linewidth=0.8, label=f"{name}, centred")
    # Linear up to 5 ms, so that a delay of 0 is on it.
    axes.set_xscale("symlog", linthresh=5.0)
    ticks = [round(1e3 * mark, 1) for mark in marks]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    axes.set(xlabel="delay (ms)", ylabel="median SDR, average over classes (dB)", title=f"The delay dial: {data}")
    axes.legend(fontsize="small")
    plt.close(figure)
    return figure

"""What was tried to move the delay dial's frontier: ways to apply the newest gains, at the same total delay.

Each way is a plan of the signal path, a gain field, or both, and runs through the audio callback's own code.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from qsep_live.dsp.grid import FRAME_SECONDS
from qsep_live.dsp.stream_filter import FilterGrid
from qsep_live.engine.delay import REFERENCE_RATE, DelayPlan, filter_plan, plan_delay, window_plan
from qsep_live.engine.foresight import Foresight
from qsep_live.engine.gain_field import GainField, GainFrames
from qsep_live.engine.heard import Heard
from qsep_live.engine.mask_path import mid_side_of
from qsep_live.evaluation.bench_delay import BLOCK, SHORT, mark_name
from qsep_live.evaluation.latents import Latent
from qsep_live.evaluation.network import Network, NetworkSpec
from qsep_live.evaluation.pool import over_tracks
from qsep_live.evaluation.rendering import Audio, Live, streamed
from qsep_live.evaluation.report import Report, Table
from qsep_live.evaluation.scores import Score, medians
from qsep_live.evaluation.sdr import Metric, track_scores
from qsep_live.evaluation.tracks import STEMS, Tell, Track, Tracks, quiet

MARKS = (*SHORT, 0.0464, 0.093)
"""Seconds."""
WINDOWS = (256, 512, 1024, 2048)
"""Samples at 44.1 kHz."""
DIAL, HELD, TREND = "as the dial has it", "newest gains held", "newest gains' own trend"
FILTER, MINIMUM = "look-ahead filter", "minimum phase"
SMOOTHED = "attack 10 ms, release 40 ms"


@dataclass(frozen=True)
class MinimumPhase(FilterGrid):
    """Of all filters with the gains' magnitudes the one with the least delay: their cepstrum, folded forwards.

    A. V. Oppenheim, R. W. Schafer, "Discrete-Time Signal Processing", chapter 13.
    """

    FLOOR = 0.01

    def response(self, gains: NDArray[np.float32]) -> NDArray[np.float32]:
        """The filters with ``gains``, (…, N // 2 + 1), at least `FLOOR`: (…, taps)."""
        half = self.analysis // 2
        cepstrum = np.fft.irfft(np.log(np.maximum(gains, self.FLOOR)), n=self.analysis)
        cepstrum[..., 1:half] *= 2.0
        cepstrum[..., half + 1 :] = 0.0
        whole = np.fft.irfft(np.exp(np.fft.rfft(cepstrum)), n=self.analysis)
        return whole[..., : self.taps].astype(np.float32, copy=False)


class HeldField(GainField):
    """After the newest frame its gains stay."""

    def beyond(self, frames: GainFrames, place: float, out: NDArray[np.float32]) -> None:
        """The newest frame's gains."""
        del place
        out[:] = frames.gains[-1]


class SmoothedField(GainField):
    """Gains rise and fall as a compressor's do: by first-order low-passes with two time constants, bin by bin."""

    ATTACK, RELEASE = 0.01, 0.04

    def __init__(self, rate: int) -> None:
        super().__init__()
        self._rate = rate
        self._time: float | None = None
        self._smooth: NDArray[np.float32] | None = None

    def lookup(self, time: float, out: NDArray[np.float32], heard: Heard | None = None, now: float = 0.0) -> bool:
        """As `GainField.lookup`, smoothed since the last call."""
        covered = super().lookup(time, out, heard, now)
        if self.end is None:
            return covered
        if self._smooth is None or self._time is None:
            self._smooth = out.copy()
        else:
            passed = (time - self._time) / self._rate
            rise, fall = (1.0 - math.exp(-passed / constant) for constant in (self.ATTACK, self.RELEASE))
            step = out - self._smooth
            self._smooth += np.where(step > 0.0, np.float32(rise), np.float32(fall)) * step
        self._time = time
        out[:] = self._smooth
        return covered


def plans_at(mark: float, rate: int) -> dict[str, DelayPlan]:
    """Every way to spend a total delay of ``mark`` seconds, by name."""
    dial = plan_delay(mark, rate)
    total, direct = dial.samples, filter_plan(dial.samples, rate)
    whole = direct.grid
    assert isinstance(whole, FilterGrid)
    found = {
        DIAL: dial,
        HELD: dial,
        TREND: dial,
        SMOOTHED: dial,
        FILTER: direct,
        MINIMUM: DelayPlan(rate, MinimumPhase(whole.analysis, whole.hop, 0), total),
    }
    for window in WINDOWS:
        plan = window_plan(window, total, rate)
        if plan.wait >= 0:
            found[f"window of {1e3 * window / REFERENCE_RATE:.1f} ms"] = plan
    return found


@dataclass(frozen=True)
class GainsBench:
    """What is measured on a track.

    Attributes
    ----------
    means
        Class to latent.
    live
        How masks come; blocks are as long at any rate as `BLOCK` frames are at 44.1 kHz.
    """

    means: dict[str, Latent]
    live: Live
    marks: tuple[float, ...] = MARKS
    metric: Metric = "museval"

    def __call__(self, network: Network, track: Track) -> list[Score]:
        """Scores whose row is way and mark."""
        plans = {(name, mark_name(mark)): plan for mark in self.marks
                 for name, plan in plans_at(mark, track.rate).items()}  # fmt: skip
        estimates: dict[tuple[str, str], dict[str, Audio]] = {key: {} for key in plans}
        heard = mid_side_of(track.mixture)
        live = replace(self.live, blocksize=max(1, BLOCK * track.rate // REFERENCE_RATE))
        for stem in track.stems:
            other: dict[str, Callable[[], GainField]] = {
                HELD: HeldField,
                TREND: GainField,
                SMOOTHED: lambda: SmoothedField(track.rate),
            }
            fields = {key: other[key[0]]() for key in plans if key[0] in other}
            sounds = streamed(track.mixture, heard, track.rate, network.separate, self.means[stem], plans, live, fields)
            for key, sound in sounds.items():
                estimates[key][stem] = sound
        return [
            Score(f"{name}, at {mark}", track.name, stem, value)
            for (name, mark), found in estimates.items()
            for stem, value in track_scores(track.stems, found, track.rate, self.metric).items()
        ]


def gains_report(bench: GainsBench, spec: NetworkSpec, tracks: Tracks, jobs: int = 1, tell: Tell = quiet) -> Report:
    """Median SDR per class of every way at every mark."""
    scores = [score for found in over_tracks(bench, spec, tracks, jobs, tell) for score in found]
    table = Table("Gains at equal delay", ("gains", "delay (ms)", *STEMS, "average"))
    rows = medians(scores)
    for row in sorted(rows, key=lambda row: float(row.rpartition(" ")[2])):
        numbers = [rows[row][stem] for stem in STEMS]
        name, _, mark = row.rpartition(", at ")
        table.rows.append((name, mark, *numbers, float(np.mean(numbers))))
    live = bench.live
    table.notes = [
        f"{tracks.label}; median SDR ({bench.metric}) in dB, mean latents, blocks of 5.8 ms; a mask every "
        f"{1e3 * live.period:.1f} ms, there {1e3 * (live.age - live.period):.1f} ms later.",
        "Windows: asymmetric, of the synthesis; what is left of the delay is waiting. The look-ahead filter: zero "
        "phase, cut off where the delay ends. Minimum phase: the delay is waiting; the filter's own is not counted.",
    ]
    songs = Table("", ("condition", "track", "stem", "SDR"), [tuple(score) for score in scores])
    return Report("gains", table, details={"tracks": songs})


def late(period: float, foresight: Foresight | None = None) -> Live:
    """Masks one every ``period`` seconds, each there as much later."""
    return Live(period, BLOCK, foresight=foresight)


def ideal(foresight: Foresight | None = None) -> Live:
    """Masks one a frame, there at once."""
    return Live(FRAME_SECONDS, BLOCK, late=0.0, foresight=foresight)

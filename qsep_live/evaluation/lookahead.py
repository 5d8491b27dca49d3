"""SDR against look-ahead: how much of what follows a frame the network has heard when it gives that frame's gains."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qsep_live.dsp.grid import FRAMES
from qsep_live.dsp.stream_stft import StreamGrid
from qsep_live.engine.delay import REFERENCE_RATE, DelayPlan
from qsep_live.engine.gain_field import GainField
from qsep_live.engine.mask_path import MaskPath, Separate, mid_side_of
from qsep_live.engine.signal_path import SignalPath
from qsep_live.evaluation.latents import Latent
from qsep_live.evaluation.network import Network, NetworkSpec
from qsep_live.evaluation.plots import curves
from qsep_live.evaluation.pool import over_tracks
from qsep_live.evaluation.rendering import rendered
from qsep_live.evaluation.report import Report, Table
from qsep_live.evaluation.scores import MIXTURE, Score, medians
from qsep_live.evaluation.sdr import Metric, track_scores
from qsep_live.evaluation.tracks import STEMS, Tell, Track, Tracks, quiet

LOOK_AHEADS = (0.0, 0.012, 0.023, 0.046, 0.093, 0.186, 0.372)
"""Seconds: 0, 1, 2, 4, 8, 16 and 32 of the model's frames, rounded."""
PERIOD = 0.0232
"""Seconds between windows: two of the model's frames."""
CENTRED = "centred"
Audio = NDArray[np.float32]


def looked_ahead(
    mixture: Audio,
    rate: int,
    separate: Separate,
    latent: Latent,
    aheads: Sequence[float],
    period: float = PERIOD,
    window: int = FRAMES,
) -> dict[float, Audio]:
    """Separate ``mixture`` (n, channels) with gains that have heard so much past the middle of each frame.

    A window serves the frames of one ``period``: the look-ahead is the one asked for on average, and up to half a
    period less a frame more or less. All look-aheads share the windows, of ``window`` frames.

    Returns
    -------
    dict
        Look-ahead in seconds to estimate, (n, channels), aligned.
    """
    hop = round(512 * rate / REFERENCE_RATE)
    frames = max(1, round(period * rate / hop))
    step = frames * hop
    field, mask = GainField(), MaskPath(rate, separate, frames=window)
    # A synthesis window of two hops: the k-th frame after a window ends, k from 0, has its middle k hops after what
    # a wait of nothing makes the newest sample. The wait puts the middle of those frames where it is wanted.
    grid = StreamGrid(4 * hop, 2 * hop, hop)
    paths = [
        SignalPath(
            DelayPlan(rate, grid, round(ahead * rate) + (frames - 1) * hop // 2),
            mixture.shape[1],
            field,
            patience=np.inf,
        )
        for ahead in aheads
    ]
    padded = np.pad(mixture, ((0, max(path.plan.samples for path in paths)), (0, 0)))
    heard_by_network = mid_side_of(padded)
    heard: list[list[Audio]] = [[] for _ in paths]
    for start in range(0, len(padded), step):
        if start:
            field.publish(mask.step(latent))
        mask.push(heard_by_network[start : start + step])
        for path, kept in zip(paths, heard, strict=True):
            kept.append(path.process(padded[start : start + step])[0].copy())
    return {
        ahead: np.concatenate(kept)[path.plan.samples :][: len(mixture)]
        for ahead, path, kept in zip(aheads, paths, heard, strict=True)
    }


@dataclass(frozen=True)
class _LookAhead:
    means: dict[str, Latent]
    aheads: tuple[float, ...]
    period: float
    metric: Metric
    window: int

    def __call__(self, network: Network, track: Track) -> list[Score]:
        estimates: dict[str, dict[str, Audio]] = {MIXTURE: dict.fromkeys(track.stems, track.mixture)}
        for stem in track.stems:
            latent, separate = self.means[stem], network.windows
            sounds = looked_ahead(track.mixture, track.rate, separate, latent, self.aheads, self.period, self.window)
            for ahead, sound in sounds.items():
                estimates.setdefault(_name(ahead), {})[stem] = sound
            offline = rendered(track.mixture, track.rate, separate, latent, [None])[None]
            estimates.setdefault(CENTRED, {})[stem] = offline
        return [
            Score(row, track.name, stem, value)
            for row, found in estimates.items()
            for stem, value in track_scores(track.stems, found, track.rate, self.metric).items()
        ]


def lookahead_report(
    spec: NetworkSpec,
    tracks: Tracks,
    means: dict[str, Latent],
    metric: Metric = "museval",
    period: float = PERIOD,
    jobs: int = 1,
    tell: Tell = quiet,
    aheads: tuple[float, ...] = LOOK_AHEADS,
    window: int = FRAMES,
) -> Report:
    """Median SDR per class with mean latents at every look-ahead, and offline."""
    work = _LookAhead(means, aheads, period, metric, window)
    scores = [score for found in over_tracks(work, spec, tracks, jobs, tell) for score in found]
    rows = medians(scores)
    table = Table("SDR against look-ahead", ("look-ahead", *STEMS, "average"))
    for row, values in rows.items():
        numbers = [values[stem] for stem in STEMS]
        table.rows.append((row, *numbers, float(np.mean(numbers))))
    table.notes = [
        f"{tracks.label}; median SDR ({metric}) in dB, mean latents, a window of {window} frames every "
        f"{1e3 * period:.0f} ms. Look-ahead: "
        "how much sound after the middle of a frame the network has heard, on average over the frames of a window. "
        "Centred: the file renderer.",
    ]
    points = {stem: ([1e3 * ahead for ahead in aheads], [rows[_name(ahead)][stem] for ahead in aheads])
              for stem in STEMS}  # fmt: skip
    figure = curves(points, "look-ahead (ms)", "median SDR (dB)", f"SDR against look-ahead: {tracks.label}")
    for line, stem in zip(list(figure.axes[0].lines), STEMS, strict=True):
        figure.axes[0].axhline(rows[CENTRED][stem], color=line.get_color(), linestyle=":", linewidth=0.8)
    songs = Table("", ("look-ahead", "track", "stem", "SDR"), [tuple(score) for score in scores])
    return Report("lookahead", table, figure, {"tracks": songs})


def _name(ahead: float) -> str:
    return f"{1e3 * ahead:.0f} ms"

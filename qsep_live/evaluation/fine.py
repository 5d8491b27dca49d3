"""Do finer classes have better mean latents (paper §4.7)? Slakh's fine classes against its coarse ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from qsep_live.errors import UsageError
from qsep_live.evaluation import published
from qsep_live.evaluation.extra import pyplot
from qsep_live.evaluation.latents import Latent
from qsep_live.evaluation.network import Network, NetworkSpec
from qsep_live.evaluation.pool import over_tracks
from qsep_live.evaluation.rendering import rendered
from qsep_live.evaluation.report import Report, Table
from qsep_live.evaluation.sdr import Metric, median, track_scores
from qsep_live.evaluation.tracks import Tell, Track, Tracks, each, quiet

SEGMENTS = 16
"""Encoded of each training stem at most: a song's segments resemble one another."""


class FineMeans(NamedTuple):
    """Mean latents of coarse classes, and of fine ones by (coarse, fine)."""

    coarse: dict[str, Latent]
    fine: dict[tuple[str, str], Latent]


class Gain(NamedTuple):
    """A fine class in a song: SDR with the coarse and with the fine class's mean."""

    track: str
    coarse: str
    fine: str
    sdr_coarse: float
    sdr_fine: float


def fine_means(network: Network, training: Tracks, tell: Tell = quiet) -> FineMeans:
    """Encode every stem of ``training``, at most `SEGMENTS` segments of each; the mean of each class."""
    rows: dict[tuple[str, str], list[Latent]] = {}
    for track in each(training, tell):
        for part in track.parts:
            mu = network.segments(part.audio, track.rate, SEGMENTS)
            if len(mu):
                rows.setdefault((part.coarse, part.fine), []).append(mu)
    fine = {classes: np.concatenate(mu) for classes, mu in rows.items()}
    coarse = {
        name: np.concatenate([mu for classes, mu in fine.items() if classes[0] == name]).mean(axis=0)
        for name in {classes[0] for classes in fine}
    }
    return FineMeans(coarse, {classes: mu.mean(axis=0) for classes, mu in fine.items()})


@dataclass(frozen=True)
class _Compare:
    means: FineMeans
    metric: Metric

    def __call__(self, network: Network, track: Track) -> list[Gain]:
        gains = []
        for coarse, fine in sorted({(part.coarse, part.fine) for part in track.parts}):
            several = sum(name == coarse for name, _ in self.means.fine) > 1
            if not several or (coarse, fine) not in self.means.fine:
                continue  # where the fine class is the coarse one there is nothing to compare
            reference = np.sum(
                [part.audio for part in track.parts if (part.coarse, part.fine) == (coarse, fine)], axis=0
            )
            sdr = {}
            for name, latent in (("coarse", self.means.coarse[coarse]), ("fine", self.means.fine[coarse, fine])):
                sound = rendered(track.mixture, track.rate, network.separate, latent, [None])[None]
                sdr[name] = track_scores({name: reference}, {name: sound}, track.rate, self.metric)[name]
            gains.append(Gain(track.name, coarse, fine, sdr["coarse"], sdr["fine"]))
        return gains


def fine_report(
    spec: NetworkSpec,
    tracks: Tracks,
    means: FineMeans,
    training: str,
    metric: Metric = "museval",
    jobs: int = 1,
    tell: Tell = quiet,
) -> Report:
    """Median ΔSDR by coarse class, the thesis's beside it. ``training`` says where ``means`` come from.

    Raises
    ------
    UsageError
        No song has a fine class that the training songs have too, beside another of its coarse class.
    """
    gains = [gain for found in over_tracks(_Compare(means, metric), spec, tracks, jobs, tell) for gain in found]
    if not gains:
        raise UsageError(
            f"{tracks.label}: nothing to compare: no coarse class has two fine ones in {training}, one of them here"
        )
    title = "Fine against coarse classes"
    table = Table(title, ("coarse class", "stems", "median SDR coarse", "median SDR fine", "median ΔSDR",
                          published.FINE_DATA))  # fmt: skip
    deltas: dict[str, list[float]] = {}
    for name in sorted({gain.coarse for gain in gains}):
        of = [gain for gain in gains if gain.coarse == name]
        deltas[name] = [gain.sdr_fine - gain.sdr_coarse for gain in of]
        before, after = median([gain.sdr_coarse for gain in of]), median([gain.sdr_fine for gain in of])
        figure = published.FINE.get(name, float("nan"))
        table.rows.append((name, len(of), before, after, median(deltas[name]), figure))
    table.notes = [
        f"{tracks.label}; means from {training}. A row counts every fine class in every song; the target is that fine "
        "class's stems alone. dB."
    ]
    details = {"tracks": Table("", Gain._fields, list(gains))}
    return Report("fine", table, _boxes(deltas, title), details)


def _boxes(deltas: dict[str, list[float]], title: str) -> object:
    plt = pyplot()
    figure, axes = plt.subplots(figsize=(8, 4.5), layout="constrained")
    kept = {name: [value for value in values if not np.isnan(value)] for name, values in deltas.items()}
    axes.boxplot(list(kept.values()), tick_labels=list(kept))
    axes.axhline(0.0, color="black", linewidth=0.6)
    axes.set(ylabel="ΔSDR, fine over coarse (dB)", title=title)
    axes.tick_params(axis="x", rotation=30)
    plt.close(figure)
    return figure

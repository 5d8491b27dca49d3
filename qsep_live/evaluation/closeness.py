"""The closer the latent, the better the separation (paper §4.6): ΔSDR against ΔCD, CD the cosine distance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from qsep_live.evaluation.latents import Book, Latent, cosine_distance, mean_latents, song_latents
from qsep_live.evaluation.network import Network, NetworkSpec
from qsep_live.evaluation.plots import rank_correlation, scatter
from qsep_live.evaluation.pool import over_tracks
from qsep_live.evaluation.rendering import rendered
from qsep_live.evaluation.report import Report, Table
from qsep_live.evaluation.sdr import Metric, median, track_scores
from qsep_live.evaluation.tracks import Tell, Track, Tracks, quiet


class Closeness(NamedTuple):
    """A song with the mean latent and with the nearest training song's: CD to its own latent, and SDR."""

    track: str
    nearest: str
    cd_mean: float
    cd_nearest: float
    sdr_mean: float
    sdr_nearest: float

    @property
    def closer(self) -> float:
        """ΔCD: how much closer than the mean the nearest song is."""
        return self.cd_mean - self.cd_nearest

    @property
    def better(self) -> float:
        """ΔSDR, dB."""
        return self.sdr_nearest - self.sdr_mean


@dataclass(frozen=True)
class _Compare:
    stem: str
    mean: Latent
    training: dict[str, Latent]
    metric: Metric

    def __call__(self, network: Network, track: Track) -> Closeness | None:
        reference = track.stems[self.stem]
        truth = network.latent(reference, track.rate)
        if truth is None:
            return None
        nearest = min(self.training, key=lambda song: cosine_distance(self.training[song], truth))
        sdr = {}
        for name, latent in (("mean", self.mean), ("nearest", self.training[nearest])):
            sound = rendered(track.mixture, track.rate, network.separate, latent, [None])[None]
            sdr[name] = track_scores({name: reference}, {name: sound}, track.rate, self.metric)[name]
        return Closeness(
            track.name, nearest, cosine_distance(self.mean, truth), cosine_distance(self.training[nearest], truth),
            sdr["mean"], sdr["nearest"],
        )  # fmt: skip


def closeness_report(
    spec: NetworkSpec,
    tracks: Tracks,
    training: Book,
    stem: str = "vocals",
    metric: Metric = "museval",
    jobs: int = 1,
    tell: Tell = quiet,
) -> Report:
    """Every song with the mean over ``training``'s segments and with the latent of its nearest song there."""
    songs = {song: latents[stem] for song, latents in song_latents(training).items() if stem in latents}
    work = _Compare(stem, mean_latents(training)[stem], songs, metric)
    rows = [row for row in over_tracks(work, spec, tracks, jobs, tell) if row is not None]
    closer, better = [row.closer for row in rows], [row.better for row in rows]
    title = f"Closeness of the latent, {stem}"
    table = Table(title, ("track", "nearest training song", "CD mean", "CD nearest", "ΔCD", "SDR mean", "SDR nearest",
                          "ΔSDR"))  # fmt: skip
    for row in sorted(rows, key=lambda row: row.closer):
        table.rows.append((*row[:4], row.closer, *row[4:], row.better))
    table.notes = [
        f"{tracks.label}; mean and nearest song from {len(songs)} training songs. "
        "ΔCD is how much closer the nearest song's latent is than the mean, ΔSDR how much better it separates (dB).",
        f"Rank correlation of ΔSDR and ΔCD: {rank_correlation(closer, better):.2f}; median ΔSDR {median(better):+.2f}.",
    ]
    figure = scatter({stem: (closer, better)}, "ΔCD (closer →)", "ΔSDR (dB)", title)
    return Report("closeness", table, figure)

"""SDR tables: by condition, song and stem; the medians over songs, beside mixture, oracle and published figures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from qsep_live.evaluation import published
from qsep_live.evaluation.extra import pyplot
from qsep_live.evaluation.latents import SOURCE_NAMES, Latent, Source, encoded_songs, random_queries, song_latents
from qsep_live.evaluation.network import Network
from qsep_live.evaluation.oracle import oracle_estimates
from qsep_live.evaluation.pool import Each, Spec, Work, over_tracks
from qsep_live.evaluation.rendering import Live, rendered
from qsep_live.evaluation.report import Report, Table
from qsep_live.evaluation.sdr import Metric, median, track_scores
from qsep_live.evaluation.tracks import STEMS, Tell, Track, Tracks, quiet
from qsep_live.evaluation.wiener import wiener_filtered

MIXTURE, ORACLE = "the mixture itself", "oracle ratio mask"
WIENER = ", Wiener"
Audio = NDArray[np.float32]


class Score(NamedTuple):
    """One number: a condition, a song, a stem, dB (NaN where there is nothing to find)."""

    row: str
    track: str
    stem: str
    sdr: float


@dataclass(frozen=True)
class Conditions:
    """What is measured.

    Attributes
    ----------
    means
        Class to latent.
    truths, queries
        Song to class to latent, for the sources ``truth`` and ``random``.
    delays
        Seconds; None is offline.
    live
        How the delays are imitated.
    """

    means: dict[str, Latent]
    truths: dict[str, dict[str, Latent]] = field(default_factory=dict)
    queries: dict[str, dict[str, Latent]] = field(default_factory=dict)
    sources: tuple[Source, ...] = ("mean",)
    delays: tuple[float | None, ...] = (None,)
    live: Live = field(default_factory=Live)
    wiener: bool = False
    metric: Metric = "museval"

    def __call__(self, network: Network, track: Track) -> list[Score]:
        """All scores of a track."""
        scores = self._scored(MIXTURE, track, dict.fromkeys(track.stems, track.mixture))
        scores += self._scored(ORACLE, track, oracle_estimates(track.mixture, track.stems))
        offline: dict[str, Audio] = {}
        for source in self.sources:
            estimates: dict[float | None, dict[str, Audio]] = {delay: {} for delay in self.delays}
            for stem in track.stems:
                latent = self._latent(network, track, source, stem, offline)
                if latent is None:
                    continue
                sounds = rendered(track.mixture, track.rate, network.separate, latent, self.delays, self.live)
                for delay, sound in sounds.items():
                    estimates[delay][stem] = sound
                if source == "mean" and None in sounds:
                    offline[stem] = sounds[None]
            for delay, found in estimates.items():
                row = row_name(source, delay)
                scores += self._scored(row, track, found)
                if self.wiener:
                    filtered = wiener_filtered(track.mixture, found) if len(found) == len(track.stems) else {}
                    scores += self._scored(row + WIENER, track, filtered)
        return scores

    def _latent(
        self, network: Network, track: Track, source: Source, stem: str, offline: dict[str, Audio]
    ) -> Latent | None:
        """The latent for a stem, or None where its true sound is silent and so has none."""
        if source == "mean":
            return self.means[stem]
        if source == "truth":
            return self.truths[track.name].get(stem)
        if source == "random":
            return self.queries[track.name].get(stem)
        if stem not in offline:
            mean = self.means[stem]
            offline[stem] = rendered(track.mixture, track.rate, network.separate, mean, [None])[None]
        # An estimate that came out silent says nothing new: the mean stays.
        found = network.latent(offline[stem], track.rate)
        return self.means[stem] if found is None else found

    def _scored(self, row: str, track: Track, estimates: dict[str, Audio]) -> list[Score]:
        scores = track_scores(track.stems, estimates, track.rate, self.metric)
        return [Score(row, track.name, stem, value) for stem, value in scores.items()]


def needed_latents(
    network: Network, tracks: Tracks, sources: Sequence[Source], seed: int, tell: Tell = quiet
) -> tuple[dict[str, dict[str, Latent]], dict[str, dict[str, Latent]]]:
    """The truths and queries that ``sources`` ask for, from the songs' true stems; encodes only if need be."""
    if not {"truth", "random"} & set(sources):
        return {}, {}
    book = encoded_songs(network, tracks, tell=tell)
    return song_latents(book), random_queries(book, seed) if "random" in sources else {}


def measured(
    conditions: Work[Each, list[Score]],
    spec: Spec[Each],
    tracks: Tracks,
    jobs: int = 1,
    tell: Tell = quiet,
) -> list[Score]:
    """Every score of every track."""
    return [score for scores in over_tracks(conditions, spec, tracks, jobs, tell) for score in scores]


def row_name(source: Source, delay: float | None) -> str:
    """``"mean, offline"``, ``"ground-truth query, 46 ms"``."""
    when = "offline" if delay is None else f"{1e3 * delay:g} ms"
    return f"{SOURCE_NAMES[source]}, {when}"


def medians(scores: Iterable[Score]) -> dict[str, dict[str, float]]:
    """Row to stem to the median over songs, in the order of coming."""
    gathered: dict[str, dict[str, list[float]]] = {}
    for score in scores:
        gathered.setdefault(score.row, {}).setdefault(score.stem, []).append(score.sdr)
    return {row: {stem: median(values) for stem, values in stems.items()} for row, stems in gathered.items()}


def by_song(scores: Iterable[Score], row: str) -> dict[tuple[str, str], float]:
    """(song, stem) to dB in one row."""
    return {(score.track, score.stem): score.sdr for score in scores if score.row == row}


def score_report(name: str, title: str, scores: Sequence[Score], data: str, metric: Metric, live: Live) -> Report:
    """The medians, with the published figures below them; what the Wiener filter gave, in a remark."""
    rows = medians(scores)
    table = Table(title, ("", "data", *STEMS, "average"))
    for row, values in rows.items():
        table.rows.append(_row(row, data, [values[stem] for stem in STEMS]))
    if metric == "museval":
        for row, figures in published.MUSDB18.items():
            table.rows.append(_row(row, published.DATA, list(figures)))
    table.notes.append(_METRIC_NOTES[metric])
    if any(row.endswith(" ms") for row in rows):
        table.notes.append(_live_note(live))
    for row, values in rows.items():
        if row.endswith(WIENER):
            before = rows[row.removesuffix(WIENER)]
            gains = ", ".join(f"{stem} {values[stem] - before[stem]:+.2f} dB" for stem in STEMS)
            table.notes.append(f"What the Wiener filter gave to {row.removesuffix(WIENER)!r}: {gains}.")
    songs = Table("", ("condition", "track", "stem", "SDR"), [tuple(score) for score in scores])
    return Report(name, table, _bars(rows, title, data), {"tracks": songs})


_METRIC_NOTES = {
    "museval": "SDR in dB as museval has it (BSS-eval v4, one-second frames): median over tracks of the median over "
    "frames. The published figures are of other data.",
    "sdr": "SDR in dB over each whole track, 10·log10(‖s‖² / ‖s − ŝ‖²): median over tracks.",
}


def _live_note(live: Live) -> str:
    if live.blocksize:
        return (
            f"Delays through the live engine in blocks of {live.blocksize} frames: a mask begins every "
            f"{1e3 * live.period:g} ms and comes as much later."
        )
    return f"Delays through the file renderer: a mask every {1e3 * live.period:g} ms, there at once."


def _row(row: str, data: str, values: Sequence[float]) -> tuple[str | float, ...]:
    return (row, data, *values, float(np.mean(values)))


def _bars(rows: dict[str, dict[str, float]], title: str, data: str) -> Any:
    plt = pyplot()
    figure, axes = plt.subplots(figsize=(9, 5.5), layout="constrained")
    width = 0.8 / max(1, len(rows))
    for number, (row, values) in enumerate(rows.items()):
        places = np.arange(len(STEMS)) + (number - (len(rows) - 1) / 2) * width
        axes.bar(places, [values[stem] for stem in STEMS], width, label=row)
    axes.set_xticks(range(len(STEMS)), STEMS)
    axes.set_ylabel("median SDR (dB)")
    axes.set_title(f"{title}: {data}")
    axes.axhline(0.0, color="black", linewidth=0.6)
    figure.legend(fontsize="small", loc="outside lower center", ncols=3)
    plt.close(figure)
    return figure

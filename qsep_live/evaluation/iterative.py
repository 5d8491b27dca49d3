"""Does separating twice help (paper §4.8), and does it help more where the song is far from the class's mean?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from qsep_live.evaluation.latents import cosine_distance
from qsep_live.evaluation.network import NetworkSpec
from qsep_live.evaluation.plots import rank_correlation, scatter
from qsep_live.evaluation.report import Report, Table
from qsep_live.evaluation.scores import Conditions, Score, by_song, measured, row_name, score_report
from qsep_live.evaluation.tracks import STEMS, Tell, Tracks, quiet


def iterative_report(
    spec: NetworkSpec, tracks: Tracks, conditions: Conditions, jobs: int = 1, tell: Tell = quiet
) -> Report:
    """Median SDR with the mean latent and with that of its own output; each song's gain against its distance.

    ``conditions.truths`` must hold the songs' latents: the distance is 1 − cos between a song's latent and the mean.
    """
    conditions = replace(conditions, sources=("mean", "iterative"), delays=(None,))
    scores = measured(conditions, spec, tracks, jobs, tell)
    title = "Iterative method: separate, encode the result, separate again"
    report = score_report("iterative", title, scores, tracks.label, conditions.metric, conditions.live)
    songs = _gains(scores, conditions)
    points = {}
    for stem in STEMS:
        rows = [row for row in songs if row[1] == stem]
        distances, gains = [float(row[2]) for row in rows], [float(row[3]) for row in rows]
        points[stem] = (distances, gains)
        far = sorted(zip(distances, gains, strict=True))[len(rows) // 2 :]
        report.table.notes.append(
            f"{stem}: rank correlation of gain and distance {rank_correlation(distances, gains):.2f}; the farther half "
            f"gains {sum(gain for _, gain in far) / max(1, len(far)):+.2f} dB on average, "
            f"all {sum(gains) / max(1, len(gains)):+.2f} dB ({len(rows)} songs)."
        )
    report.details["gains"] = Table("", ("track", "stem", "distance from the mean", "gain"), list(songs))
    report.figure = scatter(points, "cosine distance of the song's latent from the mean", "gain (dB)", title)
    return report


def _gains(scores: Sequence[Score], conditions: Conditions) -> list[tuple[str, str, float, float]]:
    once, twice = by_song(scores, row_name("mean", None)), by_song(scores, row_name("iterative", None))
    rows = []
    for (song, stem), sdr in once.items():
        truth, gain = conditions.truths.get(song, {}).get(stem), twice[song, stem] - sdr
        if truth is not None and gain == gain:
            rows.append((song, stem, cosine_distance(truth, conditions.means[stem]), gain))
    return rows

"""t-SNE of the latents of unseen songs' segments, coloured by class (paper §4.3), and how far classes form clusters."""

from __future__ import annotations

import numpy as np

from qsep_live.errors import UsageError
from qsep_live.evaluation.extra import needs
from qsep_live.evaluation.latents import Book
from qsep_live.evaluation.plots import scatter
from qsep_live.evaluation.report import Report, Table

NEIGHBOURS = 5


def tsne_report(book: Book, data: str, seed: int = 0) -> Report:
    """Draw the segments of ``book``; count how many of a segment's nearest ones, of other songs, are of its class.

    Raises
    ------
    UsageError
        Fewer than two classes or songs, or too few segments.
    """
    rows = [(song, name, mu) for song, stems in book.items() for name, several in stems.items() for mu in several]
    names, songs = sorted({row[1] for row in rows}), {row[0] for row in rows}
    if len(names) < 2 or len(songs) < 2 or len(rows) < 2 * NEIGHBOURS:
        raise UsageError(f"{data}: {len(rows)} segments of {len(names)} classes and {len(songs)} songs are too few")
    mu, kinds = np.stack([row[2] for row in rows]), np.array([row[1] for row in rows])
    titles = np.array([row[0] for row in rows])
    manifold, metrics = needs("sklearn.manifold"), needs("sklearn.metrics")
    perplexity = min(30.0, (len(rows) - 1) / 3)
    flat = manifold.TSNE(perplexity=perplexity, init="pca", metric="cosine", random_state=seed).fit_transform(mu)
    silhouettes = metrics.silhouette_samples(mu, kinds, metric="cosine")
    agreement = _agreement(metrics.pairwise.cosine_distances(mu), kinds, titles)
    table = Table("t-SNE of latents", ("class", "segments", "same class among neighbours (%)", "silhouette"))
    for name in names:
        of = kinds == name
        table.rows.append((name, int(of.sum()), 100.0 * float(agreement[of].mean()), float(silhouettes[of].mean())))
    table.rows.append(("all", len(rows), 100.0 * float(agreement.mean()), float(silhouettes.mean())))
    table.notes = [
        f"{data}. Neighbours: the {NEIGHBOURS} nearest segments of other songs by cosine distance in the 32 "
        f"dimensions; by chance {100.0 * sum(float((kinds == name).mean()) ** 2 for name in names):.0f} % would agree."
    ]
    points = {name: (flat[kinds == name, 0].tolist(), flat[kinds == name, 1].tolist()) for name in names}
    figure = scatter(points, "", "", f"t-SNE of three-second segments: {data}", zero=False)
    return Report("tsne", table, figure)


def _agreement(distances: np.ndarray, kinds: np.ndarray, songs: np.ndarray) -> np.ndarray:
    """The share of each segment's nearest ones, other songs' only, that are of its class."""
    apart = np.where(songs[:, None] == songs[None], np.inf, distances)
    shares = []
    for row, kind in zip(apart, kinds, strict=True):
        nearest = [index for index in np.argsort(row)[:NEIGHBOURS] if np.isfinite(row[index])]
        shares.append(float(np.mean(kinds[nearest] == kind)))
    return np.array(shares)

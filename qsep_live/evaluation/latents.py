"""Where an evaluation's latents come from: presets, training songs, the song itself, or some other song."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from qsep_live.errors import QsepError
from qsep_live.evaluation.network import Network
from qsep_live.evaluation.tracks import STEMS, MusdbTracks, Tell, Tracks, each, quiet

Latent = NDArray[np.float32]
Source = Literal["mean", "random", "truth", "iterative"]
SOURCES: tuple[Source, ...] = get_args(Source)
SOURCE_NAMES = {
    "mean": "mean",
    "random": "random query",
    "truth": "ground-truth query",
    "iterative": "mean, iterative",
}

Book = dict[str, dict[str, Latent]]
"""Song to stem to μ of its segments, (segments, 32); no rows where the stem is silent."""


def encoded_songs(
    network: Network,
    tracks: Tracks,
    stems: Sequence[str] | None = None,
    most: int | None = None,
    tell: Tell = quiet,
) -> Book:
    """Encode the true stems of every song, at most ``most`` segments of each."""
    return {
        track.name: {
            name: network.segments(audio, track.rate, most)
            for name, audio in track.stems.items()
            if stems is None or name in stems
        }
        for track in each(tracks, tell)
    }


def mean_latents(book: Book) -> dict[str, Latent]:
    """z_c, the mean of μ over all segments of each class (paper §3.5)."""
    gathered: dict[str, list[Latent]] = {}
    for stems in book.values():
        for name, mu in stems.items():
            if len(mu):
                gathered.setdefault(name, []).append(mu)
    return {name: np.concatenate(rows).mean(axis=0) for name, rows in gathered.items()}


def preset_means(fingerprint: str, names: Sequence[str] = STEMS) -> dict[str, Latent]:
    """The presets called as the classes are.

    Raises
    ------
    QsepError
        One is missing or belongs to another model.
    """
    from qsep_live.latent.library import PresetLibrary

    library = PresetLibrary()
    latents = {}
    for name in names:
        try:
            preset = library.for_model(name, None, fingerprint).preset
        except QsepError as error:
            raise QsepError(f"{error}; or say --means train for the means of the training songs") from None
        latents[name] = preset.latent
    return latents


def all_presets(fingerprint: str) -> dict[str, Latent]:
    """The latents of all presets that belong to a model, by name.

    Raises
    ------
    QsepError
        There are none.
    """
    from qsep_live.latent.library import PresetLibrary

    found = {preset.name: preset.latent for preset in PresetLibrary().latents_of(fingerprint)}
    if not found:
        raise QsepError("there are no presets of this model; make some: qsep-live presets new")
    return found


def class_means(network: Network, fingerprint: str, root: Path, means: str, tell: Tell = quiet) -> dict[str, Latent]:
    """The mean latents of MUSDB18's classes: the model's ``presets``, or ``train``, those of the songs in ``root``."""
    if means == "presets":
        return preset_means(fingerprint)
    return mean_latents(encoded_songs(network, MusdbTracks(root, "train"), tell=tell))


def song_latents(book: Book) -> dict[str, dict[str, Latent]]:
    """Song to stem to the mean over its segments: the ground-truth query. Silent stems are left out."""
    return {song: {name: mu.mean(axis=0) for name, mu in stems.items() if len(mu)} for song, stems in book.items()}


def random_queries(book: Book, seed: int) -> dict[str, dict[str, Latent]]:
    """Song to stem to one random segment of the class from another song.

    Raises
    ------
    QsepError
        No other song has the class.
    """
    generator = np.random.default_rng(seed)
    queries: dict[str, dict[str, Latent]] = {}
    for song, stems in book.items():
        queries[song] = {}
        for name in stems:
            others = [other[name] for title, other in book.items() if title != song and len(other[name])]
            if not others:
                raise QsepError(f"no song but {song!r} has {name}: a random query needs a second song")
            mu = others[int(generator.integers(len(others)))]
            queries[song][name] = mu[int(generator.integers(len(mu)))]
    return queries


def cosine_distance(a: Latent, b: Latent) -> float:
    """1 − cos of the angle between two latents."""
    lengths = float(np.linalg.norm(a) * np.linalg.norm(b))
    return 1.0 - float(np.dot(a, b)) / max(lengths, 1e-12)

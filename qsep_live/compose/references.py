"""Reference pitch and density of emotions, measured from music that is labelled with them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from qsep_live.compose.emotions import EMOTIONS, Reference, emotion_of
from qsep_live.compose.measures import Measures, measure
from qsep_live.compose.midi_file import read_melody
from qsep_live.errors import QsepError, UsageError

SUFFIXES = (".mid", ".midi", ".kar")


@dataclass(frozen=True)
class Measured:
    """The mean over the melodies of one emotion, each counted once, and how many there were."""

    reference: Reference
    pitch_spread: float
    density_spread: float
    in_key: float
    similarity: float
    melodies: int


def measure_folder(root: Path, note: Callable[[str], None]) -> dict[str, Measured]:
    """Measure ``root``/EMOTION/*.mid; folders are named in English or Korean. ``note`` hears what is left out.

    Spreads are standard deviations over melodies.

    Raises
    ------
    UsageError
        ``root`` is no folder, a folder in it is no emotion's, two are the same one's, or none has a usable melody.
    """
    if not root.is_dir():
        raise UsageError(f"{root}: no such folder; give one that holds a folder of MIDI files for each emotion")
    folders: dict[str, Path] = {}
    for folder in sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith(".")):
        try:
            name = emotion_of(folder.name)
        except UsageError as error:
            raise UsageError(f"{folder}: {error}") from None
        if name in folders:
            raise UsageError(f"{folder} and {folders[name]} are the same emotion: {name}")
        folders[name] = folder
    found = {}
    for name in EMOTIONS:
        if name in folders and (measures := _melodies(folders[name], note)):
            found[name] = _mean(measures)
    if not found:
        raise UsageError(
            f"{root}: no melody in any of {len(folders)} folders of emotions; there are {', '.join(EMOTIONS)}"
        )
    return found


def _melodies(folder: Path, note: Callable[[str], None]) -> list[Measures]:
    found = []
    for path in sorted(each for each in folder.rglob("*") if each.suffix.lower() in SUFFIXES):
        try:
            found.append(measure(read_melody(path).melody))
        except UsageError:
            raise
        except QsepError as error:
            note(f"left out: {error}")
    return found


def _mean(measures: list[Measures]) -> Measured:
    pitch = np.array([each.pitch for each in measures])
    density = np.array([each.density for each in measures])
    similar = [each.similarity for each in measures if math.isfinite(each.similarity)]
    return Measured(
        Reference(float(pitch.mean()), float(density.mean())),
        float(pitch.std()),
        float(density.std()),
        float(np.mean([each.in_key for each in measures])),
        float(np.mean(similar)) if similar else math.nan,
        len(measures),
    )

"""Stems to train on, held in memory as int16 at the model's rate: a `Song` has aligned stems, a `Bank` has songs.

A stem's key is its class, ``"vocals"``, or its coarse and its fine class, ``"Guitar/Distortion Guitar"``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches

import numpy as np
from numpy.typing import NDArray

from qsep_live.dsp.grid import MODEL_RATE
from qsep_live.errors import UsageError

CLASSES = ("vocals", "drums", "bass", "other")
"""MUSDB18's classes, which are trained on where nothing else is said."""


@dataclass(frozen=True)
class Song:
    """Aligned stems by key, each int16 (channels, samples) at 22,050 Hz, none of them silent throughout."""

    name: str
    stems: dict[str, NDArray[np.int16]]
    _sums: dict[str, NDArray[np.int16]] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def samples(self) -> int:
        return max(int(stem.shape[1]) for stem in self.stems.values())

    def of(self, name: str) -> NDArray[np.int16] | None:
        """The sum of the stems of a class and of its fine classes, int16 (channels, samples); None without any.

        A sum of several is made once and kept.
        """
        parts = [stem for key, stem in self.stems.items() if key == name or key.startswith(f"{name}/")]
        if len(parts) < 2:
            return parts[0] if parts else None
        if name not in self._sums:
            self._sums[name] = mix(parts)
        return self._sums[name]


@dataclass(frozen=True)
class Bank:
    """Songs of one source, how often to draw from it, and what messages call it.

    ``instruments``: sounds of single instruments. They are drawn as fine classes, and never stand for a coarse class,
    which they would make up in shares that no music has.
    """

    songs: tuple[Song, ...]
    weight: float = 1.0
    name: str = "the data"
    instruments: bool = False

    def holding(self, names: Sequence[str]) -> list[Song]:
        """The songs to draw from where all of ``names`` are wanted, coarse classes or fine ones."""
        if self.instruments and any("/" not in name for name in names):
            return []
        return [song for song in self.songs if all(song.of(name) is not None for name in names)]

    def minutes(self) -> float:
        return sum(song.samples for song in self.songs) / MODEL_RATE / 60

    def classes(self) -> tuple[str, ...]:
        """The coarse classes: MUSDB18's four first, in their order, then the others by name."""
        found = {key.partition("/")[0] for song in self.songs for key in song.stems}
        return (*(name for name in CLASSES if name in found), *sorted(found.difference(CLASSES)))

    def fine(self) -> tuple[str, ...]:
        """The fine classes, ``"coarse/fine"``, by name."""
        return tuple(sorted({key for song in self.songs for key in song.stems if "/" in key}))


def mix(stems: Sequence[NDArray[np.int16]]) -> NDArray[np.int16]:
    """The sum of stems of any lengths, mono or stereo, held to int16's range; as long as the longest."""
    total = np.zeros((max(len(stem) for stem in stems), max(stem.shape[1] for stem in stems)), np.int32)
    for stem in stems:
        total[:, : stem.shape[1]] += stem
    return np.clip(total, -32767, 32767).astype(np.int16)


def require_classes(banks: Iterable[Bank], classes: Sequence[str] = CLASSES) -> None:
    """See that every class, coarse or ``"coarse/fine"``, has a stem in one of the banks.

    Raises
    ------
    UsageError
        One has none; the message lists what there is.
    """
    banks = list(banks)
    there = list(dict.fromkeys(name for bank in banks if not bank.instruments for name in bank.classes()))
    known = [*there, *(name for bank in banks for name in bank.fine())]
    for name in classes:
        if name not in known:
            near = get_close_matches(name, known, 1)
            hint = f" (did you mean {near[0]}?)" if near else ""
            names = ", ".join(bank.name for bank in banks)
            raise UsageError(f"{names}: no stem of the class {name}{hint}; there are {', '.join(there) or 'none'}")

"""Stems to train on, held in memory as int16 at the model's rate.

A `Bank` is a list of songs; a song has one or more classes, aligned. Two sources: MUSDB18 in its published layout
(`musdb` package, ffmpeg), and folders of stems, ``SONG/CLASS.ogg`` (aligned) or ``CLASS/**/*.ogg`` (one class a
file).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qsep_live.dsp.grid import MODEL_RATE
from qsep_live.errors import QsepError, UsageError

CLASSES = ("vocals", "drums", "bass", "other")
SUFFIXES = (".wav", ".flac", ".ogg")


@dataclass(frozen=True)
class Song:
    """Aligned stems by class, each int16 (channels, samples) at 22,050 Hz."""

    name: str
    stems: dict[str, NDArray[np.int16]]

    @property
    def samples(self) -> int:
        return max(int(stem.shape[1]) for stem in self.stems.values())


@dataclass(frozen=True)
class Bank:
    """Songs of one source, and how often to draw from it."""

    songs: tuple[Song, ...]
    weight: float = 1.0

    def minutes(self) -> float:
        return sum(song.samples for song in self.songs) / MODEL_RATE / 60


def musdb_bank(root: Path, split: str, weight: float = 1.0) -> Bank:
    """MUSDB18's training songs below ``root``; ``split`` is musdb's own ``"train"`` or ``"valid"``."""
    try:
        import musdb
    except ImportError:
        raise UsageError("reading MUSDB18 needs the musdb package: pip install 'qsep-live[train]'") from None
    tracks = musdb.DB(root=str(root), is_wav=False, subsets="train", split=split, sample_rate=MODEL_RATE)
    if not len(tracks):
        raise UsageError(f"{root}: no train/*.stem.mp4 here; give MUSDB18's own folder")
    songs = []
    for track in tracks:
        stems = {name: _to_int16(track.sources[name].audio.T) for name in CLASSES}
        songs.append(Song(track.name, stems))
    return Bank(tuple(songs), weight)


def folder_bank(root: Path, weight: float = 1.0) -> Bank:
    """Stems below ``root``: ``SONG/CLASS.ogg`` where file names are classes, else ``CLASS/**/*.ogg``."""
    if not root.is_dir():
        raise UsageError(f"{root}: no such folder; give one with SONG/CLASS or CLASS/FILE in it")
    songs = []
    for folder in sorted(path for path in root.iterdir() if path.is_dir()):
        if folder.name in CLASSES:
            songs += [Song(str(path), {folder.name: _read(path)}) for path in _audio_below(folder)]
            continue
        stems = {path.stem: _read(path) for path in _audio_below(folder) if path.stem in CLASSES}
        if stems:
            songs.append(Song(folder.name, stems))
    if not songs:
        raise UsageError(f"{root}: no SONG/CLASS or CLASS/FILE here for the classes {', '.join(CLASSES)}")
    return Bank(tuple(songs), weight)


def _audio_below(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.suffix.lower() in SUFFIXES)


def _read(path: Path) -> NDArray[np.int16]:
    import soundfile

    from qsep_live.audio.resample import resample

    try:
        audio, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except (OSError, RuntimeError) as error:
        raise QsepError(f"{path}: {error}") from None
    return _to_int16(resample(audio, rate, MODEL_RATE).T)


def _to_int16(audio: NDArray[np.float32] | NDArray[np.float64]) -> NDArray[np.int16]:
    return (np.clip(audio, -1.0, 1.0) * 32767).astype(np.int16)

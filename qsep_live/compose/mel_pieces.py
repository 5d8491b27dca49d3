"""Folders of music to pieces of mel-spectrogram, 2048 frames each, in one safetensors file.

Threading: one thread makes every call.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qsep_live.audio.resample import resample
from qsep_live.compose.mel import BANDS, FLOOR, PIECE, RATE, Array, mel_of, read_mono
from qsep_live.errors import QsepError, UsageError
from qsep_live.tensor_file import open_tensors
from qsep_live.whole_file import write_whole

SHORTEST = 128
"""Frames (3 s) below which the rest of a song is left out, unless it is the whole song."""
DETUNE = 2.0
"""Semitones up or down by which an augmented copy plays faster or slower, at most."""
STEM_GAIN = 6.0
"""dB up or down by which an augmented copy changes each stem, at most."""
_KEY = "qsep_live_spectrograms"
_SCHEMA = 1


@dataclass(frozen=True)
class Piece:
    """Up to PIECE frames of one song.

    Attributes
    ----------
    song
        Its file or folder, below the folder that was prepared.
    copy
        0 for the song as it is, else the number of the augmented copy.
    db
        (frames, BANDS), see `Mel`; without padding.
    loudest
        Power that the song's 0 dB stands for.
    """

    song: str
    copy: int
    db: Array
    loudest: float


def find_songs(folder: Path, files: Sequence[Path], stems: bool) -> dict[str, list[Path]]:
    """The files of each song: each file is one, or with ``stems`` all in the same folder are.

    Raises
    ------
    UsageError
        ``stems``, but files lie in ``folder`` itself.
    """
    songs: dict[str, list[Path]] = {}
    for path in files:
        place = path.relative_to(folder)
        if stems and place.parent == Path():
            raise UsageError(f"{path}: stems lie in a folder for each song, {folder}/SONG/{path.name}")
        songs.setdefault(str(place.parent if stems else place), []).append(path)
    return songs


def cut_song(name: str, files: Sequence[Path], copies: int, seed: int) -> list[Piece]:
    """The pieces of a song, and of ``copies`` augmented copies of it.

    A copy plays up to two semitones faster or slower, as a tape does; its stems, where there are several, change in
    level by up to 6 dB each.

    Raises
    ------
    QsepError
        A file cannot be read, is shorter than a frame, or silent.
    """
    sounds = [read_mono(path) for path in files]
    sounds = [np.pad(each, (0, max(map(len, sounds)) - len(each))) for each in sounds]
    pieces = []
    for copy in range(copies + 1):
        random = np.random.default_rng([seed, copy, *name.encode()])
        gains = 10.0 ** (random.uniform(-STEM_GAIN, STEM_GAIN, len(sounds)) / 20.0)
        speed = 2.0 ** (random.uniform(-DETUNE, DETUNE) / 12.0)
        mixed = np.sum([each * np.float32(gain if copy else 1.0) for each, gain in zip(sounds, gains, strict=True)], 0)
        if copy:
            mixed = resample(mixed[:, None], RATE, RATE / speed)[:, 0]
        try:
            mel = mel_of(mixed)
        except QsepError as error:
            raise QsepError(f"{files[0] if len(files) == 1 else files[0].parent}: {error}") from None
        parts = [mel.db[start : start + PIECE] for start in range(0, len(mel.db), PIECE)]
        kept = [part for part in parts if len(part) >= SHORTEST or len(parts) == 1]
        pieces += [Piece(name, copy, part, mel.loudest) for part in kept]
    return pieces


def cut_songs(
    songs: dict[str, list[Path]], copies: int, seed: int, note: Callable[[str], None],
    advance: Callable[[float, str], None],
) -> list[Piece]:  # fmt: skip
    """The pieces of all songs; what cannot be used is told to ``note`` and left out.

    Raises
    ------
    QsepError
        None can be used.
    """
    pieces = []
    for number, (name, files) in enumerate(songs.items()):
        advance(number / len(songs), name)
        try:
            pieces += cut_song(name, files, copies, seed)
        except QsepError as error:
            if len(songs) == 1:
                raise
            note(f"left out: {error}")
    if not pieces:
        raise QsepError(f"none of the {len(songs)} songs could be used")
    return pieces


def save_pieces(pieces: Sequence[Piece], path: Path) -> None:
    """Write ``path`` whole or not at all, every piece padded to PIECE frames of silence. Raises QsepError."""
    from safetensors.numpy import save

    padded = np.full((len(pieces), PIECE, BANDS), FLOOR, np.float16)
    for row, piece in zip(padded, pieces, strict=True):
        row[: len(piece.db)] = piece.db
    rows = [[piece.song, piece.copy, len(piece.db), piece.loudest] for piece in pieces]
    write_whole(path, save({"db": padded}, {_KEY: json.dumps({"schema": _SCHEMA, "pieces": rows})}))


def load_pieces(path: Path) -> list[Piece]:
    """Read what `save_pieces` wrote.

    Raises
    ------
    QsepError
        The file is missing, damaged, or something else.
    """
    wrong = "no spectrograms of qsep-live compose spectrogram prepare ({reason})"
    with open_tensors(path, _KEY, _SCHEMA, wrong) as (words, tensors):
        padded: NDArray[np.float16] = tensors["db"]
        rows = [(str(song), int(copy), int(frames), float(loud)) for song, copy, frames, loud in words["pieces"]]
        if padded.shape != (len(rows), PIECE, BANDS):
            raise ValueError("of another version")
        if not all(0 < frames <= PIECE for _, _, frames, _ in rows) or not np.isfinite(padded).all():
            raise ValueError("damaged")
        return [
            Piece(song, copy, row[:frames].astype(np.float32), loud)
            for (song, copy, frames, loud), row in zip(rows, padded, strict=True)
        ]

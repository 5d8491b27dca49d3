"""Songs to learn melodies from: read, split by song, and cut into windows of 16 bars."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qsep_live.compose.melody import BAR, BARS, FIRST_NOTE, STEPS, TOKENS, Melody
from qsep_live.compose.midi_file import read_melody
from qsep_live.errors import QsepError, UsageError

Tokens = NDArray[np.int64]

LEAST_SONGS = 3
_SHARE = 0.1
"""Of the songs, for validation, and as many held out."""
_LONGEST_SILENCE = BAR
_VARIETY = 5
"""Different pitches in a window, and at most a bar of silence: as in the published data (Roberts et al. 2018, §5.1)."""
_SHIFTS = range(-5, 7)
"""Semitones: every key once."""


@dataclass(frozen=True)
class Song:
    """A song's windows, which begin with each bar.

    Attributes
    ----------
    windows : (windows, 256) int64
        Tokens.
    """

    name: str
    windows: Tokens

    def apart(self) -> Tokens:
        """Every sixteenth window: the song about once."""
        return self.windows[::BARS]


@dataclass(frozen=True)
class Split:
    """Songs to learn from, to choose by, and to report on; no song, nor a copy of it, is in two of them."""

    train: tuple[Song, ...]
    validation: tuple[Song, ...]
    held_out: tuple[Song, ...]


def read_songs(files: Sequence[Path], note: Callable[[str], None], advance: Callable[[float], None]) -> list[Song]:
    """The songs of ``files``, each tune once; ``note`` hears which ones are left out, ``advance`` the share done."""
    songs: dict[str, Song] = {}
    for index, path in enumerate(files):
        try:
            melody = read_melody(path).melody
        except UsageError:
            raise
        except QsepError as error:
            note(f"left out: {error}")
            continue
        finally:
            advance((index + 1) / len(files))
        windows = song_windows(melody)
        if not len(windows):
            note(f"left out: {path}: {_why_none(melody)}")
            continue
        key = _tune(melody)
        if key in songs:
            note(f"left out: {path}: is the tune of {songs[key].name}")
            continue
        songs[key] = Song(f"{path.parent.name}/{path.name}", windows)
    return list(songs.values())


def split_songs(songs: Sequence[Song]) -> Split:
    """A tenth of the songs for validation and a tenth held out, drawn by their names: the same ones every time.

    Raises
    ------
    UsageError
        There are fewer than three songs.
    """
    if len(songs) < LEAST_SONGS:
        raise UsageError(
            f"{len(songs)} usable songs, at least {LEAST_SONGS} are needed: one to learn from, one to validate on, one"
            " held out"
        )
    drawn = sorted(songs, key=lambda song: hashlib.sha256(song.name.encode()).digest())
    share = max(1, round(_SHARE * len(songs)))
    return Split(tuple(drawn[2 * share :]), tuple(drawn[share : 2 * share]), tuple(drawn[:share]))


def song_windows(melody: Melody) -> Tokens:
    """``(windows, 256)`` tokens: 16 bars from each bar on, without those with few pitches or long silences."""
    if melody.bars < BARS:
        return np.zeros((0, STEPS), np.int64)
    windows = [melody.window(bar) for bar in range(melody.bars - BARS + 1)]
    kept = [window.tokens() for window in windows if _worth_learning(window)]
    return np.stack(kept) if kept else np.zeros((0, STEPS), np.int64)


def transposed(tokens: Tokens, semitones: Tokens) -> Tokens:
    """Windows ``(n, steps)``, each by its own ``semitones`` (n,); those that would leave the range stay."""
    notes = tokens >= FIRST_NOTE
    moved: Tokens = np.where(notes, tokens + semitones[:, None], tokens)
    legal = np.all(((moved >= FIRST_NOTE) & (moved < TOKENS)) | ~notes, axis=1)
    return np.where(legal[:, None], moved, tokens)


class Windows:
    """Draws batches: a song, a window of it, a transposition, each evenly. A batch depends on seed and step alone."""

    def __init__(self, songs: Sequence[Song], seed: int) -> None:
        self._songs, self._seed = songs, seed

    def batch(self, step: int, size: int) -> Tokens:
        """``(size, 256)`` tokens for ``step``."""
        random = np.random.default_rng((self._seed, step))
        chosen = [self._songs[index].windows for index in random.integers(len(self._songs), size=size)]
        tokens = np.stack([windows[random.integers(len(windows))] for windows in chosen])
        return transposed(tokens, random.integers(_SHIFTS.start, _SHIFTS.stop, size=size))

    def bars(self, step: int, size: int) -> Tokens:
        """``(size, 16)`` tokens: a bar of each of ``size`` windows."""
        windows = self.batch(step, size).reshape(size, BARS, BAR)
        return windows[np.arange(size), np.random.default_rng((self._seed, step, 1)).integers(BARS, size=size)]


def fingerprint(songs: Sequence[Song]) -> str:
    """16 hex digits of names and notes: whether two data sets are one."""
    sha = hashlib.sha256()
    for song in sorted(songs, key=lambda song: song.name):
        sha.update(song.name.encode())
        sha.update(song.windows.astype(np.uint8).tobytes())
    return sha.hexdigest()[:16]


def _worth_learning(window: Melody) -> bool:
    if len({note.pitch for note in window.notes}) < _VARIETY:
        return False
    ends = (0, *(note.end for note in window.notes))
    starts = (*(note.start for note in window.notes), window.steps)
    return max(start - end for start, end in zip(starts, ends, strict=True)) <= _LONGEST_SILENCE


def _why_none(melody: Melody) -> str:
    if melody.bars < BARS:
        return f"has {melody.bars} bars of melody, {BARS} are needed"
    return f"has no {BARS} bars with {_VARIETY} pitches and without a bar of silence"


def _tune(melody: Melody) -> str:
    """The first 16 bars in no particular key."""
    tokens = melody.window(0).tokens()
    notes = tokens >= FIRST_NOTE
    tokens[notes] -= int(tokens[notes].min(initial=TOKENS))
    tokens[~notes] += TOKENS
    return hashlib.sha256(tokens.tobytes()).hexdigest()

"""What a melody is like, in four numbers.

Threading: pure functions, any thread.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qsep_live.compose.melody import BAR, FIRST_NOTE, HOLD, LOWEST, Melody

_MAJOR = (6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88)
_MINOR = (6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17)
"""Probe-tone profiles, Krumhansl and Kessler 1982."""
_MAJOR_SCALE = (0, 2, 4, 5, 7, 9, 11)
_MINOR_SCALE = (0, 2, 3, 5, 7, 8, 10, 11)
"""Natural minor, and the leading tone that harmonic minor adds."""
BARS_BACK = 4
"""With how many of the bars before it a bar is compared."""
PROFILES = np.array([np.roll(profile, tonic) for profile in (_MAJOR, _MINOR) for tonic in range(12)])


@dataclass(frozen=True)
class Key:
    """A major or minor key; ``tonic`` 0 is C."""

    tonic: int
    minor: bool

    @property
    def scale(self) -> frozenset[int]:
        """Its pitch classes."""
        return frozenset((self.tonic + degree) % 12 for degree in (_MINOR_SCALE if self.minor else _MAJOR_SCALE))


@dataclass(frozen=True)
class Measures:
    """Of one melody.

    Attributes
    ----------
    pitch
        Mean pitch, each note once; MIDI note number, NaN without notes.
    density
        Notes a bar.
    in_key
        Share of notes in the scale of the melody's own key; NaN without notes.
    similarity
        How much a bar is like the bars one to four before it, 0 to 1: share of steps with the same pitch sounding
        (or the same silence) and the same start, the best of the four, mean over bars; NaN under two bars.
    """

    pitch: float
    density: float
    in_key: float
    similarity: float


def measure(melody: Melody) -> Measures:
    """All four measures of ``melody``."""
    pitches = np.array([note.pitch for note in melody.notes], float)
    scale = key_of(melody).scale
    inside = [int(pitch) % 12 in scale for pitch in pitches]
    return Measures(
        float(pitches.mean()) if len(pitches) else float("nan"),
        len(pitches) / (melody.steps / BAR) if melody.steps else 0.0,
        float(np.mean(inside)) if inside else float("nan"),
        _similarity(melody),
    )


def key_of(melody: Melody) -> Key:
    """The key whose profile correlates best with the time that pitch classes sound (Krumhansl 1990, ch. 4)."""
    time = np.zeros(12)
    for note in melody.notes:
        time[note.pitch % 12] += note.length
    centred = PROFILES - PROFILES.mean(axis=1, keepdims=True)
    scores = centred @ (time - time.mean()) / np.linalg.norm(centred, axis=1)
    minor, tonic = divmod(int(np.argmax(scores)), 12)
    return Key(tonic, bool(minor))


def sounding(melody: Melody) -> NDArray[np.int64]:
    """``(steps,)``: the pitch that sounds in each step, 0 for none."""
    tokens = melody.tokens()
    started = np.where(tokens == HOLD, 0, np.where(tokens >= FIRST_NOTE, tokens - FIRST_NOTE + LOWEST, 0))
    last = np.maximum.accumulate(np.where(tokens == HOLD, 0, np.arange(melody.steps)))
    return started[last] if melody.steps else started


def _similarity(melody: Melody) -> float:
    whole = melody.steps // BAR
    if whole < 2:
        return float("nan")
    starts = (melody.tokens() >= FIRST_NOTE)[: whole * BAR].reshape(whole, BAR)
    pitches = sounding(melody)[: whole * BAR].reshape(whole, BAR)
    best = []
    for bar in range(1, whole):
        before = slice(max(0, bar - BARS_BACK), bar)
        same = (pitches[before] == pitches[bar]) & (starts[before] == starts[bar])
        best.append(float(same.mean(axis=1).max()))
    return float(np.mean(best))

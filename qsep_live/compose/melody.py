"""Monophonic melodies on a grid of sixteenth notes in 4/4, and the tokens that the model reads and writes.

One token a step: rest, hold (what sounds goes on), or a note-on for each pitch from `LOWEST` to `HIGHEST`.

Threading: pure functions and values, any thread.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

BAR = 16
"""Steps a bar: sixteenth notes in 4/4."""
BARS = 16
"""Bars that the model sees at once."""
STEPS = BAR * BARS
LOWEST, HIGHEST = 36, 95
"""Pitches that have a token: C2 to B6, five octaves; MIDI note numbers."""
REST, HOLD, FIRST_NOTE = 0, 1, 2
TOKENS = FIRST_NOTE + HIGHEST - LOWEST + 1


class Note(NamedTuple):
    """``pitch`` (MIDI note number) sounds for ``length`` steps from step ``start`` on."""

    start: int
    length: int
    pitch: int

    @property
    def end(self) -> int:
        return self.start + self.length


@dataclass(frozen=True)
class Melody:
    """Notes in time order, none of which overlap, within ``steps`` steps.

    Raises
    ------
    ValueError
        Notes overlap, are out of order, too short, or out of the range of steps or pitches.
    """

    notes: tuple[Note, ...]
    steps: int

    def __post_init__(self) -> None:
        before = 0
        for note in self.notes:
            if note.start < before or note.length < 1 or note.end > self.steps:
                raise ValueError(f"{note} begins before step {before}, is empty, or ends after step {self.steps}")
            if not LOWEST <= note.pitch <= HIGHEST:
                raise ValueError(f"pitch {note.pitch} is out of range; there are {LOWEST} to {HIGHEST}")
            before = note.end

    @property
    def bars(self) -> int:
        """Bars begun."""
        return -(-self.steps // BAR)

    def tokens(self) -> NDArray[np.int64]:
        """The melody as ``(steps,)`` tokens."""
        tokens = np.full(self.steps, REST, np.int64)
        for note in self.notes:
            tokens[note.start] = FIRST_NOTE + note.pitch - LOWEST
            tokens[note.start + 1 : note.end] = HOLD
        return tokens

    def transposed(self, semitones: int) -> Melody:
        """The melody ``semitones`` higher. Raises ValueError where that leaves the range."""
        return Melody(tuple(note._replace(pitch=note.pitch + semitones) for note in self.notes), self.steps)

    def window(self, bar: int, bars: int = BARS) -> Melody:
        """``bars`` bars from ``bar`` on, rests after the end; a note that sounds at the edge is struck there."""
        first, steps = bar * BAR, bars * BAR
        cut = ((max(0, note.start - first), min(steps, note.end - first), note.pitch) for note in self.notes)
        return Melody(tuple(Note(start, end - start, pitch) for start, end, pitch in cut if start < end), steps)


def melody_of(tokens: Iterable[int]) -> Melody:
    """The melody that tokens stand for; a hold with nothing to hold is a rest.

    Raises
    ------
    ValueError
        A token is none of the `TOKENS`.
    """
    notes: list[Note] = []
    steps, open_note = 0, False
    for step, value in enumerate(tokens):
        token = int(value)
        if not 0 <= token < TOKENS:
            raise ValueError(f"token {token} at step {step}; there are 0 to {TOKENS - 1}")
        if token >= FIRST_NOTE:
            notes.append(Note(step, 1, LOWEST + token - FIRST_NOTE))
        elif token == HOLD and open_note:
            notes[-1] = notes[-1]._replace(length=notes[-1].length + 1)
        open_note = token >= FIRST_NOTE or (token == HOLD and open_note)
        steps = step + 1
    return Melody(tuple(notes), steps)


def joined(melodies: Iterable[Melody]) -> Melody:
    """One after the other."""
    notes: list[Note] = []
    steps = 0
    for melody in melodies:
        notes += [note._replace(start=steps + note.start) for note in melody.notes]
        steps += melody.steps
    return Melody(tuple(notes), steps)


def into_range(pitch: int) -> int:
    """``pitch``, moved by octaves to where it has a token."""
    if pitch < LOWEST:
        return pitch + 12 * -(-(LOWEST - pitch) // 12)
    return pitch - 12 * max(0, -(-(pitch - HIGHEST) // 12))

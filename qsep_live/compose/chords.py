"""A chord for each bar of a melody, and the two losses that carry the condition of an emotion.

Chances of tokens ``(n, 256, TOKENS)`` are what `MusicVae.expected` gives: both losses are differentiable in them, and
so in the latent.

Threading: pure functions, any thread.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from qsep_live.compose.measures import key_of
from qsep_live.compose.melody import BAR, BARS, FIRST_NOTE, HIGHEST, LOWEST, STEPS, TOKENS, Melody

QUALITIES = {"": (0, 4, 7), "m": (0, 3, 7), "dim": (0, 3, 6)}
"""Root, third and fifth of major, minor and diminished triads, in semitones."""
NAMES = ("C", "C#", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B")
WEIGHTS = (1.0, 0.8, 0.9)
"""How well root, third and fifth fit their chord; what is none of them does not."""
_STAY = 0.15
"""What a change of chord costs, as a share of a bar's notes: a bar that fits two chords keeps the one before."""
_OUT_OF_KEY = 0.1
"""What each tone of a chord outside the melody's key costs."""
_DIMINISHED = 0.1
WINDOW = 2 * BAR


@dataclass(frozen=True)
class Chord:
    """A triad; ``root`` 0 is C."""

    root: int
    quality: str

    def __str__(self) -> str:
        return NAMES[self.root] + self.quality

    @property
    def tones(self) -> tuple[int, int, int]:
        """Pitch classes of root, third and fifth."""
        third, fifth = QUALITIES[self.quality][1:]
        return self.root, (self.root + third) % 12, (self.root + fifth) % 12


CHORDS = tuple(Chord(root, quality) for quality in QUALITIES for root in range(12))
_FIT = np.zeros((len(CHORDS), 12))
for _index, _chord in enumerate(CHORDS):
    _FIT[_index, list(_chord.tones)] = WEIGHTS


def estimate_chords(melody: Melody) -> tuple[Chord, ...]:
    """The most likely chord of each bar.

    A bar's notes count by their length, those on a beat half as much again; they ask for chords that they are tones
    of. Chords of the melody's own key are preferred, and staying on a chord to changing it. The best sequence as a
    whole is found by dynamic programming (Viterbi 1967; melody harmonisation of this kind: Simon, Morris and Basu
    2008, "MySong"). A bar without notes keeps the chord before it.
    """
    bars = melody.bars
    if not bars:
        return ()
    classes = np.zeros((bars, 12))
    for note in melody.notes:
        accent = 1.5 if note.start % (BAR // 4) == 0 else 1.0
        for step in range(note.start, note.end):
            classes[step // BAR, note.pitch % 12] += accent
    classes /= np.maximum(classes.sum(axis=1, keepdims=True), 1e-9)
    scale = key_of(melody).scale
    prior = np.array(
        [
            -_OUT_OF_KEY * sum(tone not in scale for tone in chord.tones) - _DIMINISHED * (chord.quality == "dim")
            for chord in CHORDS
        ]
    )
    scores = classes @ _FIT.T + prior
    return tuple(CHORDS[index] for index in _best_path(scores))


def _best_path(scores: NDArray[np.float64]) -> list[int]:
    """The index for each row that has the highest sum, a change costing `_STAY`."""
    total, back = scores[0], []
    for row in scores[1:]:
        best = int(np.argmax(total))
        stays = total >= total[best] - _STAY
        back.append(np.where(stays, np.arange(len(row)), best))
        total = np.where(stays, total, total[best] - _STAY) + row
    path = [int(np.argmax(total))]
    for step in reversed(back):
        path.append(int(step[path[-1]]))
    return path[::-1]


def parse_chords(words: str) -> tuple[Chord, ...]:
    """Sixteen chords from words such as ``"C Am F G"``, which are repeated until there are enough.

    Raises
    ------
    ValueError
        A word is no chord.
    """
    names = {name: root for root, name in enumerate(NAMES)} | {"Db": 1, "D#": 3, "Gb": 6, "G#": 8, "A#": 10}
    found = []
    for word in words.split():
        head = word[:2] if word[1:2] in ("#", "b") else word[:1]
        if head not in names or word[len(head) :] not in QUALITIES:
            raise ValueError(f"{word!r} is no chord; give such as C, Am, F#, Bdim")
        found.append(Chord(names[head], word[len(head) :]))
    if not found:
        raise ValueError("no chord given; give such as C Am F G")
    return tuple(found[bar % len(found)] for bar in range(BARS))


def fit_table(chords: tuple[Chord, ...]) -> Tensor:
    """``(256, TOKENS)``: how well each token fits the chord of its bar, 0 to 1; rest and hold are no notes: 0."""
    if len(chords) != BARS:
        raise ValueError(f"{len(chords)} chords, a melody has {BARS} bars")
    pitches = np.arange(LOWEST, HIGHEST + 1)
    table = np.zeros((BARS, TOKENS), np.float32)
    for bar, chord in enumerate(chords):
        table[bar, FIRST_NOTE:] = _FIT[CHORDS.index(chord)][pitches % 12]
    return torch.from_numpy(np.repeat(table, BAR, axis=0))


def pitch_loss(shares: Tensor, fit: Tensor) -> Tensor:
    """How badly notes fit their chords, ``(n,)``: 0 where all are roots, 1 where none is root, third or fifth.

    The mean of 1 - fit over notes, each by its chance (PAPER §B: root, third and fifth make a small loss, all others
    a large one).

    Parameters
    ----------
    shares : (n, 256, TOKENS)
        Chances of tokens.
    fit : (256, TOKENS) or (n, 256, TOKENS)
        From `fit_table`.
    """
    notes = shares[..., FIRST_NOTE:]
    total = notes.sum(dim=(-1, -2))
    return ((1.0 - fit[..., FIRST_NOTE:]) * notes).sum(dim=(-1, -2)) / total.clamp_min(1e-6)


def expected_pitch(shares: Tensor) -> Tensor:
    """Mean pitch, ``(n,)``, MIDI note number: each note once, by its chance."""
    notes = shares[..., FIRST_NOTE:]
    pitches = torch.arange(LOWEST, HIGHEST + 1, dtype=shares.dtype, device=shares.device)
    return (notes * pitches).sum(dim=(-1, -2)) / notes.sum(dim=(-1, -2)).clamp_min(1e-6)


def expected_density(shares: Tensor, window: int = STEPS) -> Tensor:
    """Notes a bar, ``(n, windows)``: the sum of the chances of note-ons in windows of ``window`` steps, half
    overlapping (one window over the whole melody has no neighbour)."""
    onsets = shares[..., FIRST_NOTE:].sum(dim=-1)
    hop = max(1, window // 2)
    return onsets.unfold(-1, window, hop).mean(dim=-1) * BAR


def density_loss(shares: Tensor, density: Tensor | float, window: int = WINDOW) -> Tensor:
    """How far the density lies from the reference, ``(n,)``.

    The mean over windows of (log2 of notes a bar against the reference)²: 1 for twice or half as many. That it is
    taken window by window is what keeps notes from crowding here and thinning out there (PAPER §B).

    Parameters
    ----------
    shares : (n, 256, TOKENS)
        Chances of tokens.
    density : float or (n,)
        Notes a bar, above 0.
    """
    windows = expected_density(shares, window)
    wanted = torch.as_tensor(density, dtype=shares.dtype, device=shares.device).reshape(-1, 1)
    # A quarter of a note is added on both sides, so that an empty window is far off, and not infinitely far.
    return (torch.log2((windows + 0.25) / (wanted + 0.25))).square().mean(dim=-1)


def certain(tokens: Tensor) -> Tensor:
    """Chances ``(n, steps, TOKENS)`` of tokens ``(n, steps)`` that are certain: what losses say of written music."""
    return functional.one_hot(tokens, TOKENS).float()

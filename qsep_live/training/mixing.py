"""Training pairs: mixtures of random classes from random songs, and the target group within each (paper §3.4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qsep_live.dsp.grid import SEGMENT
from qsep_live.training.data import CLASSES, Bank, Song

SILENT = 1e-3
"""RMS under which a target group counts as silent, −60 dBFS."""


@dataclass(frozen=True)
class MixingConfig:
    """How pairs are drawn.

    Attributes
    ----------
    keep
        Probability that a class sounds at all: α ~ Bernoulli(keep). Paper: 0.5.
    gain
        Range of β. Paper: [0.25, 1.25].
    single_target
        Share of the pairs whose target group is one class; the rest draw every class to T or R by a fair coin
        (paper: always).
    coherent
        Share of the pairs whose classes all come from one song and place. Paper: 0.
    """

    keep: float = 0.5
    gain: tuple[float, float] = (0.25, 1.25)
    single_target: float = 0.0
    coherent: float = 0.0


class Mixer:
    """Draws (mixture, target) pairs from banks of stems, from its own random generator."""

    def __init__(self, banks: Sequence[Bank], config: MixingConfig, seed: int) -> None:
        self._config = config
        self._random = np.random.default_rng(seed)
        self._banks = {
            name: [(bank.weight, [s for s in bank.songs if name in s.stems]) for bank in banks] for name in CLASSES
        }
        self._aligned = [
            (bank.weight, songs)
            for bank in banks
            if (songs := [song for song in bank.songs if len(song.stems) == len(CLASSES)])
        ]

    def batch(self, size: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Mixtures and targets, each float32 (size, SEGMENT)."""
        pairs = [self.pair() for _ in range(size)]
        return np.stack([m for m, _ in pairs]), np.stack([t for _, t in pairs])

    def pair(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """One mixture m = s_T + s_R and its target s_T, each float32 (SEGMENT,).

        A silent target teaches nothing, since no query could stand for it: such a pair is drawn again.
        """
        random, config = self._random, self._config
        while True:
            sounds = self._coherent() if random.random() < config.coherent else self._independent()
            heard = {name: random.random() < config.keep for name in CLASSES}
            if random.random() < config.single_target:
                chosen = CLASSES[random.integers(len(CLASSES))]
                in_target = {name: name == chosen for name in CLASSES}
                heard[chosen] = True
            else:
                in_target = {name: random.random() < 0.5 for name in CLASSES}
            target = np.zeros(SEGMENT, np.float32)
            rest = np.zeros(SEGMENT, np.float32)
            for name in CLASSES:
                if heard[name]:
                    group = target if in_target[name] else rest
                    group += np.float32(random.uniform(*config.gain)) * sounds[name]
            if np.sqrt(np.mean(target * target)) > SILENT:
                return target + rest, target

    def segment(self, name: str) -> NDArray[np.float32]:
        """Three seconds of one class from a random song, (SEGMENT,)."""
        song = self._draw(self._banks[name])
        return self._cut(song, name, self._start(song, name))

    def _independent(self) -> dict[str, NDArray[np.float32]]:
        return {name: self.segment(name) for name in CLASSES}

    def _coherent(self) -> dict[str, NDArray[np.float32]]:
        song = self._draw(self._aligned)
        start = self._start(song, CLASSES[0])
        return {name: self._cut(song, name, start) for name in CLASSES}

    def _draw(self, banks: Sequence[tuple[float, Sequence[Song]]]) -> Song:
        weights = np.array([weight if songs else 0.0 for weight, songs in banks])
        songs = banks[int(self._random.choice(len(banks), p=weights / weights.sum()))][1]
        return songs[int(self._random.integers(len(songs)))]

    def _start(self, song: Song, name: str) -> int:
        return int(self._random.integers(max(1, song.stems[name].shape[1] - SEGMENT + 1)))

    def _cut(self, song: Song, name: str, start: int) -> NDArray[np.float32]:
        stem = song.stems[name]
        piece = stem[:, start : start + SEGMENT]
        if piece.shape[1] < SEGMENT:
            piece = (
                np.resize(piece, (1, SEGMENT))
                if piece.shape[0] == 1
                else np.pad(piece, ((0, 0), (0, SEGMENT - piece.shape[1])))
            )
        channel = self._random.integers(-1, stem.shape[0]) if stem.shape[0] > 1 else 0
        mono = piece.mean(axis=0) if channel < 0 else piece[channel]
        sound: NDArray[np.float32] = np.divide(mono, 32768, dtype=np.float32)
        return sound

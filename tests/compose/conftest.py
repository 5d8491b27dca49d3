"""Songs made on the spot: tunes of a few figures over a chord for each bar, as MIDI files; and a band, as sound."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from qsep_live.compose.melody import BAR, Melody, Note
from qsep_live.compose.midi_file import write_melody

SCALE = (0, 2, 4, 5, 7, 9, 11, 12)


def tune(seed: int, bars: int = 16, key: int = 60, step: int = 2) -> Melody:
    """A tune in a major key, a note each ``step`` sixteenths, long on each first beat, a rest at the end of each bar;
    bars come back."""
    random = np.random.default_rng(seed)
    figures = [random.integers(0, 8, BAR // step) for _ in range(3)]
    notes = []
    for bar in range(bars):
        figure = figures[(0, 1, 0, 2)[bar % 4]]
        lengths = [2 * step, 0, *[step] * (len(figure) - 3), 0]
        notes += [
            Note(bar * BAR + i * step, length, key + SCALE[degree])
            for i, (degree, length) in enumerate(zip(figure, lengths, strict=True))
            if length
        ]
    return Melody(tuple(notes), bars * BAR)


@pytest.fixture(scope="session")
def songs(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Path]:
    """Makes a folder of so many songs."""

    def make(count: int) -> Path:
        folder = tmp_path_factory.mktemp("songs")
        for seed in range(count):
            write_melody(folder / f"song{seed:02}.mid", tune(seed, 18))
        return folder

    return make


@pytest.fixture(scope="session")
def band() -> Callable[[int, float], NDArray[np.float32]]:
    """Plays so many seconds, mono at 22,050 Hz: a beat of noise bursts, whose tempo the seed sets, over notes."""

    def play(seed: int, seconds: float) -> NDArray[np.float32]:
        random = np.random.default_rng(seed)
        at = np.arange(round(seconds * 22_050)) / 22_050
        beat = 0.2 + 0.05 * (seed % 5)
        notes = 110.0 * 2.0 ** (random.integers(0, 24, 1 + int(seconds / beat)) / 12.0)
        since = at % beat
        tone = np.sin(2 * np.pi * np.cumsum(notes[(at / beat).astype(int)]) / 22_050) * np.exp(-3.0 * since)
        hit = random.standard_normal(len(at)) * np.exp(-40.0 * since)
        return (0.3 * tone + 0.2 * hit).astype(np.float32)

    return play

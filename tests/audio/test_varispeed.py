from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from qsep_live.audio.varispeed import Varispeed

NOISE = np.random.default_rng(0).standard_normal((30_000, 2)).astype(np.float32)
STEPS = [1.0, 1.0002, 0.9998, 48000 / 44100, 44100 / 48000, 96000 / 44100]


class Tape:
    """Sound that is pulled from, and how much was."""

    def __init__(self, sound: NDArray[np.float32]) -> None:
        self.sound, self.taken = sound, 0

    def pull(self, count: int) -> NDArray[np.float32]:
        self.taken += count
        assert self.taken <= len(self.sound)
        return self.sound[self.taken - count : self.taken]


def play(sizes: Sequence[int], step: float) -> tuple[NDArray[np.float32], Varispeed, Tape]:
    tape = Tape(NOISE)
    speed = Varispeed(2, tape.pull, step)
    blocks = [np.empty((size, 2), np.float32) for size in sizes]
    for block in blocks:
        need, before = speed.need(len(block), step), tape.taken
        speed.read(block, step)
        assert tape.taken - before <= need
    return np.concatenate(blocks), speed, tape


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 1500), min_size=2, max_size=8), st.sampled_from(STEPS))
def test_any_blocks_give_the_same_samples(sizes: list[int], step: float) -> None:
    out, speed, tape = play(sizes, step)
    whole, _, _ = play([sum(sizes)], step)
    np.testing.assert_array_equal(out, whole)
    assert speed.place == pytest.approx(sum(sizes) * step)
    assert 0 <= tape.taken - speed.place <= Varispeed.ahead(step) + 1


@pytest.mark.parametrize("step", STEPS)
def test_a_sine_comes_out_at_its_place(step: float) -> None:
    wave = lambda place: np.sin(0.1 * place)  # noqa: E731
    tape = Tape(wave(np.arange(60_000.0))[:, None].astype(np.float32))
    speed, out = Varispeed(1, tape.pull, step), np.empty((20_000, 1), np.float32)
    speed.read(out, step)
    error = out[200:, 0] - wave(step * np.arange(20_000))[200:]
    assert 20 * np.log10(np.sqrt(2) * error.std()) < -110


def test_a_speed_that_moves_bends_the_sound_as_it_says() -> None:
    rng, tape = np.random.default_rng(1), Tape(np.sin(0.1 * np.arange(300_000.0))[:, None].astype(np.float32))
    speed, block, k = Varispeed(1, tape.pull, 1.0), np.empty((256, 1), np.float32), np.arange(256)
    worst, step = 0.0, 1.0
    for number in range(1000):
        last, place, step = step, speed.place, step + rng.normal(0, 1e-6)
        speed.read(block, step)
        within = place + last * k + (step - last) * k * k / 512
        if number:
            worst = max(worst, float(np.abs(block[:, 0] - np.sin(0.1 * within)).max()))
    assert worst < 1e-4

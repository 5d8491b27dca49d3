from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qsep_live.audio.resample import AlignedConverter

RATES = [4000, 8000, 11_025, 12_800, 16_000, 22_050, 32_000, 44_099, 48_000, 88_200, 96_000, 192_000, 384_000]


def converted(sound: np.ndarray, rate: int, target: int, sizes: tuple[int, ...] = ()) -> np.ndarray:
    converter = AlignedConverter(rate, target, len(sound))
    pieces = [converter.process(piece) for piece in np.split(sound, np.cumsum(sizes), axis=1)]
    return np.concatenate([*pieces, converter.finish()], axis=1)


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("target", [16_000, 32_000, 44_100])
def test_there_and_back_a_sound_is_where_it_was(rate: int, target: int) -> None:
    """By a swept tone below both Nyquist frequencies: a lag of a twentieth of a sample would show."""
    seconds = 1.0
    time = np.arange(round(seconds * rate)) / rate
    top = 0.3 * min(rate, target)
    sweep = np.sin(2 * np.pi * (50 * time + (top - 50) * time**2 / (2 * seconds))).astype(np.float32)[None]
    there = converted(sweep, rate, target)
    assert there.shape[1] == round(len(time) * target / rate)
    exact = np.arange(there.shape[1]) / target
    wanted = np.sin(2 * np.pi * (50 * exact + (top - 50) * exact**2 / (2 * seconds)))
    middle = slice(there.shape[1] // 10, -(there.shape[1] // 10))
    np.testing.assert_allclose(there[0, middle], wanted[middle], atol=0.06)
    back = converted(there, target, rate)
    middle = slice(len(time) // 10, -(len(time) // 10))
    assert abs(back.shape[1] - len(time)) <= max(1, rate // target)
    np.testing.assert_allclose(back[0, : len(time)][middle], sweep[0][middle], atol=0.06)


@settings(max_examples=30, deadline=None)
@given(sizes=st.lists(st.integers(0, 900), max_size=6), rate=st.sampled_from(RATES), length=st.integers(1, 6000))
def test_pieces_of_any_size_give_the_same_samples(sizes: list[int], rate: int, length: int) -> None:
    sound = np.random.default_rng(1).uniform(-1, 1, (2, length)).astype(np.float32)
    whole = converted(sound, rate, 44_100)
    assert whole.shape == (2, round(length * 44_100 / rate))
    np.testing.assert_array_equal(converted(sound, rate, 44_100, tuple(sizes)), whole)

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from qsep_live.engine.limiter import RELEASE, Limiter

RATE = 8000
Sound = NDArray[np.float32]


def bursts(frames: int, seed: int, loudest: float) -> Sound:
    """Two channels of noise whose level wanders between silence and ``loudest``."""
    random = np.random.default_rng(seed)
    levels = loudest ** np.repeat(random.uniform(-1, 1, (frames // 300 + 1, 1)), 300, axis=0)[:frames]
    return (levels * random.uniform(-1, 1, (frames, 2))).astype(np.float32)


def slowly(sound: Sound, rate: int) -> tuple[Sound, int]:
    """The definition, sample by sample: gain[n] = min(1/peak, gain[n − 1] + 1/(release · rate))."""
    gain, out, limited = 1.0, np.empty_like(sound), 0
    for n, sample in enumerate(sound):
        before, peak = gain, float(np.abs(sample).max())
        gain = min(gain + 1.0 / (RELEASE * rate), 1.0, 1.0 / peak if peak > 1.0 else 1.0)
        limited += gain < 1.0 and before == 1.0
        out[n] = gain * sample
    return out, limited


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.integers(0, 3000), min_size=1, max_size=8),
    st.integers(0, 9),
    st.sampled_from([0.9, 1.2, 4.0, 1e5]),
    st.sampled_from([8000, 44_100, 192_000]),
)
def test_any_blocks_give_what_the_whole_gives(sizes: list[int], seed: int, loudest: float, rate: int) -> None:
    sound = bursts(sum(sizes), seed, loudest)
    whole, stepped = Limiter(rate), Limiter(rate)
    expected = whole.process(sound)
    out = np.concatenate([stepped.process(piece) for piece in np.split(sound, np.cumsum(sizes)[:-1])])
    np.testing.assert_array_equal(out, expected)
    assert (stepped.limited, stepped.gain) == (whole.limited, whole.gain)
    assert not out.size or np.abs(out).max() <= 1.0


@pytest.mark.parametrize("loudest", [1.2, 6.0, 300.0])
def test_it_is_the_gain_that_the_definition_says(loudest: float) -> None:
    sound = bursts(6000, 3, loudest)
    expected, limited = slowly(sound, RATE)
    limiter = Limiter(RATE)
    np.testing.assert_allclose(limiter.process(sound), expected, atol=1e-6)
    assert limiter.limited == limited > 0


def test_below_the_ceiling_no_bit_changes() -> None:
    sound = np.random.default_rng(0).uniform(-1, 1, (5000, 2)).astype(np.float32)
    sound[7] = 1.0, -1.0
    limiter = Limiter(RATE)
    assert limiter.process(sound) is sound
    limiter.process(np.full((10, 2), 4.0, np.float32))
    limiter.process(np.zeros((round(RELEASE * RATE), 2), np.float32))
    assert limiter.gain == 1.0
    assert limiter.process(sound) is sound
    assert limiter.limited == 1


def test_both_channels_get_the_same_gain() -> None:
    sound = np.stack([bursts(4000, 1, 5.0)[:, 0], np.full(4000, 0.1, np.float32)], axis=1)
    out = Limiter(RATE).process(sound)
    gain = out[:, 1] / sound[:, 1]
    np.testing.assert_allclose(out[:, 0], gain * sound[:, 0], atol=1e-5)
    assert gain.min() < 0.5


@pytest.mark.parametrize(
    ("wrong", "longest"),
    [(np.nan, 0.0), (np.inf, 0.0), (-np.inf, 0.0), (3e38, RELEASE), (1e6, RELEASE), (2.0, RELEASE / 2)],
)
def test_one_wrong_sample_is_over_in_half_a_second(wrong: float, longest: float) -> None:
    sound = np.full((RATE, 2), 0.25, np.float32)
    sound[1000, 1] = wrong
    out = Limiter(RATE).process(sound)
    assert np.isfinite(out).all()
    assert np.abs(out).max() <= 1.0
    changed = np.flatnonzero((out != sound).any(axis=1))
    assert changed[0] == 1000
    assert changed[-1] <= 1000 + longest * RATE


def test_full_scale_squares_and_dc_pass_and_louder_ones_come_down_to_it() -> None:
    square = np.sign(np.sin(np.arange(4000) / 20.0 + 0.01))[:, None].astype(np.float32) * np.ones((1, 2), np.float32)
    for sound in (square, np.ones((4000, 2), np.float32)):
        limiter = Limiter(RATE)
        assert limiter.process(sound) is sound
        out = limiter.process(8 * sound)
        np.testing.assert_array_equal(out, sound)
        assert limiter.limited == 1


def test_memory_does_not_grow() -> None:
    limiter, loud = Limiter(RATE), bursts(256, 0, 8.0) + np.float32(2.0)
    limiter.process(loud)
    tracemalloc.start()
    try:
        limiter.process(loud)
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(2000):
            limiter.process(loud)
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert grown < 2000

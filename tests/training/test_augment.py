from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qsep_live.dsp.grid import MODEL_RATE, SEGMENT
from qsep_live.training.augment import Augment, AugmentConfig, Variation

ALL = AugmentConfig(1.0, 1.0, 1.0, 3.0, 1.0, 1.0, 1.0, 1.0, 6.0, 1.0, 1.0)
SHARES = ("speed", "pitch", "tempo", "polarity", "swap", "pan", "equaliser", "reverb", "silence")


def noise(channels: int = 2, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-0.3, 0.3, (channels, SEGMENT)).astype(np.float32)


def tone(hertz: float) -> np.ndarray:
    return (0.3 * np.sin(2 * np.pi * hertz * np.arange(SEGMENT) / MODEL_RATE)).astype(np.float32)[None]


def peak(sound: np.ndarray) -> float:
    return float(np.argmax(np.abs(np.fft.rfft(sound[0] * np.hanning(SEGMENT))))) * MODEL_RATE / SEGMENT


def test_nothing_happens_unless_asked_for() -> None:
    augment = Augment(AugmentConfig())
    for seed in range(20):
        variation = augment.variation(np.random.default_rng(seed))
        assert variation == Variation()
        np.testing.assert_array_equal(augment.sound(noise(), variation), noise())


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 10_000), st.sampled_from([1, 2]))
def test_shape_type_and_finiteness_stay(seed: int, channels: int) -> None:
    random = np.random.default_rng(seed)
    augment = Augment(ALL)
    out = augment.sound(noise(channels, seed), augment.variation(random))
    assert out.shape == (channels, SEGMENT)
    assert out.dtype == np.float32
    assert np.isfinite(out).all()


@pytest.mark.parametrize("share", SHARES)
def test_each_kind_happens_to_its_share(share: str) -> None:
    augment = Augment(replace(AugmentConfig(), **{share: 0.3}))
    happened = [augment.variation(np.random.default_rng(seed)) != Variation() for seed in range(1000)]
    assert np.mean(happened) == pytest.approx(0.3, abs=0.06)


def test_one_kind_does_not_disturb_the_draws_of_another() -> None:
    without, with_it = AugmentConfig(speed=1.0), AugmentConfig(speed=1.0, reverb=1.0)
    for seed in range(5):
        one, other = (Augment(c).variation(np.random.default_rng(seed)) for c in (without, with_it))
        assert one.speed == other.speed


def test_pitch_moves_a_tone_and_tempo_does_not() -> None:
    augment = Augment(AugmentConfig())
    assert peak(augment.sound(tone(440.0), Variation(semitones=3.0))) == pytest.approx(440.0 * 2 ** (3 / 12), rel=0.01)
    assert peak(augment.sound(tone(440.0), Variation(tempo=1.2))) == pytest.approx(440.0, rel=0.01)


def test_polarity_swap_and_pan() -> None:
    augment, sound = Augment(AugmentConfig()), noise()
    np.testing.assert_array_equal(augment.sound(sound, Variation(turned=True)), -sound)
    np.testing.assert_array_equal(augment.sound(sound, Variation(swapped=True)), sound[::-1])
    right = augment.sound(sound, Variation(balance=0.5))
    np.testing.assert_allclose(right, sound * np.array([[0.5], [1.0]]), rtol=1e-6)


def test_a_shelf_lifts_and_a_room_rings() -> None:
    augment = Augment(AugmentConfig())
    lifted = augment.sound(tone(60.0), Variation(equaliser=(6.0, 0.0, 0.0, 1000.0)))
    assert np.std(lifted[:, 5000:]) / np.std(tone(60.0)) == pytest.approx(2.0, abs=0.3)
    click = np.zeros((2, SEGMENT), np.float32)
    click[:, 100] = 0.9
    assert np.abs(augment.sound(click, Variation(reverb=(0.5, 0.5, 0.3)))[:, 5000:]).max() > 1e-4


def test_a_stretch_is_silent() -> None:
    out = Augment(AugmentConfig()).sound(noise(), Variation(silent=(0.25, 0.5)))
    quarter = SEGMENT // 4
    assert not out[:, quarter + 1 : 2 * quarter - 1].any()
    np.testing.assert_array_equal(out[:, : quarter - 1], noise()[:, : quarter - 1])

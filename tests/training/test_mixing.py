from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qsep_live.dsp.grid import MODEL_RATE, SEGMENT
from qsep_live.training.data import CLASSES, Bank, Song
from qsep_live.training.mixing import SILENT, Mixer, MixingConfig

configs = st.builds(
    MixingConfig,
    keep=st.floats(0.2, 1.0),
    single_target=st.sampled_from([0.0, 0.5, 1.0]),
    coherent=st.sampled_from([0.0, 0.5, 1.0]),
)


def levels(**level: float) -> Bank:
    """A song of constants: what is in a mixture, and at which gain, can be read off."""
    stems = {name: np.full((1, SEGMENT + 1000), round(value * 32768), np.int16) for name, value in level.items()}
    return Bank((Song("levels", stems),))


def rms(sound: np.ndarray) -> float:
    return float(np.sqrt(np.mean(sound.astype(np.float64) ** 2)))


@settings(deadline=None, max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(configs, st.integers(0, 1000))
def test_a_target_is_never_silent_and_part_of_its_mixture(bank: Bank, config: MixingConfig, seed: int) -> None:
    mixtures, targets = Mixer([bank], config, seed).batch(3)
    assert mixtures.shape == targets.shape == (3, SEGMENT)
    assert mixtures.dtype == targets.dtype == np.float32
    for mixture, target in zip(mixtures, targets, strict=True):
        assert rms(target) > SILENT
        assert np.abs(mixture).max() < 4 * 1.25


@settings(deadline=None, max_examples=30)
@given(configs, st.integers(0, 1000))
def test_gains_are_in_range(config: MixingConfig, seed: int) -> None:
    """One class sounds, the others are silent: its gain is its height, and target and mixture are the same."""
    level = 0.1
    for name in CLASSES:
        silent = dict.fromkeys(CLASSES, 0.0)
        mixer = Mixer([levels(**{**silent, name: level})], config, seed)
        mixture, target = mixer.pair()
        gain = target[0] / (round(level * 32768) / 32768)
        assert config.gain[0] <= gain + 1e-6
        assert gain - 1e-6 <= config.gain[1]
        np.testing.assert_allclose(mixture - target, 0.0, atol=1e-7)


def test_the_rest_is_there_too() -> None:
    mixer = Mixer([levels(vocals=0.1, drums=0.1, bass=0.1, other=0.1)], MixingConfig(keep=1.0, single_target=1.0), 0)
    for _ in range(20):
        mixture, target = mixer.pair()
        assert 0.25 * 0.099 < target[0] < 1.25 * 0.101, "one class"
        assert 3 * 0.25 * 0.099 < mixture[0] - target[0] < 3 * 1.25 * 0.101, "three others"


@pytest.mark.parametrize("keep", [0.5, 1.0])
def test_how_often_a_class_sounds(keep: float) -> None:
    """With all of a level, the number of classes in a mixture shows in its height, on average."""
    gain = (1.0, 1.0)
    mixer = Mixer([levels(vocals=0.01, drums=0.01, bass=0.01, other=0.01)], MixingConfig(keep, gain), 1)
    counts = [round(float(mixer.pair()[0][0]) / 0.01) for _ in range(300)]
    # Pairs with nothing in the target are drawn again: that share of the draws is (1 − keep/2)⁴.
    expected = _mean_count(keep)
    assert np.mean(counts) == pytest.approx(expected, abs=0.25)


def _mean_count(keep: float) -> float:
    silent = (1 - keep / 2) ** 4
    mean_when_silent = 4 * (keep / 2) / (1 - keep / 2)
    return (4 * keep - silent * mean_when_silent) / (1 - silent)


def test_the_same_seed_draws_the_same_pairs(bank: Bank) -> None:
    first, again, other = (Mixer([bank], MixingConfig(), seed).batch(2) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_banks_are_drawn_by_weight() -> None:
    loud, soft = levels(vocals=0.5), levels(vocals=0.1)
    mixer = Mixer([Bank(loud.songs, 3.0), Bank(soft.songs, 1.0), levels(drums=0.3)], MixingConfig(), 0)
    share = np.mean([mixer.segment("vocals")[0] > 0.3 for _ in range(400)])
    assert share == pytest.approx(0.75, abs=0.08)


def test_coherent_pairs_come_from_one_song_and_place() -> None:
    """Every stem of a song is the same ramp, so that equal places give equal samples."""
    songs = []
    for number in range(3):
        ramp = np.arange(2 * SEGMENT, dtype=np.int64) % 9000 + 9000 * number + 1
        songs.append(Song(str(number), {name: ramp.astype(np.int16)[None] for name in CLASSES}))
    mixer = Mixer([Bank(tuple(songs))], MixingConfig(keep=1.0, gain=(1.0, 1.0), coherent=1.0, single_target=1.0), 0)
    for _ in range(10):
        mixture, target = mixer.pair()
        np.testing.assert_allclose(mixture, 4 * target, rtol=1e-5)


@pytest.mark.parametrize("channels", [1, 2])
def test_a_short_stem_fills_the_segment_from_its_start(channels: int) -> None:
    stem = np.tile(np.arange(1, 10_001, dtype=np.int16), (channels, 1))
    mixer = Mixer([Bank((Song("short", {"vocals": stem}),))], MixingConfig(), 0)
    sound = mixer.segment("vocals")
    assert sound.shape == (SEGMENT,)
    np.testing.assert_allclose(sound[:10_000] * 32768, np.arange(1, 10_001), atol=0.01)
    assert len(sound) > 2 * MODEL_RATE

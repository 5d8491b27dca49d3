from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qsep_live.dsp.grid import MODEL_RATE, SEGMENT
from qsep_live.errors import QsepError, UsageError
from qsep_live.training.augment import AugmentConfig
from qsep_live.training.data import CLASSES, Bank, Song
from qsep_live.training.mixing import DRAWN_AT_ONCE, SILENT, Mixer, MixingConfig, Pair

UNIT = (1.0, 1.0)
configs = st.builds(
    MixingConfig,
    channels=st.sampled_from([1, 2]),
    keep=st.floats(0.2, 1.0),
    single_target=st.sampled_from([0.0, 0.5, 1.0]),
    coherent=st.sampled_from([0.0, 0.5, 1.0]),
    elsewhere=st.sampled_from([0.0, 1.0]),
    mono=st.sampled_from([0.0, 0.5]),
    anchors=st.integers(0, 4),
    hidden=st.integers(0, 12),
    hidden_share=st.sampled_from([0.0, 0.5, 1.0]),
    augment=st.sampled_from([AugmentConfig(), AugmentConfig(speed=1.0, polarity=0.5, swap=0.5, silence=0.5)]),
)


def drawn(mixer: Mixer, item: int = 0) -> Pair:
    return mixer.pair(np.random.default_rng(item))


def levels(**level: float) -> Bank:
    """A song of constants: what is in a mixture, and at which gain, can be read off."""
    stems = {name: np.full((1, SEGMENT + 1000), round(value * 32768), np.int16) for name, value in level.items()}
    return Bank((Song("levels", stems),))


def only(*classes: str, **settings: object) -> MixingConfig:
    return replace(MixingConfig(classes=classes), **settings)  # type: ignore[arg-type]


def rms(sound: np.ndarray) -> float:
    return float(np.sqrt(np.mean(sound.astype(np.float64) ** 2)))


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(configs, st.integers(0, 1000))
def test_a_target_is_never_silent_and_part_of_its_mixture(bank: Bank, config: MixingConfig, seed: int) -> None:
    batch = Mixer([bank], config, seed).batch(3, 0)
    for sounds in (batch.mixture, batch.target, batch.query):
        assert sounds.shape == (3, config.channels, SEGMENT)
        assert sounds.dtype == np.float32
        assert np.isfinite(sounds).all()
    for mixture, target in zip(batch.mixture, batch.target, strict=True):
        assert rms(target) > SILENT / 2
        assert np.abs(mixture).max() < 4 * 1.25


@settings(deadline=None, max_examples=20)
@given(configs, st.integers(0, 1000), st.integers(0, 50), st.integers(1, 3))
def test_an_item_depends_on_seed_step_and_number_alone(config: MixingConfig, seed: int, step: int, first: int) -> None:
    bank = levels(vocals=0.1, drums=0.2, bass=0.15, other=0.05)
    whole = Mixer([bank], config, seed).batch(4, step)
    part = Mixer([bank], config, seed).batch(4 - first, step, first)
    for name in ("mixture", "target", "query", "stems", "named", "hidden"):
        np.testing.assert_array_equal(getattr(whole, name)[first:], getattr(part, name))


def test_other_seeds_and_steps_draw_other_pairs(bank: Bank) -> None:
    first = Mixer([bank], MixingConfig(), 3).batch(2, 0).mixture
    np.testing.assert_array_equal(first, Mixer([bank], MixingConfig(), 3).batch(2, 0).mixture)
    assert not np.array_equal(first, Mixer([bank], MixingConfig(), 4).batch(2, 0).mixture)
    assert not np.array_equal(first, Mixer([bank], MixingConfig(), 3).batch(2, 1).mixture)


@settings(deadline=None, max_examples=30)
@given(configs, st.integers(0, 1000))
def test_gains_are_in_range(config: MixingConfig, seed: int) -> None:
    """One class sounds, the others are silent: its gain is its height, and target and mixture are the same."""
    config = replace(config, augment=AugmentConfig())
    level = 0.1
    for name in CLASSES:
        silent = dict.fromkeys(CLASSES, 0.0)
        pair = drawn(Mixer([levels(**{**silent, name: level})], config, seed), seed)
        gain = pair.target[0, 0] / (round(level * 32768) / 32768)
        assert config.gain[0] <= gain + 1e-6
        assert gain - 1e-6 <= config.gain[1]
        np.testing.assert_allclose(pair.mixture - pair.target, 0.0, atol=1e-7)


def test_the_rest_is_there_too() -> None:
    mixer = Mixer([levels(vocals=0.1, drums=0.1, bass=0.1, other=0.1)], MixingConfig(keep=1.0, single_target=1.0), 0)
    for item in range(20):
        pair = drawn(mixer, item)
        target, rest = pair.target[0, 0], pair.mixture[0, 0] - pair.target[0, 0]
        assert 0.25 * 0.099 < target < 1.25 * 0.101, "one class"
        assert 3 * 0.25 * 0.099 < rest < 3 * 1.25 * 0.101, "three others"


@pytest.mark.parametrize("keep", [0.5, 1.0])
def test_how_often_a_class_sounds(keep: float) -> None:
    """With all of a level, the number of classes in a mixture shows in its height, on average."""
    mixer = Mixer([levels(vocals=0.01, drums=0.01, bass=0.01, other=0.01)], MixingConfig(keep=keep, gain=UNIT), 1)
    counts = [round(float(drawn(mixer, item).mixture[0, 0]) / 0.01) for item in range(300)]
    # Pairs with nothing in the target are drawn again: that share of the draws is (1 − keep/2)⁴.
    assert np.mean(counts) == pytest.approx(_mean_count(keep), abs=0.25)


def _mean_count(keep: float) -> float:
    silent = (1 - keep / 2) ** 4
    mean_when_silent = 4 * (keep / 2) / (1 - keep / 2)
    return (4 * keep - silent * mean_when_silent) / (1 - silent)


def test_banks_are_drawn_by_weight() -> None:
    loud, soft = levels(vocals=0.5), levels(vocals=0.1)
    mixer = Mixer([Bank(loud.songs, 3.0), Bank(soft.songs, 1.0)], only("vocals"), 0)
    random = np.random.default_rng(0)
    share = np.mean([mixer.segment("vocals", random)[0, 0] > 0.3 for _ in range(400)])
    assert share == pytest.approx(0.75, abs=0.08)


@pytest.mark.parametrize("channels", [1, 2])
def test_coherent_pairs_come_from_one_song_place_and_channel(channels: int) -> None:
    """Every stem of a song is the same ramp, another one in each channel, so that equal places give equal samples."""
    songs = []
    for number in range(3):
        ramp = (np.arange(2 * SEGMENT, dtype=np.int64) % 4000 + 4000 * number + 1).astype(np.int16)
        songs.append(Song(str(number), {name: np.stack([ramp, ramp // 2]) for name in CLASSES}))
    augment = AugmentConfig(speed=0.5, swap=0.5)
    config = MixingConfig(
        channels=channels, keep=1.0, coherent=1.0, coherent_gain=UNIT, single_target=1.0, augment=augment
    )
    mixer = Mixer([Bank(tuple(songs))], config, 0)
    for item in range(10):
        pair = drawn(mixer, item)
        np.testing.assert_allclose(pair.mixture, 4 * pair.target, rtol=1e-5)


@pytest.mark.parametrize("channels", [1, 2])
def test_a_short_stem_of_its_own_is_repeated(channels: int) -> None:
    stem = np.tile(np.arange(1, 10_001, dtype=np.int16), (channels, 1))
    mixer = Mixer([Bank((Song("short", {"vocals": stem}),))], only("vocals"), 0)
    sound = mixer.segment("vocals", np.random.default_rng(0))
    assert sound.shape == (1, SEGMENT)
    assert SEGMENT > 2 * MODEL_RATE
    np.testing.assert_allclose(sound[0, :20_000] * 32768, np.tile(np.arange(1, 10_001), 2), atol=0.01)


def test_a_short_stem_of_a_song_is_followed_by_silence() -> None:
    stems = {"vocals": np.full((1, 10_000), 9000, np.int16), "drums": np.full((1, SEGMENT + 1), 9000, np.int16)}
    mixer = Mixer([Bank((Song("song", stems),))], only("vocals", "drums"), 0)
    sound = mixer.segment("vocals", np.random.default_rng(0))
    assert (sound[0, :9_999] > 0).all()
    assert not sound[0, 10_000:].any()


def test_a_faster_sound_is_higher() -> None:
    time = np.arange(4 * SEGMENT) / MODEL_RATE
    tone = (9000 * np.sin(2 * np.pi * 440.0 * time)).astype(np.int16)[None]
    config = only("vocals", augment=AugmentConfig(speed=1.0, semitones=6.0))
    mixer = Mixer([Bank((Song("tone", {"vocals": tone}),))], config, 0)
    found = []
    for item in range(12):
        spectrum = np.abs(np.fft.rfft(mixer.segment("vocals", np.random.default_rng(item))[0] * np.hanning(SEGMENT)))
        found.append(float(np.argmax(spectrum)) * MODEL_RATE / SEGMENT)
    assert min(found) > 440.0 * 2 ** (-6.1 / 12)
    assert max(found) < 440.0 * 2 ** (6.1 / 12)
    assert max(found) / min(found) > 1.2


def test_a_query_from_elsewhere_is_of_the_class_but_not_the_target() -> None:
    """Each class is a constant of its own, which swells over the song: another place has another height."""
    ramp = np.linspace(0.5, 1.0, 6 * SEGMENT)
    stems = {name: (ramp * 6000 * (i + 1)).astype(np.int16)[None] for i, name in enumerate(("vocals", "drums"))}
    config = only("vocals", "drums", single_target=1.0, keep=0.0, gain=UNIT, elsewhere=1.0)
    mixer = Mixer([Bank((Song("song", stems),))], config, 0)
    for item in range(20):
        pair = drawn(mixer, item)
        assert not np.array_equal(pair.query, pair.target)
        # 0.5 to 1 of 6000, or of 12,000.
        assert (pair.query.max() > 6000 / 32768) == (pair.target.max() > 6000 / 32768)


def test_a_fine_target_is_heard_against_another_of_its_class() -> None:
    stems = {"other/guitar": 0.1, "other/keys": 0.2, "vocals": 0.4}
    songs = tuple(Song(key, {key: np.full((1, 2 * SEGMENT), round(v * 32768), np.int16)}) for key, v in stems.items())
    mixer = Mixer([Bank(songs)], only("vocals", "other", fine=1.0, keep=1.0, gain=UNIT), 0)
    seen = set()
    for item in range(20):
        pair = drawn(mixer, item)
        target, rest = pair.target[0, 0], (pair.mixture - pair.target)[0, 0]
        seen.add(round(float(target), 1))
        assert rest == pytest.approx({0.1: 0.6, 0.2: 0.5}[round(float(target), 1)], abs=1e-3)
    assert seen == {0.1, 0.2}


def test_a_pair_folded_to_mono_has_a_silent_side(bank: Bank) -> None:
    pair = drawn(Mixer([bank], MixingConfig(channels=2, mono=1.0), 0))
    for sound in (pair.mixture, pair.target, pair.query):
        np.testing.assert_array_equal(sound[0], sound[1])


def test_hidden_frames_have_their_share_and_range() -> None:
    mixer = Mixer([levels(vocals=0.1)], only("vocals", hidden=5, hidden_share=0.5), 0)
    hidden = np.array([drawn(mixer, item).hidden for item in range(200)])
    assert set(hidden.tolist()) == {0, 1, 2, 3, 4, 5}
    assert 60 < np.count_nonzero(hidden) < 140


def test_nothing_is_hidden_unless_asked() -> None:
    mixer = Mixer([levels(vocals=0.1)], only("vocals", hidden=5), 0)
    assert not any(drawn(mixer, item).hidden for item in range(20))


def test_a_second_sound_of_the_class_joins() -> None:
    mixer = Mixer([levels(vocals=0.1, drums=0.2)], only("vocals", doubled=1.0, keep=1.0, gain=UNIT), 0)
    for item in range(10):
        assert 0.13 - 1e-3 < float(drawn(mixer, item).mixture[0, 0]) < 0.2 + 1e-3


def test_the_one_class_that_a_coherent_song_lacks_comes_from_another() -> None:
    ramp = np.arange(3 * SEGMENT) / (3 * SEGMENT)
    names = ("drums", "bass", "other")
    song = Song("band", {name: np.round(3000 * ramp)[None].astype(np.int16) for name in names})
    singer = Song("singer", {"vocals": np.full((1, 3 * SEGMENT), 300, np.int16)})
    config = MixingConfig(coherent=1.0, coherent_gain=UNIT, keep=1.0, gain=UNIT, anchors=4)
    pair = drawn(Mixer([Bank((song, singer))], config, 0))
    vocals, drums, bass, other = pair.stems[:, 0]
    np.testing.assert_array_equal(drums, bass)
    np.testing.assert_array_equal(drums, other)
    np.testing.assert_allclose(vocals, 300 / 32768, atol=1e-6)


def test_of_many_classes_four_are_drawn() -> None:
    bank = levels(**{f"c{number}": 0.01 for number in range(7)})
    mixer = Mixer([bank], only(*(f"c{number}" for number in range(7)), keep=1.0, gain=UNIT), 0)
    for item in range(10):
        assert round(float(drawn(mixer, item).mixture[0, 0]) / 0.01) == DRAWN_AT_ONCE


def test_a_class_without_stems_is_named() -> None:
    with pytest.raises(UsageError, match="no stem of the class vocal"):
        Mixer([levels(vocals=0.1, drums=0.1)], only("vocal", "drums"), 0)


def test_silent_stems_end_with_an_error() -> None:
    with pytest.raises(QsepError, match="silent"):
        drawn(Mixer([levels(vocals=0.0)], only("vocals"), 0))


@settings(deadline=None, max_examples=25)
@given(configs, st.integers(0, 1000))
def test_anchors_are_what_whole_classes_sound_like(config: MixingConfig, seed: int) -> None:
    bank = levels(vocals=0.1, drums=0.2, bass=0.15, other=0.05)
    pair = drawn(Mixer([bank], config, seed), seed)
    assert pair.stems.shape == (config.anchors, config.channels, SEGMENT)
    assert pair.stems.dtype == np.float32
    assert pair.named.tolist() == sorted(set(pair.named.tolist()))
    assert len(pair.named) == config.anchors
    if config.anchors == len(config.classes):
        np.testing.assert_allclose(pair.stems.sum(axis=0), pair.mixture, atol=1e-6)


def test_a_class_that_does_not_sound_is_an_anchor_of_silence() -> None:
    mixer = Mixer([levels(vocals=0.1, drums=0.1)], only("vocals", "drums", anchors=2, keep=0.0, single_target=1.0), 0)
    for item in range(10):
        pair = drawn(mixer, item)
        heard = [rms(stem) > SILENT for stem in pair.stems]
        assert sorted(heard) == [False, True]
        np.testing.assert_array_equal(pair.stems[heard.index(True)], pair.target)


def test_a_fine_target_belongs_to_the_anchor_of_its_class() -> None:
    songs = tuple(
        Song(name, {name: np.full((1, SEGMENT), round(level * 32768), np.int16)})
        for name, level in (("other/guitar", 0.1), ("other/keys", 0.05), ("vocals", 0.2))
    )
    mixer = Mixer([Bank(songs)], only("vocals", "other", fine=1.0, keep=1.0, gain=UNIT, anchors=2), 0)
    pair = drawn(mixer)
    vocals, other = pair.stems[:, 0, 0]
    assert (vocals, other) == pytest.approx((0.2, 0.15), abs=1e-3)

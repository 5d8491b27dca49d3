"""Queries to latents: which segments are encoded, and the mean of what comes back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from qsep_live.errors import QsepError
from qsep_live.latent.query import SEGMENT, SEGMENT_HOP, query_latent, sounding_segments

Sound = NDArray[np.float32]


def noise(samples: int, level: float = 0.1, seed: int = 0) -> Sound:
    return (level * np.random.default_rng(seed).standard_normal(samples)).astype(np.float32)


class Encoder:
    """In place of the Query-net: mu is cut from the segment, so that the mean can be worked out by hand."""

    def __init__(self) -> None:
        self.seen: list[Sound] = []

    def __call__(self, segments: Sound) -> Sound:
        assert segments.dtype == np.float32
        assert segments.ndim == 2
        assert segments.shape[1] == 66304
        assert 1 <= len(segments) <= 16
        assert segments.flags.c_contiguous
        self.seen.extend(segments)
        return segments[:, 100:132]

    def mean(self) -> Sound:
        return np.mean([segment[100:132] for segment in self.seen], axis=0)


def test_a_segment_is_256_frames() -> None:
    assert SEGMENT == 66304
    assert (SEGMENT - 1024) % 256 == 0
    assert (SEGMENT - 1024) // 256 + 1 == 256
    assert SEGMENT_HOP * 2 == SEGMENT


def test_one_segment_is_its_own_mean() -> None:
    encode, sound = Encoder(), noise(SEGMENT)
    latent, spread = query_latent(encode, sound)
    np.testing.assert_array_equal(encode.seen, [sound])
    np.testing.assert_allclose(latent, sound[100:132], rtol=1e-6)
    assert latent.dtype == np.float32
    assert spread == 0.0


def test_half_overlapping_segments_and_their_mean() -> None:
    encode, sound = Encoder(), noise(2 * SEGMENT)
    result = query_latent(encode, sound)
    expected = [sound[start : start + SEGMENT] for start in (0, SEGMENT_HOP, SEGMENT)]
    np.testing.assert_array_equal(encode.seen, expected)
    np.testing.assert_allclose(result.latent, encode.mean(), rtol=1e-5, atol=1e-7)


def test_spread_is_the_root_mean_square_distance() -> None:
    answers = iter([np.zeros(32), np.full(32, 2.0)])

    def encode(segments: Sound) -> Sound:
        return next(answers)[None].astype(np.float32)

    latent, spread = query_latent(encode, [noise(SEGMENT), noise(SEGMENT, seed=1)])
    np.testing.assert_array_equal(latent, np.ones(32))
    assert spread == pytest.approx(np.sqrt(32))


def test_every_segment_of_every_query_counts_the_same() -> None:
    encode = Encoder()
    long, short = noise(2 * SEGMENT), noise(SEGMENT, seed=1)
    latent, _spread = query_latent(encode, [long, short])
    assert len(encode.seen) == 4
    np.testing.assert_allclose(latent, encode.mean(), rtol=1e-5, atol=1e-7)


@settings(deadline=None)
@given(st.integers(1, 5 * SEGMENT))
def test_every_sample_is_in_a_segment(samples: int) -> None:
    starts = sounding_segments(noise(samples))
    assert starts[0] == 0
    assert starts[-1] + SEGMENT == max(samples, SEGMENT)
    assert (np.diff(starts) > 0).all()
    assert (np.diff(starts) <= SEGMENT_HOP).all()


def test_short_sound_is_repeated() -> None:
    encode, sound = Encoder(), noise(10_000)
    query_latent(encode, sound)
    (segment,) = encode.seen
    np.testing.assert_array_equal(segment, np.tile(sound, 7)[:SEGMENT])


def test_long_sound_is_encoded_in_batches() -> None:
    encode = Encoder()
    query_latent(encode, noise(20 * SEGMENT))
    assert len(encode.seen) == 39


def test_silent_segments_are_left_out() -> None:
    sound = np.concatenate([noise(SEGMENT), np.zeros(2 * SEGMENT, np.float32), noise(SEGMENT, seed=1)])
    assert sounding_segments(sound).tolist() == [0, SEGMENT_HOP, 5 * SEGMENT_HOP, 3 * SEGMENT]
    encode = Encoder()
    query_latent(encode, sound)
    assert len(encode.seen) == 4


@pytest.mark.parametrize(("level_db", "kept"), [(-48.0, 2), (-52.0, 1)])
def test_the_threshold_is_50_db_below_the_loudest(level_db: float, kept: int) -> None:
    loud, quiet = noise(SEGMENT), noise(SEGMENT, 0.1 * 10 ** (level_db / 20), seed=1)
    starts = sounding_segments(np.concatenate([loud, quiet]))
    assert sum(start in (0, SEGMENT) for start in starts) == kept


def test_a_quiet_query_among_loud_ones_still_counts() -> None:
    encode = Encoder()
    query_latent(encode, [noise(SEGMENT, 0.5), noise(SEGMENT, 0.0005, seed=1)])
    assert len(encode.seen) == 2


def test_silence_is_refused() -> None:
    for silent in (np.zeros(SEGMENT, np.float32), np.zeros(100, np.float32), noise(SEGMENT, 1e-7)):
        with pytest.raises(QsepError, match="the query is silent"):
            query_latent(Encoder(), silent)
    with pytest.raises(QsepError, match="query 2 of 2 is silent"):
        query_latent(Encoder(), [noise(SEGMENT), np.zeros(SEGMENT, np.float32)])


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_broken_samples_are_refused(bad: float) -> None:
    sound = noise(SEGMENT)
    sound[7] = bad
    with pytest.raises(QsepError, match="NaN or infinite"):
        query_latent(Encoder(), sound)


def test_nothing_is_refused() -> None:
    with pytest.raises(QsepError, match="no query"):
        query_latent(Encoder(), [])
    with pytest.raises(QsepError, match="empty"):
        query_latent(Encoder(), np.zeros(0, np.float32))
    with pytest.raises(ValueError, match="mono"):
        query_latent(Encoder(), np.zeros((SEGMENT, 2), np.float32))


def test_answers_that_are_no_latents_are_refused() -> None:
    with pytest.raises(QsepError, match=r"shape \(1, 16\).*must be \(1, 32\)"):
        query_latent(lambda segments: np.zeros((len(segments), 16), np.float32), noise(SEGMENT))
    with pytest.raises(QsepError, match="gave NaN"):
        query_latent(lambda segments: np.full((len(segments), 32), np.nan, np.float32), noise(SEGMENT))

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qsep_live.audio.loopback import LOUDNESS, chirp, find_lag

RATE = 44_100


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 40_000), st.floats(0.003, 1.0), st.booleans(), st.floats(0.0, 0.003), st.integers(0, 9))
def test_the_chirp_is_found_to_a_sample_in_noise(lag: int, level: float, turned: bool, noise: float, seed: int) -> None:
    played = chirp(RATE)
    heard = noise * level * np.random.default_rng(seed).standard_normal(len(played) + RATE)
    heard[lag : lag + len(played)] += (-level if turned else level) * played
    found = find_lag(played, heard.astype(np.float32))
    assert found is not None
    assert found[0] == lag
    assert found[1] == pytest.approx(-level if turned else level, rel=0.02)


@pytest.mark.parametrize("kind", ["silence", "noise", "hum", "DC"])
def test_what_is_no_chirp_is_not_taken_for_one(kind: str) -> None:
    played, count = chirp(RATE), 2 * RATE
    sound = {
        "silence": np.zeros(count),
        "noise": 0.1 * np.random.default_rng(0).standard_normal(count),
        "hum": 0.3 * np.sin(2 * np.pi * 50 * np.arange(count) / RATE),
        "DC": np.full(count, 0.5),
    }[kind]
    assert find_lag(played, sound.astype(np.float32)) is None


@pytest.mark.parametrize("rate", [8000, 44_100, 96_000])
def test_the_chirp_begins_and_ends_softly(rate: int) -> None:
    sound = chirp(rate)
    assert sound[0] == sound[-1] == 0.0
    assert 0.9 * LOUDNESS < np.abs(sound).max() <= LOUDNESS

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qsep_live.dsp.grid import BIN_HZ, BINS, hann
from qsep_live.engine.heard import SECONDS, Heard

NOISE = np.random.default_rng(0).standard_normal((12_000, 2)).astype(np.float32)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(0, 5000), min_size=1, max_size=8), st.floats(0, 1))
def test_any_frame_is_that_of_the_whole_however_it_came(blocks: list[int], where: float) -> None:
    heard, start = Heard(44_100, 2048, 700), 0
    for count in blocks:
        heard.push(NOISE[start : start + count])
        start = min(len(NOISE), start + count)
    if start < 2048:
        return
    middle = 1024 + where * (start - 2048)
    assert heard.covers(700 + middle, 700 + start)
    place = round(700 + middle) - 700 - 1024
    expected = np.abs(np.fft.rfft(NOISE[place : place + 2048].mean(axis=1) * hann(2048))[:BINS]) ** 2
    np.testing.assert_allclose(heard.power(700 + middle), expected, rtol=1e-3, atol=1e-2)


def test_what_is_not_whole_yet_or_long_gone_is_not_covered() -> None:
    heard = Heard(44_100, 2048)
    heard.push(np.zeros((100_000, 2), np.float32))
    assert heard.covers(100_000 - 1024, 100_000)
    assert not heard.covers(100_000 - 1023, 100_000)
    assert not heard.covers(90_000, 91_023), "what came after `now` does not count"
    oldest = 100_000 - round(SECONDS * 44_100) - 1024
    assert heard.covers(oldest, 100_000)
    assert not heard.covers(oldest - 1, 100_000)


@pytest.mark.parametrize("rate", [16_000, 44_100, 48_000, 88_200])
def test_a_tone_is_in_the_models_bin_at_any_rate(rate: int) -> None:
    frame = 16 * round(2048 * rate / 44_100 / 16)
    heard, bins = Heard(rate, frame), np.array([40, 200])
    axis = np.arange(rate) / rate
    heard.push(np.sin(2 * np.pi * BIN_HZ * bins * axis[:, None]).sum(axis=1, keepdims=True).astype(np.float32))
    power = heard.power(rate / 2)
    assert set(np.argsort(power)[-2:]) == set(bins)
    if rate == 16_000:
        assert power[380:].max() < 1e-3 * power.max(), "there is nothing above half the rate"

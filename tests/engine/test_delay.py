from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qsep_live.dsp.grid import FRAME_SECONDS, FRAMES, HOP, MODEL_RATE, N_FFT, SEGMENT
from qsep_live.dsp.stream_filter import FilterGrid
from qsep_live.engine.delay import (
    LIVE_FRAMES,
    LONGEST,
    OFFLINE_STEP,
    SHORTEST,
    centred_plan,
    exact_delay,
    longest_delay,
    plan_delay,
    window_frames,
)
from qsep_live.errors import UsageError

RATES = [8000, 16_000, 22_050, 32_000, 44_100, 48_000, 88_200, 96_000, 176_400, 192_000]


@settings(deadline=None, max_examples=300)
@given(st.sampled_from(RATES) | st.integers(8000, 192_000), st.floats(SHORTEST, LONGEST))
def test_the_delay_is_the_wish_to_the_sample_at_any_rate(rate: int, seconds: float) -> None:
    plan = plan_delay(seconds, rate)
    assert plan.samples == round(seconds * rate)
    assert plan.wait >= 0
    assert plan.grid.synthesis <= plan.samples
    assert plan.seconds == plan.samples / rate


@settings(deadline=None)
@given(st.sampled_from(RATES), st.floats(SHORTEST, LONGEST), st.floats(0.0, 0.2))
def test_the_window_reaches_back_to_every_gain_that_a_delay_asks_for(rate: int, seconds: float, age: float) -> None:
    frames = window_frames(seconds)
    assert frames in (LIVE_FRAMES, FRAMES)
    back = plan_delay(seconds, rate).lag / rate + age
    # A window's oldest gain is of the middle of its first frame.
    assert back < (frames - 1) * FRAME_SECONDS + 0.5 * N_FFT / MODEL_RATE


def test_live_has_the_short_window_and_what_is_centred_the_one_of_training() -> None:
    most = longest_delay(LIVE_FRAMES)
    assert [window_frames(delay) for delay in (None, 0.0, 0.1, most, most + 1e-3, LONGEST)] == [
        FRAMES, LIVE_FRAMES, LIVE_FRAMES, LIVE_FRAMES, FRAMES, FRAMES,
    ]  # fmt: skip
    assert longest_delay(FRAMES) == LONGEST


@settings(deadline=None)
@given(st.sampled_from(RATES) | st.integers(8000, 192_000))
def test_the_transform_is_fast_and_as_long_in_time_as_the_models(rate: int) -> None:
    frame = plan_delay(0.5, rate).grid.analysis
    assert 0.95 < frame / rate * 44_100 / 2048 < 1.13
    for prime in (2, 3, 5, 7):
        while frame % prime == 0:
            frame //= prime
    assert frame == 1


def test_at_the_reference_rate_windows_are_powers_of_two() -> None:
    found = [plan_delay(seconds, 44_100) for seconds in (0.2, 2.5)]
    assert {(plan.grid.synthesis, plan.grid.analysis, plan.grid.hop) for plan in found} == {(2048, 2048, 512)}
    assert plan_delay(1.0, 88_200).grid.analysis == 4096
    short = plan_delay(0.19, 44_100).grid
    assert (short.analysis, short.hop) == (2048, 256)


@pytest.mark.parametrize("rate", RATES)
def test_below_200_ms_a_filter_looks_ahead_as_far_as_its_response_goes_and_the_rest_is_waiting(rate: int) -> None:
    for seconds in (0.0, 0.001, 0.0058, 0.02, 0.1):
        plan = plan_delay(seconds, rate)
        assert isinstance(plan.grid, FilterGrid)
        assert plan.samples == round(seconds * rate) == plan.grid.ahead + plan.wait
        assert plan.grid.ahead == min(plan.samples, plan.grid.analysis // 2)
        assert plan.lag == plan.samples - plan.grid.hop
        assert 0.003 < plan.grid.hop / rate < 0.006


@pytest.mark.parametrize("seconds", [-1.0, -1e-9, 2.51, math.inf, math.nan])
def test_what_cannot_be_had_names_the_range(seconds: float) -> None:
    with pytest.raises(UsageError, match=r"out of range; choose 0 ms to 2\.5 s"):
        plan_delay(seconds, 44_100)


@pytest.mark.parametrize("rate", RATES)
def test_the_range_that_is_printed_can_be_typed(rate: int) -> None:
    assert plan_delay(0.0, rate).samples == 0
    assert plan_delay(2.5, rate).samples == round(2.5 * rate)


@pytest.mark.parametrize("rate", RATES)
def test_offline_every_gain_comes_from_the_middle_of_its_window(rate: int) -> None:
    """Gains are looked up M/2 before the delay; windows end every OFFLINE_STEP and are SEGMENT long."""
    plan = centred_plan(rate)
    youngest = (plan.samples - plan.grid.synthesis / 2) / rate - OFFLINE_STEP
    oldest = youngest + OFFLINE_STEP
    segment = SEGMENT / MODEL_RATE
    assert youngest == pytest.approx(segment - oldest, abs=2e-3)
    assert youngest > 0.5 * N_FFT / MODEL_RATE
    assert pytest.approx(128 * HOP / MODEL_RATE) == OFFLINE_STEP


def test_an_exact_delay_grows_with_the_age_of_the_mask() -> None:
    assert exact_delay(0.0) == pytest.approx(0.5 * 1024 / 22_050 + 256 / 44_100)
    assert exact_delay(0.05) - exact_delay(0.0) == pytest.approx(0.05)

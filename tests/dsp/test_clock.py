from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from qsep_live.dsp.clock import BREAK, LARGEST, BlockClock, ClockMatch

PPM = 1e-6
ppms = st.floats(-500, 500)


def arrivals(block: int, rate: float, count: int, jitter: float, seed: int) -> tuple[NDArray[np.float64], ...]:
    """When blocks were due, and when they came: exponentially late, never out of order."""
    due = 10.0 + np.arange(1, count + 1) * block / rate
    late = np.random.default_rng(seed).exponential(jitter, count) if jitter else np.zeros(count)
    return due, np.maximum.accumulate(due + late)


@settings(max_examples=12, deadline=None)
@given(ppms, st.sampled_from([256, 1024]), st.floats(0, 1e-3), st.integers(0, 99))
def test_the_clock_behind_jitter_is_found(ppm: float, block: int, jitter: float, seed: int) -> None:
    rate = 44100 * (1 + ppm * PPM)
    due, came = arrivals(block, rate, 30 * 44100 // block, jitter, seed)
    clock = BlockClock(44100)
    found = np.array([clock.tick(now, block) for now in came])
    errors = (found - due)[len(due) // 2 :]
    assert clock.position == len(due) * block
    assert abs(1 / clock.seconds / rate - 1) < 2 * PPM + 0.25 * jitter
    # Late on the average as the blocks are; what is left to and fro is a small part of the jitter.
    assert abs(errors.mean() - jitter) < 0.2 * jitter + 1e-6
    assert errors.std() < 0.2 * jitter + 1e-6


@given(st.lists(st.tuples(st.floats(0, 3), st.integers(0, 5000)), min_size=1, max_size=50))
def test_any_times_leave_a_clock_near_its_nominal_rate(steps: list[tuple[float, int]]) -> None:
    clock, now, total = BlockClock(48000), 0.0, 0
    for passed, frames in steps:
        now, total = now + passed, total + frames
        due = clock.tick(now, frames)
        assert frames == 0 or abs(due - now) <= BREAK
        assert abs(clock.seconds * 48000 - 1) <= LARGEST + 1e-12
        assert clock.position == total


def test_an_interruption_is_a_new_beginning_with_the_same_clock() -> None:
    rate = 44100 * (1 + 300 * PPM)
    clock = BlockClock(44100)
    due, _ = arrivals(256, rate, 5000, 0.0, 0)
    for now in due:
        clock.tick(now, 256)
    known = clock.seconds
    assert clock.tick(due[-1] + 60.0, 256) == due[-1] + 60.0
    assert clock.seconds == known


@settings(max_examples=25, deadline=None)
@given(ppms, st.floats(-400, 400), st.floats(0.01, 0.1))
def test_the_delay_comes_to_where_it_is_wanted_and_stays(ppm: float, error: float, block: float) -> None:
    """Whatever the clocks and wherever it begins, within a limit that is not heard."""
    match, errors = ClockMatch(44100), []
    for _ in range(round(150 / block)):
        speed = match.step(error, block)
        assert abs(speed - 1) <= LARGEST + 1e-12
        error += 44100 * block * (1 + ppm * PPM - speed)
        errors.append(error)
    assert abs(errors[-1]) < 0.5
    assert max(map(abs, errors)) < max(abs(errors[0]), 30) + 10
    assert abs(match.drift / PPM - ppm) < 10


@given(st.lists(st.floats(-1e6, 1e6), max_size=200))
def test_no_error_however_large_makes_the_speed_audible(errors: list[float]) -> None:
    match = ClockMatch(44100)
    for error in errors:
        assert abs(match.step(error, 0.01) - 1) <= LARGEST + 1e-12
        assert abs(match.drift) <= LARGEST


def test_what_was_learned_outlives_a_jump() -> None:
    match, error = ClockMatch(44100), 0.0
    for _ in range(5000):
        error += 441 * (1 + 200 * PPM - match.step(error, 0.01))
    match.forget_error()
    assert abs(match.step(0.0, 0.01) - 1 - 200 * PPM) < 2 * PPM


@pytest.mark.parametrize("lost", [0.03, 0.2, -0.03])
def test_time_that_is_lost_for_good_is_noticed_in_a_moment(lost: float) -> None:
    due, came = arrivals(256, 44100, 4000, 2e-4, 5)
    due[2000:] += lost
    came[2000:] += lost
    clock = BlockClock(44100)
    errors = np.array([clock.tick(now, 256) for now in came]) - due
    assert np.abs(errors[1000:2000]).max() < 0.001
    assert np.abs(errors[2050:]).max() < 0.003
    assert np.abs(errors[3500:]).max() < 0.001


def test_one_very_late_block_leaves_no_trace() -> None:
    due, came = arrivals(256, 44100, 3000, 2e-4, 6)
    came[2000:2016] = came[2016]
    clock = BlockClock(44100)
    errors = np.array([clock.tick(now, 256) for now in came]) - due
    assert np.abs(errors[1500:]).max() < 0.002

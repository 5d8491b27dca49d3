"""Glides arrive, exactly, and never overshoot."""

from __future__ import annotations

import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from qsep_live.control.glide import Glide

values = st.floats(-1e6, 1e6)
times = st.floats(0, 1)


def test_it_stands_where_it_starts() -> None:
    glide = Glide(3.0, 0.03)
    assert glide.settled
    assert glide.step(1.0) == glide.value == glide.target == 3.0


def test_one_time_constant_does_63_percent() -> None:
    glide = Glide(0.0, 0.03)
    glide.set(1.0)
    assert glide.step(0.03) == pytest.approx(1 - math.exp(-1))
    assert not glide.settled


def test_a_time_constant_of_zero_follows_at_once() -> None:
    glide = Glide(0.0, 0.0)
    glide.set(1.0)
    assert glide.value == 0.0
    assert glide.step(1e-6) == 1.0


def test_a_jump_is_a_jump() -> None:
    glide = Glide(0.0, 1.0)
    glide.set(5.0)
    glide.jump(2.0)
    assert glide.settled
    assert glide.step(1.0) == 2.0


def test_setting_the_same_target_again_and_again_does_not_hold_it_back() -> None:
    glide = Glide(0.0, 0.03)
    for _ in range(100):
        glide.set(1.0)
        glide.step(0.01)
    assert glide.value == 1.0


@given(values, values, st.floats(0.001, 1))
@example(0.0, 5e-324, 1.0)
@example(1e6, math.nextafter(1e6, 0), 1.0)
def test_it_arrives_exactly_within_seven_time_constants(start: float, target: float, constant: float) -> None:
    glide = Glide(start, constant)
    glide.set(target)
    for _ in range(70):
        glide.step(constant / 10)
    assert glide.value == target
    assert glide.settled


@given(values, st.lists(st.tuples(values, times), max_size=20))
def test_it_stays_between_where_it_was_and_its_target(start: float, moves: list[tuple[float, float]]) -> None:
    glide = Glide(start, 0.1)
    for target, dt in moves:
        before = glide.value
        glide.set(target)
        value = glide.step(dt)
        rounding = 1e-9 * max(abs(before), abs(target), 1e-300)
        assert min(before, target) - rounding <= value <= max(before, target) + rounding


@given(values, values, times, times)
def test_two_steps_are_one(start: float, target: float, first: float, second: float) -> None:
    twice, once = Glide(start, 0.2), Glide(start, 0.2)
    for glide in (twice, once):
        glide.set(target)
    twice.step(first)
    assert twice.step(second) == pytest.approx(
        once.step(first + second), rel=1e-6, abs=abs(target - start) * 1e-3 + 1e-6
    )


@pytest.mark.parametrize("dt", [0.0, -1.0])
def test_no_time_no_move(dt: float) -> None:
    glide = Glide(0.0, 0.0)
    glide.set(1.0)
    assert glide.step(dt) == 0.0


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf])
def test_a_target_must_be_finite(wrong: float) -> None:
    glide = Glide(0.0, 0.03)
    with pytest.raises(ValueError, match="finite"):
        glide.set(wrong)
    with pytest.raises(ValueError, match="finite"):
        glide.jump(wrong)
    assert glide.step(1.0) == 0.0


@pytest.mark.parametrize("wrong", [-0.1, math.nan, math.inf])
def test_a_time_constant_must_be_a_time(wrong: float) -> None:
    with pytest.raises(ValueError, match="time constant"):
        Glide(0.0, wrong)

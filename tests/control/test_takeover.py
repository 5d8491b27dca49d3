"""Soft takeover: Mixxx's rule, case by case and at random."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qsep_live.control.takeover import THRESHOLD, WINDOW, SoftTakeover

travel = st.floats(0, 1)


def knob_at(position: float, value: float, now: float = 0.0) -> SoftTakeover:
    """A takeover whose knob was seen at ``value`` while the parameter stood at ``position``."""
    takeover = SoftTakeover()
    takeover.accepts(position, value, now)
    return takeover


def test_a_first_value_far_away_is_refused() -> None:
    assert not SoftTakeover().accepts(0.5, 1.0, 0)
    assert not SoftTakeover().accepts(0.5, 0.0, 0)


@pytest.mark.parametrize("steps", [-3, 0, 3])
def test_a_first_value_within_the_threshold_is_accepted(steps: int) -> None:
    assert SoftTakeover().accepts(0.5, 0.5 + steps / 128, 0)


@pytest.mark.parametrize("steps", [-4, 4])
def test_a_first_value_just_outside_the_threshold_is_refused(steps: int) -> None:
    assert not SoftTakeover().accepts(0.5, 0.5 + steps / 128, 0)


@pytest.mark.parametrize(("before", "after"), [(0.2, 0.9), (0.9, 0.2)])
def test_crossing_the_position_is_accepted(before: float, after: float) -> None:
    assert knob_at(0.5, before).accepts(0.5, after, 10)


@pytest.mark.parametrize(("before", "after"), [(0.1, 0.3), (0.9, 0.7), (0.7, 1.0)])
def test_staying_on_one_side_is_refused(before: float, after: float) -> None:
    assert not knob_at(0.5, before).accepts(0.5, after, 10)


def test_a_value_soon_after_an_accepted_one_passes() -> None:
    takeover = knob_at(0.5, 0.9)
    assert takeover.accepts(0.5, 0.5, 1.0)
    assert takeover.accepts(0.1, 0.9, 1.0 + 0.9 * WINDOW)


def test_a_value_long_after_an_accepted_one_does_not_pass() -> None:
    takeover = knob_at(0.5, 0.5, 1.0)
    assert not takeover.accepts(0.1, 0.9, 1.0 + WINDOW + 0.001)


def test_a_refused_value_opens_no_window() -> None:
    takeover = knob_at(0.5, 0.9, 1.0)
    assert not takeover.accepts(0.5, 0.95, 1.01)


def test_a_knob_that_holds_the_parameter_may_leap() -> None:
    assert knob_at(0.5, 0.5, 0.0).accepts(0.5, 1.0, 60.0)


@given(st.lists(st.tuples(travel, st.floats(0, 0.2)), min_size=1), travel)
def test_a_parameter_never_jumps_unless_a_rule_says_so(moves: list[tuple[float, float]], position: float) -> None:
    takeover = SoftTakeover()
    now, previous, accepted_at = 0.0, None, None
    for value, pause in moves:
        now += pause
        accepted = takeover.accepts(position, value, now)
        near = abs(value - position) <= THRESHOLD
        held = previous is not None and abs(previous - position) <= THRESHOLD
        crossed = previous is not None and min(previous, value) <= position <= max(previous, value)
        soon = accepted_at is not None and now - accepted_at <= WINDOW
        assert accepted == (near or held or crossed or soon)
        if accepted:
            position, accepted_at = value, now
        previous = value


@given(travel, travel)
def test_a_slow_sweep_through_the_whole_travel_always_takes_hold(position: float, start: float) -> None:
    takeover = SoftTakeover()
    sweep = [start, *(step / 127 for step in range(128))]
    assert any(takeover.accepts(position, value, float(now)) for now, value in enumerate(sweep))

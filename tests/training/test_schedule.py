from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qsep_live.errors import UsageError
from qsep_live.training.schedule import Budget, Due, Every, ScheduleConfig

PAPER = ScheduleConfig(kind="steps")


@pytest.mark.parametrize(
    ("step", "rate"),
    [(0, 2e-4), (199_999, 2e-4), (200_000, 1.95e-4), (209_999, 1.95e-4), (210_000, 1.9e-4), (580_000, 5e-6),
     (590_000, 0.0), (700_000, 0.0)],
)  # fmt: skip
def test_the_paper_falls_by_5e_6_every_10_000_after_200_000(step: int, rate: float) -> None:
    assert PAPER.rate(2e-4, step, 0.3) == pytest.approx(rate, abs=1e-12)


def test_the_paper_ends_when_nothing_is_left_of_the_rate() -> None:
    end = PAPER.natural_end(2e-4)
    assert end == 590_000
    assert PAPER.rate(2e-4, end - 1, 0.0) > 0.0 == PAPER.rate(2e-4, end, 0.0)
    assert ScheduleConfig().natural_end(1e-3) is None


@pytest.mark.parametrize(
    ("step", "progress", "share"),
    [(0, 0.0, 0.01), (49, 0.0, 0.5), (99, 0.0, 1.0), (500, 0.0, 1.0), (500, 0.5, 0.505), (500, 1.0, 0.01),
     (9, 2.0, 1e-3)],
)  # fmt: skip
def test_the_cosine_warms_up_and_falls_over_the_budget(step: int, progress: float, share: float) -> None:
    assert ScheduleConfig().rate(1e-3, step, progress) == pytest.approx(1e-3 * share)


@given(st.integers(100, 10**6), st.floats(0, 1), st.floats(0, 1))
def test_after_the_warm_up_the_cosine_never_rises(step: int, one: float, other: float) -> None:
    schedule = ScheduleConfig()
    assert schedule.rate(1.0, step, max(one, other)) <= schedule.rate(1.0, step, min(one, other)) + 1e-12


def test_a_schedule_that_there_is_not() -> None:
    with pytest.raises(UsageError, match=r"'linear'; there are cosine, steps"):
        ScheduleConfig(kind="linear")


def test_a_budget_ends_with_whichever_ends_first() -> None:
    assert Budget(steps=10).progress(4, 1e9) == pytest.approx(0.4)
    assert Budget(seconds=10).progress(10**9, 4) == pytest.approx(0.4)
    assert Budget(10, 100).progress(4, 50) == pytest.approx(0.5)
    assert Budget(10, 100).progress(11, 50) == 1.0
    assert Budget().progress(10**9, 1e9) == 0.0


def test_due_in_steps_and_in_seconds() -> None:
    steps = Due(Every(steps=3), 2, 0.0)
    assert [step for step in range(2, 12) if steps.due(step, math.inf if step < 0 else 1e9)] == [5, 8, 11]
    seconds = Due(Every(seconds=10.0), 0, 100.0)
    assert not seconds.due(10**6, 109.9)
    assert seconds.due(10**6, 112.0)
    assert not seconds.due(10**6, 121.9), "counted from when it was due, not from when it should have been"
    seconds.reset(0, 200.0)
    assert not seconds.due(0, 209.0)

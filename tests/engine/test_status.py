from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qsep_live.engine.shared import TIME_BIN, TIMES
from qsep_live.engine.status import Latency, State, Status, decibels, percentile


@settings(deadline=None)
@given(st.lists(st.integers(0, TIMES - 1), min_size=1, max_size=200), st.floats(0.001, 1.0))
def test_percentile_is_that_of_the_sorted_times(bins: list[int], share: float) -> None:
    histogram = np.bincount(bins, minlength=TIMES)
    expected = sorted(bins)[math.ceil(share * len(bins)) - 1]
    assert percentile(histogram, share) == pytest.approx((expected + 1) * TIME_BIN)


def test_no_callbacks_took_no_time() -> None:
    assert percentile(np.zeros(TIMES, np.int64), 0.99) == 0.0


def test_latency_is_the_sum_of_its_causes() -> None:
    latency = Latency(0.001, 0.002, 0.004, 0.008, 0.016)
    assert latency.total == pytest.approx(0.031)


def test_json_is_plain_and_strict() -> None:
    status = Status(State.RUNNING, level_in=-math.inf, level_out=-3.25, latency=Latency(window=0.025), mask_age=None)
    text = json.dumps(status.as_json(), allow_nan=False)
    values = json.loads(text)
    assert values["state"] == "running"
    assert values["level_in"] is None
    assert values["level_out"] == -3.25
    assert values["mask_age"] is None
    assert values["latency"]["total"] == 0.025
    assert set(values) == set(Status.__dataclass_fields__)


@pytest.mark.parametrize(("level", "expected"), [(1.0, 0.0), (0.1, -20.0), (0.0, -math.inf), (math.nan, -math.inf)])
def test_decibels(level: float, expected: float) -> None:
    assert decibels(level) == pytest.approx(expected)

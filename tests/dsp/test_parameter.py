from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qsep_live.dsp.parameter import Parameter

LINEAR = Parameter("gain", -60.0, 12.0, 0.0, "dB")
LOG = Parameter("cutoff", 20.0, 20_000.0, 1000.0, "Hz", "log")
travels = st.floats(0.0, 1.0)


@settings(deadline=None)
@given(st.sampled_from([LINEAR, LOG]), travels)
def test_travel_and_value_are_inverse(parameter: Parameter, travel: float) -> None:
    value = parameter.from_travel(travel)
    assert parameter.minimum <= value <= parameter.maximum
    assert parameter.to_travel(value) == pytest.approx(travel, abs=1e-9)


@settings(deadline=None)
@given(st.sampled_from([LINEAR, LOG]), travels, travels)
def test_more_travel_is_never_a_smaller_value(parameter: Parameter, a: float, b: float) -> None:
    low, high = sorted([a, b])
    assert parameter.from_travel(low) <= parameter.from_travel(high)


@settings(deadline=None)
@given(st.sampled_from([LINEAR, LOG]), st.floats())
def test_any_number_at_all_is_made_legal(parameter: Parameter, value: float) -> None:
    assert parameter.minimum <= parameter.clamp(value) <= parameter.maximum
    assert parameter.minimum <= parameter.from_travel(value) <= parameter.maximum
    assert 0.0 <= parameter.to_travel(value) <= 1.0


def test_ends_and_middle() -> None:
    assert [LINEAR.from_travel(t) for t in (0.0, 0.5, 1.0)] == [-60.0, -24.0, 12.0]
    assert LOG.from_travel(0.0) == 20.0
    assert LOG.from_travel(0.5) == pytest.approx(math.sqrt(20.0 * 20_000.0))
    assert LOG.from_travel(1.0) == pytest.approx(20_000.0)
    assert LINEAR.clamp(math.nan) == LINEAR.default


@pytest.mark.parametrize(("low", "high"), [(1.0, 1.0), (2.0, 1.0), (math.nan, 1.0), (0.0, math.nan)])
def test_an_empty_range_is_refused(low: float, high: float) -> None:
    with pytest.raises(ValueError, match="wet: minimum"):
        Parameter("wet", low, high, 0.5)


@pytest.mark.parametrize("low", [0.0, -1.0])
def test_a_log_scale_from_zero_is_refused(low: float) -> None:
    with pytest.raises(ValueError, match="cutoff: a log scale needs a minimum above 0"):
        Parameter("cutoff", low, 1.0, 0.5, scale="log")

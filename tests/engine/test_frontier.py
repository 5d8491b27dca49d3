from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qsep_live.engine.delay import exact_delay, plan_delay
from qsep_live.engine.frontier import FORGIVEN, Frontier, frontier_file, lead_of, load_frontier, save_frontier
from qsep_live.errors import QsepError

RISING = Frontier("m", "songs", ((-0.06, 1.0), (-0.02, 2.0), (0.0, 3.0), (0.1, 3.1)))


def test_the_lead_is_the_shortest_that_is_nearly_as_good_as_the_best() -> None:
    # 2.85 dB are wanted: between 2.0 at -20 ms and 3.0 at 0.
    assert RISING.lead == pytest.approx(-0.02 + 0.02 * (3.1 - FORGIVEN - 2.0))


def test_a_dip_is_not_jumped_over() -> None:
    dip = Frontier("m", "songs", ((-0.1, 3.0), (-0.05, 1.0), (0.0, 3.0), (0.1, 3.1)))
    assert -0.05 < dip.lead < 0.0


def test_where_everything_is_good_the_earliest_point_is_taken() -> None:
    assert Frontier("m", "songs", ((-0.1, 3.0), (0.0, 3.1))).lead == -0.1
    assert Frontier("m", "songs", ((0.02, 3.0),)).lead == 0.02


points = st.lists(st.tuples(st.floats(-0.2, 0.4), st.floats(-5.0, 10.0)), min_size=1, max_size=8)


@given(points)
def test_the_lead_lies_within_what_was_measured(found: list[tuple[float, float]]) -> None:
    ordered = tuple(sorted(found))
    assert ordered[0][0] - 1e-9 <= Frontier("m", "songs", ordered).lead <= ordered[-1][0] + 1e-9


def test_between_points_the_sdr_is_linear_and_beyond_them_it_stays() -> None:
    assert RISING.sdr(-0.04) == pytest.approx(1.5)
    assert [RISING.sdr(lead) for lead in (-1.0, 1.0)] == [1.0, 3.1]


@given(st.floats(0.0, 0.1))
def test_at_the_exact_delay_the_lead_is_nothing(age: float) -> None:
    assert lead_of(plan_delay(exact_delay(age), 44_100), age) == pytest.approx(0.0, abs=1e-4)


def test_a_file_brings_it_back(tmp_path: Path) -> None:
    model = tmp_path / "m.safetensors"
    save_frontier(RISING, frontier_file(model))
    assert load_frontier(model, "m") == RISING
    assert load_frontier(model, "another") is None
    assert load_frontier(tmp_path / "none.safetensors", "m") is None


@pytest.mark.parametrize(
    "text",
    ["", "{}", "[]", '{"schema": 2}', '{"schema": 1, "model": "m", "data": "", "lead_ms, sdr_db": []}',
     '{"schema": 1, "model": "m", "data": "", "lead_ms, sdr_db": [[1]]}',
     '{"schema": 1, "model": "m", "data": "", "lead_ms, sdr_db": [[1, NaN]]}'],
)  # fmt: skip
def test_a_damaged_file_is_said(tmp_path: Path, text: str) -> None:
    model = tmp_path / "m.safetensors"
    frontier_file(model).write_text(text)
    with pytest.raises(QsepError, match=r"m\.frontier\.json: no frontier"):
        load_frontier(model, "m")

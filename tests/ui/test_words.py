from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from qsep_live.engine.status import Latency, State, Status
from qsep_live.ui import words
from qsep_live.ui.summary import summary

STATUS = Status(
    State.RUNNING, 65.0, "vocals 30 % → drums 70 %", 0.7, 1.0, -3.0, "isolate", -12.34, -math.inf, 44100, 441,
    Latency(0.005, 0.02, 0.03, 0.001, 0.01), 0.032, 0.04, 0.025, 1625, 0.01, 0.001, 0.002, 0.005, 6500, 2, 1, 1000, 10,
    1, 3, 0, 1, 2, None, "system → system",
)  # fmt: skip


def test_numbers_as_people_read_them() -> None:
    assert words.milliseconds(0.0321) == "32.1 ms"
    assert words.milliseconds(0.3214) == "321 ms"
    assert words.clock(65.9) == "1:05"
    assert words.clock(3723) == "1:02:03"
    assert words.dbfs(-math.inf) == "-inf"
    assert words.share(0.0123) == "1.2 %"
    assert words.share(0.5) == "50 %"
    assert words.part(0, 0) == "0 %"
    assert words.age(None) == "none yet"
    assert words.load(0.0025, STATUS) == "25 %"
    assert words.load(0.0025, Status(State.LOADING)) == "-"


@given(st.lists(st.floats(0.0, 3.0), min_size=5, max_size=5))
def test_latency_tells_its_parts_and_their_sum(parts: list[float]) -> None:
    told = words.latency(Latency(*parts))
    whole, _, rest = told.partition(" = ")
    numbers = [float(part.rsplit(" ", 1)[1]) for part in rest.split(" + ")]
    for number, part in zip(numbers, parts, strict=True):
        assert abs(number - 1e3 * part) <= 0.0501
    assert abs(float(whole.removesuffix(" ms")) - 1e3 * sum(parts)) <= 0.501
    assert [part.rsplit(" ", 1)[0] for part in rest.split(" + ")] == [
        "device in", "window", "wait", "rack", "device out",
    ]  # fmt: skip


def test_summary_tells_all() -> None:
    told = "\n".join(summary(STATUS))
    for text in (
        "1:05", "vocals 30 % → drums 70 %", "66.0 ms = device in 5.0 + window 20.0 + wait 30.0 + rack 1.0",
        "age 32.0 ms", "period 40.0 ms", "p50 1.00 ms (10 %)", "p99.9 5.00 ms (50 %) of 10.00 ms", "2 underruns",
        "1.0 % of frames held", "1 fallbacks", "1 mask restarts", "2 audio restarts", "3 samples repaired",
    ):  # fmt: skip
        assert text in told


def test_summary_of_nothing() -> None:
    (line,) = summary(Status(State.ENDED))
    assert "before the first block" in line

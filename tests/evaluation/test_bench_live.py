"""The table of a live bench, on rows that are made up here; tests/live/test_bench_live.py runs one."""

from __future__ import annotations

from dataclasses import replace

import pytest

from qsep_live.engine.delay import LIVE_FRAMES, plan_delay
from qsep_live.engine.frontier import Frontier, lead_of
from qsep_live.engine.machine_delay import MachineDelay
from qsep_live.engine.pace import MaskPace
from qsep_live.engine.status import State, Status
from qsep_live.evaluation.bench_live import LiveRow, live_table

STATUS = Status(State.RUNNING, rate=44_100, blocksize=512, frames=2000, held=20, underruns=1, callback_p999=0.002)


def chosen(frontier: Frontier | None) -> MachineDelay:
    return MachineDelay(0.06, MaskPace(backend="OpenVINO", step=0.011, period=0.012, age=0.025), frontier, LIVE_FRAMES)


def test_a_row_for_each_block_size_with_the_frontiers_sdr_at_the_dial() -> None:
    rising = Frontier("m", "songs", ((-0.1, 1.0), (0.0, 3.0), (0.1, 3.2)))
    rows = [LiveRow(size, 1.0, 2, replace(STATUS, blocksize=size), 0) for size in (256, 512)]
    table = live_table(rows, chosen(rising), "two cores")
    found = [dict(zip(table.columns, row, strict=True)) for row in table.rows]
    assert [row["frames"] for row in found] == [256, 512]
    assert found[1]["budget, ms"] == pytest.approx(11.61, abs=0.01)
    assert found[0]["SDR, dB"] == pytest.approx(rising.sdr(lead_of(plan_delay(0.06, 44_100), 0.025)))
    assert 2.0 < found[0]["SDR, dB"] < 3.2
    assert (found[0]["underruns"], found[0]["passthrough's"], found[0]["frames held, %"]) == (1, 2, 1.0)
    assert any("songs" in note for note in table.notes)


def test_without_a_frontier_there_is_no_sdr() -> None:
    table = live_table([LiveRow(512, 1.0, 0, STATUS, 0)], chosen(None), "two cores")
    assert "| – |" in table.markdown()

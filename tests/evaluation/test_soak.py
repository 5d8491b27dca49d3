"""How a soak is judged, on runs that are made up here; tests/live/test_soak.py runs one."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from qsep_live.engine.status import State, Status
from qsep_live.evaluation.soak import EXPLAINED, UNDERRUN_EXPLAINED, Fault, SoakRun
from qsep_live.evaluation.soak_report import targets, write_soak

STATUS = Status(State.RUNNING, rate=44100, blocksize=512, callbacks=1000, frames=2000)


def run(**changes: object) -> SoakRun:
    good = SoakRun(512, 30.0, 0, STATUS, loudest=-0.1, recovered=True)
    return replace(good, **changes)  # type: ignore[arg-type]


def missed(judged: SoakRun) -> list[str]:
    return [target.name for target in targets(judged) if target.met is False]


def test_a_clean_run_meets_its_targets() -> None:
    assert missed(run()) == []


def test_fallbacks_are_explained_by_what_was_done_to_the_masks() -> None:
    for kind, seconds in EXPLAINED.items():
        faults = [Fault(100.0, kind)]
        assert missed(run(faults=faults, fallbacks=[(100.1 + seconds, 2)])) == []
        assert missed(run(faults=faults, fallbacks=[(102.0 + seconds, 1)])) == ["unexplained fallbacks"]
        assert missed(run(faults=faults, fallbacks=[(99.0, 1)])) == ["unexplained fallbacks"]
    assert missed(run(faults=[Fault(9.0, "MIDI killed")], fallbacks=[(10.0, 1)])) == ["unexplained fallbacks"]


@pytest.mark.parametrize("kind", UNDERRUN_EXPLAINED)
def test_underruns_are_explained_by_a_killed_client_of_the_server_alone(kind: str) -> None:
    faults = [Fault(9.0, kind)]
    assert missed(run(faults=faults, underruns=[(10.0, 5)])) == []
    assert missed(run(faults=faults, underruns=[(10.0 + UNDERRUN_EXPLAINED[kind], 1)])) == ["unexplained underruns"]
    assert missed(run(faults=[Fault(9.0, "mask killed")], underruns=[(10.0, 1)])) == ["unexplained underruns"]


def test_small_blocks_are_judged_by_the_passthrough() -> None:
    small = run(blocksize=256, underruns=[(50.0, 3)], passthrough_underruns=3)
    assert missed(small) == []
    assert missed(replace(small, underruns=[(50.0, 4)])) == ["unexplained underruns"]
    assert missed(replace(small, blocksize=512)) == ["unexplained underruns"]


def test_restarts_that_nobody_asked_for_and_loud_sound_count() -> None:
    status = replace(STATUS, mask_restarts=2)
    assert missed(run(status=status)) == ["restarts that no fault asked for"]
    assert missed(run(status=status, faults=[Fault(1.0, "mask killed"), Fault(50.0, "mask killed")])) == []
    assert missed(run(loudest=0.5)) == ["loudest output"]
    assert missed(run(recovered=False)) == ["well at the end"]


@pytest.mark.parametrize(("a_minute", "met"), [(0, True), (20_000, True), (100_000, False), (-50_000, True)])
def test_memory_is_judged_after_the_warm_up(a_minute: int, met: bool) -> None:
    """It falls, or rises by so much, after a warm-up of ten megabytes; another process ends young."""
    size = 50_000_000
    old = [(float(at), size - 10_000_000 + 1_000_000 * min(10, at) + a_minute * at // 60) for at in range(0, 1800, 5)]
    young = [(float(at), at * 1_000_000) for at in range(0, 60, 5)]
    judged = run(memory={"audio 1": old, "mask 1": young})
    assert missed(judged) == ([] if met else ["memory growth after warm-up"])
    assert run(memory={"mask 1": young}).growth() is None


def test_the_report_says_it_all(tmp_path: Path) -> None:
    memory = {"audio 1": [(float(at), 10_000_000) for at in range(600)]}
    judged = run(faults=[Fault(9.0, "audio killed")], underruns=[(50.0, 5)], events=[(9.1, "lost")], memory=memory)
    judged = replace(judged, late={"qsep-live-midi": 3, "the server itself": 2})
    written = write_soak(judged, tmp_path / "report")
    assert {path.name for path in written} == {
        "soak.md", "soak.csv", "soak.png", "soak.json", "soak-memory.csv", "soak-events.csv",
    }  # fmt: skip
    told = (tmp_path / "report" / "soak.md").read_text()
    assert "| unexplained underruns | 5 | at most 0 | NO |" in told
    assert "| who was late, as the server says | qsep-live-midi 3, the server itself 2 |" in told
    values = json.loads((tmp_path / "report" / "soak.json").read_text())
    assert values["memory_growth"] == 0
    assert [target["met"] for target in values["targets"]].count(False) == 1
    lines = (tmp_path / "report" / "soak-events.csv").read_text().splitlines()
    assert lines == ["seconds,what", "9.0,FAULT: audio killed", "9.1,lost", "50.0,5 underruns"]
    assert (tmp_path / "report" / "soak.png").read_bytes().startswith(b"\x89PNG")

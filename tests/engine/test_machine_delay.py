from __future__ import annotations

import json
from pathlib import Path

import pytest

from qsep_live.engine import machine_delay as module
from qsep_live.engine.delay import LONGEST, exact_delay
from qsep_live.engine.frontier import Frontier, frontier_file, save_frontier
from qsep_live.engine.machine_delay import SHORTEST_DEFAULT, machine_delay
from qsep_live.engine.mask_process import MaskSettings
from qsep_live.engine.pace import MaskPace


class Machine:
    """Counts how often it is measured."""

    def __init__(self) -> None:
        self.measured = 0
        self.pace = MaskPace("openvino cpu", 0.022, 0.03, 0.055)

    def __call__(self, settings: MaskSettings) -> MaskPace:
        self.measured += 1
        return self.pace


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    monkeypatch.setenv("QSEP_LIVE_HOME", str(tmp_path / "home"))
    made = Machine()
    monkeypatch.setattr(module, "mask_pace", made)
    return made


def settings(tmp_path: Path, **more: object) -> MaskSettings:
    return MaskSettings(tmp_path / "m.safetensors", **more)  # type: ignore[arg-type]


def cache(tmp_path: Path) -> Path:
    return tmp_path / "home" / "cache" / "pace.json"


def test_it_is_measured_once_and_said(machine: Machine, tmp_path: Path) -> None:
    told: list[str] = []
    first = machine_delay(settings(tmp_path), "m", told.append)
    assert first.delay == pytest.approx(exact_delay(0.055), abs=1.1e-3)
    assert len(told) == 1
    for word in ("openvino cpu: 22.0 ms a mask", "one every 30 ms", "up to 55 ms old", "on time", "kept for next time"):
        assert word in told[0]
    assert machine_delay(settings(tmp_path), "m", told.append) == first
    assert (machine.measured, len(told)) == (1, 1)
    machine_delay(settings(tmp_path), "m", told.append, again=True)
    assert machine.measured == 2


def test_another_model_device_or_thread_is_another_measurement(machine: Machine, tmp_path: Path) -> None:
    changed = {"device": "cuda", "threads": 2, "presets": 2, "window": 64}
    asked = [({}, "m"), ({}, "n"), *(({name: value}, "m") for name, value in changed.items())]
    for _ in range(2):
        for more, model in asked:
            machine_delay(settings(tmp_path, **more), model, lambda _text: None)
    assert machine.measured == len(asked)


@pytest.mark.parametrize("change", ["version", "cores", "node"])
def test_a_stale_measurement_is_made_again_and_said(
    machine: Machine, tmp_path: Path, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine_delay(settings(tmp_path), "m", lambda _text: None)
    if change == "version":
        monkeypatch.setattr(module, "__version__", "99.0")
    else:
        here = module.this_machine()
        monkeypatch.setattr(module, "this_machine", lambda: {**here, change: "other"})
    told: list[str] = []
    machine.pace = MaskPace("openvino cpu", 0.011, 0.015, 0.03)
    assert machine_delay(settings(tmp_path), "m", told.append).delay == pytest.approx(exact_delay(0.03), abs=1.1e-3)
    assert machine.measured == 2
    assert told[0].startswith("what was kept is of another state of this machine; measured")
    assert len(json.loads(cache(tmp_path).read_text())["entries"]) == 1, "the newer takes the older one's place"


@pytest.mark.parametrize("text", ["", "[]", '{"schema": 1}', '{"schema": 1, "entries": [{"key": {}, "pace": {}}]}'])
def test_a_damaged_cache_is_made_anew(machine: Machine, tmp_path: Path, text: str) -> None:
    cache(tmp_path).parent.mkdir(parents=True)
    cache(tmp_path).write_text(text)
    told: list[str] = []
    machine_delay(settings(tmp_path), "m", told.append)
    assert "pace.json is damaged; measured" in told[0]
    machine_delay(settings(tmp_path), "m", told.append)
    assert machine.measured == 1


def test_a_cache_that_cannot_be_written_is_said(machine: Machine, tmp_path: Path) -> None:
    (tmp_path / "home").write_text("a file where the folder should be")
    told: list[str] = []
    assert machine_delay(settings(tmp_path), "m", told.append).delay > 0.0
    assert "not kept: " in told[0]


def test_the_frontier_decides(machine: Machine, tmp_path: Path) -> None:
    frontier = Frontier("m", "four songs", ((-0.04, 3.0), (0.0, 3.1), (0.1, 3.1)))
    save_frontier(frontier, frontier_file(tmp_path / "m.safetensors"))
    found = machine_delay(settings(tmp_path), "m", lambda _text: None)
    assert found.delay == pytest.approx(exact_delay(0.055) - 0.04, abs=1.1e-3)
    assert "within 0.4 dB of the best (four songs)" in found.why


@pytest.mark.parametrize(("age", "delay"), [(0.0, SHORTEST_DEFAULT), (9.0, LONGEST)])
def test_it_stays_on_the_dial(machine: Machine, tmp_path: Path, age: float, delay: float) -> None:
    frontier = Frontier("m", "songs", ((-0.1, 3.0), (0.0, 3.1)))
    save_frontier(frontier, frontier_file(tmp_path / "m.safetensors"))
    machine.pace = MaskPace("openvino cpu", age, age, age)
    assert machine_delay(settings(tmp_path), "m", lambda _text: None).delay == pytest.approx(delay, abs=1.1e-3)

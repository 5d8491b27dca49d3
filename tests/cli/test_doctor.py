from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qsep_live.cli import checks
from qsep_live.latent.preset import Preset
from qsep_live.latent.preset_file import save_preset


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "CALLBACK_SECONDS", 0.2)


def found(told: Any) -> dict[str, dict[str, Any]]:
    return {line["subject"]: line for line in map(json.loads, told.out.splitlines())}


def test_a_machine_without_devices_is_well_enough(spawn: Callable[..., Any], tiny_model: tuple[Path, str]) -> None:
    told = spawn("doctor", "--model", tiny_model[0], "--json")
    assert (told.code, told.err) == (0, ""), told.out
    lines = found(told)
    assert {"system", "portaudio", "midi", "model", "presets", "network", "callback", "disk"} <= set(lines)
    assert lines["model"]["result"] == "ok"
    assert tiny_model[1] in lines["model"]["text"]
    assert lines["presets"]["result"] == "warn"  # the stranger
    assert "one, two" in lines["presets"]["text"]
    assert lines["network"]["step"] > 0
    assert lines["network"]["delay"] > lines["network"]["age"] >= lines["network"]["step"]
    assert set(lines["callback"]["loads"]) == {"128", "256", "512"}
    for line in lines.values():
        assert line["result"] in ("ok", "warn")
        assert line["advice"] or line["result"] == "ok"


def test_lines_for_people(
    qsep: Callable[..., Any], tiny_model: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks, "CHECKS", (checks.system, checks.model, checks.network, checks.disk))
    told = qsep("doctor", "--model", tiny_model[0])
    assert told.code == 0
    assert all(line.split()[0] in ("ok", "warn") for line in told.out.splitlines())
    assert "ms a mask" in told.out


@pytest.mark.parametrize("content", [None, b"no model"])
def test_without_a_model_nothing_runs(
    qsep: Callable[..., Any], work: Path, content: bytes | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks, "CHECKS", (checks.model, checks.network, checks.disk))
    if content is not None:
        (work / "m.safetensors").write_bytes(content)
    told = qsep("doctor", "--model", "m.safetensors", "--json")
    assert told.code == 1
    lines = found(told)
    assert lines["model"]["result"] == "fail"
    assert "m.safetensors" in lines["model"]["text"]
    assert "network" not in lines
    assert lines["disk"]["result"] in ("ok", "warn")


def test_a_model_without_presets_fails(
    qsep: Callable[..., Any], home: Path, tiny_model: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks, "CHECKS", (checks.model,))
    for name in ("one", "two"):
        (home / "presets" / f"{name}.toml").unlink()
    told = qsep("doctor", "--model", tiny_model[0])
    assert told.code == 1
    assert "presets new" in told.out


def test_a_preset_of_stems_is_not_one_to_be_made_again(
    qsep: Callable[..., Any], home: Path, tiny_model: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks, "CHECKS", (checks.model,))
    save_preset(Preset("duo", np.ones(2), stems=("bass", "vocals")), home / "presets")
    told = qsep("doctor", "--model", tiny_model[0])
    assert told.code == 0
    assert "stranger" in told.out
    assert "duo" not in told.out


def test_one_sick_part_does_not_hide_the_others(qsep: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def sick(*_: object) -> list[checks.Finding]:
        raise RuntimeError("cough")

    monkeypatch.setattr(checks, "CHECKS", (sick, checks.disk))
    told = qsep("doctor", "--json")
    assert told.code == 1
    assert found(told)["sick"]["text"] == "RuntimeError: cough"
    assert "disk" in found(told)

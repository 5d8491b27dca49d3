from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from qsep_live.audio import devices as audio_devices
from qsep_live.audio.devices import DeviceInfo
from qsep_live.control import ports
from qsep_live.errors import QsepError

DEVICES = [
    DeviceInfo(0, "Scarlett 2i2", "ALSA", 2, 2, 48000, (44100, 48000), True, False),
    DeviceInfo(1, "HDMI", "ALSA", 0, 8, 48000, ()),
]


def test_lists_devices_and_ports_by_name(qsep: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audio_devices, "list_devices", lambda: DEVICES)
    monkeypatch.setattr(ports, "list_ports", lambda: (["nanoKONTROL2"], ["synth"]))
    told = qsep("devices")
    assert (told.code, told.err) == (0, "")
    lines = told.out.splitlines()
    assert lines[1].split() == ["Scarlett", "2i2", "ALSA", "2", "2", "44100,", "48000", "input"]
    assert "busy (48000 by default)" in lines[2]
    assert lines[-2].split() == ["nanoKONTROL2", "in"]
    assert lines[-1].split() == ["synth", "out"]
    found = [json.loads(line) for line in qsep("devices", "--json").out.splitlines()]
    assert [each["type"] for each in found] == ["audio", "audio", "midi", "midi"]
    assert found[0]["rates"] == [44100, 48000]
    assert found[2] == {**found[2], "name": "nanoKONTROL2", "direction": "input"}


def test_nothing_there_is_no_error(qsep: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> None:
        raise QsepError("MIDI is not available here (no reason)")

    monkeypatch.setattr(audio_devices, "list_devices", lambda: [])
    monkeypatch.setattr(ports, "list_ports", none)
    told = qsep("devices")
    assert told.code == 0
    assert "no audio devices" in told.out
    assert "MIDI is not available here" in told.out


def test_the_real_thing(spawn: Callable[..., Any], work: Path) -> None:
    told = spawn("devices", "--json")
    assert (told.code, told.err) == (0, "")
    for line in told.out.splitlines():
        assert json.loads(line)["type"] in ("audio", "midi", "problem")

"""The loop around a session, with a session that only counts; the real one is tested with real servers elsewhere."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from qsep_live.cli import choices
from qsep_live.dsp.grid import FRAMES
from qsep_live.engine import machine_delay
from qsep_live.engine import session as engine_session
from qsep_live.engine.delay import LIVE_FRAMES, exact_delay
from qsep_live.engine.mask_process import MaskSettings
from qsep_live.engine.pace import MaskPace
from qsep_live.engine.session_config import SessionConfig
from qsep_live.engine.status import Latency, State, Status
from qsep_live.engine.strip import Outlet
from qsep_live.errors import QsepError, UsageError

Qsep = Callable[..., Any]
PACE = MaskPace("openvino cpu", 0.02, 0.03, 0.06)
Model = tuple[Path, str]
STATUS = Status(
    State.RUNNING, 1.0, "one", rate=44100, blocksize=256, latency=Latency(0.005, 0.02, 0.03, 0.0, 0.01),
    mask_age=0.03, mask_period=0.04, callbacks=100, frames=50, device="in → out",
)  # fmt: skip


class Session:
    """Stands in for LiveSession: ends after ``ticks``."""

    made: Session
    ticks = 30
    on_start: Callable[[Session], None] = staticmethod(lambda session: None)
    on_tick: Callable[[Session], None] = staticmethod(lambda session: None)

    def __init__(self, config: SessionConfig, on_event: Callable[[str], None]) -> None:
        self.config, self.tell = config, on_event
        self.calls: list[str] = []
        Session.made = self

    def start(self) -> None:
        self.calls.append("start")
        Session.on_start(self)

    def tick(self) -> None:
        self.calls.append("tick")
        Session.on_tick(self)

    @property
    def finished(self) -> bool:
        return self.calls.count("tick") >= self.ticks

    def status(self) -> Status:
        return STATUS

    def stop(self) -> Status:
        self.calls.append("stop")
        self.tell("the last event")
        return STATUS


@pytest.fixture
def live(qsep: Qsep, tiny_model: Model, monkeypatch: pytest.MonkeyPatch) -> Qsep:
    """Run live with the counting session, on a machine that was measured before."""
    monkeypatch.setattr(machine_delay, "mask_pace", lambda settings: PACE)
    machine_delay.machine_delay(
        MaskSettings(tiny_model[0], threads=choices.live_threads(None)), tiny_model[1], lambda text: None
    )
    monkeypatch.setattr(engine_session, "LiveSession", Session)
    monkeypatch.setattr(Session, "on_start", staticmethod(lambda session: None))
    monkeypatch.setattr(Session, "on_tick", staticmethod(lambda session: None))

    def call(*arguments: object) -> Any:
        return qsep("--preset", "one", "--model", tiny_model[0], *arguments)

    return call


def test_without_a_delay_the_machines_own_is_taken_and_a_first_measurement_told(
    live: Qsep, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "measured for the default delay" not in live().out
    assert Session.made.config.delay == pytest.approx(exact_delay(PACE.age), abs=1e-3)
    live("--delay", "50ms")
    assert Session.made.config.delay == 0.05
    monkeypatch.setattr(machine_delay, "__version__", "99.0")
    told = live("--json")
    events = [line["text"] for line in map(json.loads, told.out.splitlines()) if line["type"] == "event"]
    assert "measured for the default delay: openvino cpu" in events[0]


def test_the_session_has_the_window_that_its_delay_asks_for(live: Qsep, monkeypatch: pytest.MonkeyPatch) -> None:
    for arguments, wanted in (
        ((), LIVE_FRAMES),
        (("--delay", "1s"), FRAMES),
        (("--window", "64"), 64),
        (("--window", "64", "--delay", "0.2s"), 64),
    ):
        live(*arguments)
        assert Session.made.config.window == wanted
    # Masks so slow that the delay they need goes beyond the window, or asks for a longer one.
    slow = replace(PACE, age=0.9)
    monkeypatch.setattr(machine_delay, "mask_pace", lambda settings: slow)
    monkeypatch.setattr(machine_delay, "__version__", "99.0")
    live("--window", "64").fails(2, "--window 64 is for delays of up to 372 ms, not 9")
    live()
    assert Session.made.config.window == FRAMES


def test_plain_lines_and_a_summary(live: Qsep) -> None:
    told = live()
    assert (told.code, told.err) == (0, "")
    assert Session.made.calls == ["start", *["tick"] * 30, "stop"]
    lines = told.out.splitlines()
    assert lines[0].startswith("0:01 running: one;")
    assert "- the last event" in lines
    assert lines[-1].startswith("troubles")
    assert any("latency" in line and "65.0 ms" in line for line in lines)


def test_json_and_nothing_else(live: Qsep) -> None:
    told = live("--json")
    assert (told.code, told.err) == (0, "")
    found = [json.loads(line) for line in told.out.splitlines()]
    kinds = [line["type"] for line in found]
    assert kinds[0] == "status"
    assert kinds[-2:] == ["event", "summary"]
    assert found[-1]["latency"]["total"] == pytest.approx(0.065)
    assert found[0]["level_in"] is None  # silence is −∞ dBFS, which JSON does not have


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_ends_with_the_summary(live: Qsep, monkeypatch: pytest.MonkeyPatch, number: signal.Signals) -> None:
    def interrupt(session: Session) -> None:
        if session.calls.count("tick") == 5:
            os.kill(os.getpid(), number)

    monkeypatch.setattr(Session, "on_tick", staticmethod(interrupt))
    told = live("--json")
    assert (told.code, told.err) == (0, "")
    assert Session.made.calls == ["start", *["tick"] * 5, "stop"]
    assert json.loads(told.out.splitlines()[-1])["type"] == "summary"


def test_ctrl_c_while_it_loads(live: Qsep, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Session, "on_start", staticmethod(lambda session: os.kill(os.getpid(), signal.SIGINT)))
    told = live()
    assert (told.code, told.out, told.err) == (130, "", "qsep-live: interrupted\n")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize(("error", "code"), [(QsepError("the device is gone"), 1), (UsageError("no such device"), 2)])
def test_a_failing_start(live: Qsep, monkeypatch: pytest.MonkeyPatch, error: QsepError, code: int) -> None:
    def fail(_session: Session) -> None:
        raise error

    monkeypatch.setattr(Session, "on_start", staticmethod(fail))
    live().fails(code, str(error))


def test_a_failing_tick_still_stops_the_session(live: Qsep, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_session: Session) -> None:
        raise KeyError("tock")

    monkeypatch.setattr(Session, "on_tick", staticmethod(fail))
    told = live()
    assert told.code == 1
    assert "unexpected KeyError" in told.err
    assert Session.made.calls == ["start", "tick", "stop"]


def test_the_config_is_what_was_said(live: Qsep, work: Path, tiny_model: Model) -> None:
    mapping = work / "map.toml"
    mapping.write_text("schema = 1\n[[control]]\ncc = 3\nparameter = 'wet'\n")
    told = live(
        "--input", "demo", "--mode", "remove", "--wet", "50%", "--gain", "-3", "--delay", "30ms", "--blocksize", "512",
        "--rate", "48k", "--midi", "nano", "--mapping", mapping, "--threads", "3", "--duration", "2m",
        "--fallback", "silence", "--lockstep", "50ms", "--device", "cpu",
    )  # fmt: skip
    assert told.code == 0
    config = Session.made.config
    (part,) = config.parts
    assert [preset.name for preset in part.presets] == ["one"]
    assert config.model == tiny_model[0]
    assert (config.input.kind, config.output.kind) == ("demo", "device")
    assert (config.mode, config.wet, config.gain, config.delay) == ("remove", 0.5, -3.0, 0.03)
    assert (config.blocksize, config.rate, config.threads, config.device) == (512, 48000, 3, "cpu")
    assert (config.midi, config.listen, config.duration) == ("nano", True, 120.0)
    assert (config.fallback, config.lockstep) == ("silence", 0.05)
    assert [control.cc for control in config.mapping.controls] == [3]
    assert [path.name for path in part.files or ()] == ["one.toml"]


def test_the_defaults(live: Qsep) -> None:
    assert live("--no-midi", "--delay", "auto").code == 0
    config = Session.made.config
    assert (config.rate, config.blocksize, config.listen) == (None, 0, False)
    assert (config.fallback, config.lockstep, config.record) == ("dry", 0.0, None)
    assert [part.outlet for part in config.parts] == [Outlet()]
    assert 1 <= config.threads <= 4


def test_a_promised_recording_that_is_not_there_is_a_failure(live: Qsep, work: Path) -> None:
    told = live("--record", "take.wav")
    assert told.code == 1
    assert told.err == "qsep-live: error: take.wav: nothing was recorded\n"
    (work / "take.wav").write_text("old")
    live("--record", "take.wav").fails(2, "take.wav", "exists already")
    told = live("--record", "take.wav", "--overwrite")
    assert (told.code, told.err) == (1, "qsep-live: error: take.wav: nothing was recorded\n")


def test_a_recording_that_is_there_is_not(live: Qsep, work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Session, "on_tick", staticmethod(lambda session: (work / "take.wav").write_text("sound")))
    assert live("--record", "take.wav").code == 0

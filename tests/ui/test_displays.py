from __future__ import annotations

import io
import json
import math
import subprocess
import sys
from dataclasses import replace

import pytest

from qsep_live.engine.status import Latency, State, Status
from qsep_live.ui import display, meters
from qsep_live.ui.columns import columns
from qsep_live.ui.lines import JsonDisplay, json_line
from qsep_live.ui.meters import Meters, PlainDisplay, plain_line
from qsep_live.ui.progress import progress_bar

STATUS = Status(
    State.RUNNING, 12.0, "vocals", 0.25, level_in=-6.0, level_out=-math.inf, rate=44100, blocksize=441,
    latency=Latency(0.0, 0.02, 0.03, 0.0, 0.01), mask_age=0.032, mask_period=0.04, callbacks=10, frames=10,
    callback_p50=0.001, callback_p99=0.002, callback_p999=0.005, underruns=3, midi="nano [1]", device="a → b",
)  # fmt: skip


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


class Gone(io.StringIO):
    """A pipe without a reader."""

    def write(self, _text: str) -> int:
        raise BrokenPipeError


def rendered(renderable: object, width: int = 120) -> str:
    from rich.console import Console

    stream = io.StringIO()
    Console(file=stream, width=width).print(renderable)
    return stream.getvalue()


def test_the_panel_shows_what_must_be_shown() -> None:
    told = rendered(meters.panel(STATUS))
    for text in (
        "running", "vocals", "25 %", "-6.0 dBFS", "-inf dBFS", "age 32.0 ms", "period 40.0 ms", "p50 10 %", "p99 20 %",
        "p99.9 50 %", "underruns 3", "held 0 %", "fallbacks 0", "restarts 0", "nano [1]", "60.0 ms = device in 0.0",
    ):  # fmt: skip
        assert text in told


@pytest.mark.parametrize(("level", "full"), [(-math.inf, 0), (-90.0, 0), (-60.0, 0), (-30.0, 20), (0.0, 40), (9.0, 40)])
def test_level_bars_reach_from_the_floor_to_full_scale(level: float, full: int) -> None:
    assert rendered(meters.level(level)).count("█") == full


def test_the_panel_of_a_session_that_has_not_begun() -> None:
    assert "loading" in rendered(meters.panel(Status(State.LOADING)))


def test_meters_draw_on_the_terminal_and_tell_the_summary() -> None:
    terminal, told = Terminal(), io.StringIO()
    with Meters(terminal, told) as shown:
        shown.event("something [bold]happened[/bold]")
        shown.show(STATUS)
    shown.finish(STATUS)
    assert "dBFS" in terminal.getvalue()
    assert "something [bold]happened[/bold]" in terminal.getvalue()
    assert "something [bold]happened[/bold]" in told.getvalue()
    assert "latency" in told.getvalue()
    assert "dBFS" not in told.getvalue()


def test_plain_lines() -> None:
    stream = io.StringIO()
    with PlainDisplay(stream) as shown:
        shown.event("something happened")
        shown.show(STATUS)
        shown.finish(STATUS)
    lines = stream.getvalue().splitlines()
    assert lines[0] == "- something happened"
    assert lines[1] == plain_line(STATUS)
    assert "\x1b" not in stream.getvalue()
    for text in ("0:12 running: vocals", "in -6.0 out -inf dBFS", "mask age 32.0 ms", "underruns 3"):
        assert text in lines[1]


def test_json_is_one_object_a_line() -> None:
    stream = io.StringIO()
    with JsonDisplay(stream) as shown:
        shown.event('two\nlines and "quotes"')
        shown.show(STATUS)
        shown.show(replace(STATUS, mask_age=None))
        shown.finish(STATUS)
    found = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [line["type"] for line in found] == ["event", "status", "status", "summary"]
    assert found[0]["text"] == 'two\nlines and "quotes"'
    assert found[1]["state"] == "running"
    assert found[1]["latency"]["total"] == pytest.approx(0.06)
    assert found[2]["mask_age"] is None


def test_json_has_no_numbers_that_json_has_not() -> None:
    line = json_line("result", {"a": math.nan, "b": [math.inf, 1.5], "c": {"d": -math.inf}})
    assert json.loads(line) == {**json.loads(line), "a": None, "b": [None, 1.5], "c": {"d": None}}


@pytest.mark.parametrize("make", [JsonDisplay, PlainDisplay])
def test_a_reader_that_is_gone_is_remembered(make: type[JsonDisplay] | type[PlainDisplay]) -> None:
    with make(Gone()) as shown:
        assert not shown.closed
        shown.show(STATUS)
        assert shown.closed
        shown.event("nobody hears this")
        shown.finish(STATUS)


def test_the_display_fits_the_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    assert isinstance(display.open_display(False), PlainDisplay)
    assert isinstance(display.open_display(True), JsonDisplay)
    monkeypatch.setattr(sys, "stderr", Terminal())
    assert isinstance(display.open_display(False), Meters)
    assert isinstance(display.open_display(True), JsonDisplay)


def test_plain_display_does_without_rich() -> None:
    code = "import sys; import qsep_live.ui.meters, qsep_live.ui.lines; print('rich' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_progress_is_silent_where_there_is_no_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with progress_bar("song", 10.0) as advance:
        advance(5.0)
    told = capsys.readouterr()
    assert told.out + told.err == ""
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with progress_bar("[song] → vocals.wav", 10.0) as advance:
        advance(5.0)
    assert "[song]" in terminal.getvalue()
    with progress_bar("quiet", 10.0, hidden=True) as advance:
        advance(5.0)
    assert "quiet" not in terminal.getvalue()


def test_columns_line_up() -> None:
    assert columns([("a", "long text"), ("bcd", "x")], ("N", "TEXT")) == ["N    TEXT", "a    long text", "bcd  x"]
    assert columns([]) == []

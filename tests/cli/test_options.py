from __future__ import annotations

import math
from typing import Any, get_args

import click
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from qsep_live.cli import live, options
from qsep_live.cli.main import cli
from qsep_live.engine import audio_process, mix, session, signal_path


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (options.DELAY, "25ms", 0.025),
        (options.DELAY, "25 ms", 0.025),
        (options.DELAY, "0.1s", 0.1),
        (options.DELAY, ".1 S", 0.1),
        (options.DELAY, "100", 0.1),
        (options.DELAY, "auto", "auto"),
        (options.DELAY, "centred", "centred"),
        (options.DELAY, "centered", "centred"),
        (options.DURATION, "90", 90.0),
        (options.DURATION, "90s", 90.0),
        (options.DURATION, "5m", 300.0),
        (options.DURATION, "1h", 3600.0),
        (options.SHARE, "0.5", 0.5),
        (options.SHARE, "50%", 0.5),
        (options.SHARE, "50 %", 0.5),
        (options.SHARE, "0", 0.0),
        (options.GAIN, "-6dB", -6.0),
        (options.GAIN, "+6", 6.0),
        (options.RATE, "44.1k", 44100),
        (options.RATE, "48000", 48000),
        (options.RATE, "96 kHz", 96000),
    ],
)
def test_quantities(kind: click.ParamType, text: str, value: object) -> None:
    assert kind.convert(text, None, None) == pytest.approx(value) if isinstance(value, float) else value


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (options.DELAY, "soon"),
        (options.DELAY, "-5ms"),
        (options.DELAY, "1e9s"),
        (options.DELAY, "5 minutes"),
        (options.DELAY, "nan"),
        (options.DURATION, "0"),
        (options.DURATION, "inf"),
        (options.SHARE, "50"),
        (options.SHARE, "101%"),
        (options.SHARE, "-0.1"),
        (options.GAIN, "13"),
        (options.GAIN, "-61dB"),
        (options.RATE, "3"),
        (options.RATE, "fast"),
    ],
)
def test_bad_quantities_say_what_would_be_right(kind: click.ParamType, text: str) -> None:
    with pytest.raises(click.BadParameter, match=r"give a|is not a"):
        kind.convert(text, None, None)


@given(st.floats(0.0, 100.0, allow_subnormal=False))
def test_any_percentage_is_a_share(percent: float) -> None:
    assert math.isclose(options.SHARE.convert(f"{percent:.6f}%", None, None), percent / 100, abs_tol=1e-8)


@given(st.text(max_size=20))
def test_any_text_is_a_delay_or_a_usage_error(text: str) -> None:
    try:
        value = options.DELAY.convert(text, None, None)
    except click.BadParameter:
        return
    assert value in ("auto", "centred") or 0.0 <= value < 3600.0


def test_the_lists_are_those_of_the_engine() -> None:
    assert options.MODES == mix.MODES
    assert (session.GAIN.minimum, session.GAIN.maximum) == options.GAIN_RANGE
    assert audio_process.LARGEST_BLOCK == options.LARGEST_BLOCK
    (fallback,) = [parameter for parameter in cli.params if parameter.name == "fallback"]
    assert isinstance(fallback.type, click.Choice)
    assert tuple(fallback.type.choices) == get_args(signal_path.Fallback)


def parsed(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> live.LiveOptions:
    caught: list[live.LiveOptions] = []
    monkeypatch.setattr(live, "run", caught.append)
    result = CliRunner().invoke(cli, arguments, standalone_mode=False)
    assert result.exception is None, result.exception
    return caught[0]


def test_no_options_at_all_mean_live_vocals_on_the_default_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    found = parsed(monkeypatch)
    assert found.parts == (options.PartOption(("vocals",)),)
    assert (found.input, found.output, found.delay, found.rate) == (None, None, None, None)
    assert (found.mode, found.wet, found.gain, found.device) == ("isolate", 1.0, 0.0, "auto")


def test_preset_names_keep_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    assert parsed(monkeypatch, "--preset", "b, a", "-p", "c").parts == (options.PartOption(("b", "a", "c")),)


def test_presets_with_channels_sound_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    found = parsed(monkeypatch, "-p", "b, a:1-2", "-p", "c:4", "--rack", "x.toml", "--rack", "none")
    assert found.parts == (options.PartOption(("b", "a"), (0, 1)), options.PartOption(("c",), (3,)))
    assert found.racks == ("x.toml", "none")


@pytest.mark.parametrize(
    ("presets", "told"),
    [
        (("a:1-2", "b"), "'b' has no output channels"),
        (("a:1-2", "b:2-3"), "a:1-2 and b:2-3 share output channel 2"),
        (("a:4", "b:4"), "share output channel 4"),
        (("a:1-2", "a:1-2"), "share output channel 1"),
        (("a:0",), "up to 64"),
        (("a:0-1",), "up to 64"),
        (("a:65",), "up to 64"),
        (("a:1-3",), "two neighbouring output channels"),
        (("a:2-1",), "two neighbouring output channels"),
        (("a:2-2",), "two neighbouring output channels"),
        (("a:",), "is no output channels"),
        (("a:left",), "is no output channels"),
        (("a:-1",), "is no output channels"),
        (("a:1-2-3",), "is no output channels"),
        (("a:\u0661",), "is no output channels"),
        ((":1-2",), "an empty name"),
    ],
)
def test_channels_that_cannot_be_meant(presets: tuple[str, ...], told: str) -> None:
    arguments = [part for preset in presets for part in ("-p", preset)]
    with pytest.raises(click.BadParameter, match=told):
        CliRunner().invoke(cli, arguments, standalone_mode=False, catch_exceptions=False)


def test_every_option_arrives(monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, tuple[str, Any]] = {
        "input": ("Scarlett", "Scarlett"),
        "output": ("out.wav", "out.wav"),
        "mode": ("remove", "remove"),
        "wet": ("50%", 0.5),
        "gain": ("-3", -3.0),
        "delay": ("25ms", 0.025),
        "blocksize": ("256", 256),
        "rate": ("48k", 48000),
        "midi": ("nano", "nano"),
        "mapping": ("map.toml", "map.toml"),
        "model": ("m.safetensors", "m.safetensors"),
        "device": ("cpu", "cpu"),
        "threads": ("2", 2),
        "ahead": ("3", 3),
        "record": ("take.wav", "take.wav"),
        "duration": ("2m", 120.0),
        "fallback": ("silence", "silence"),
        "lockstep": ("50ms", 0.05),
    }
    arguments = [part for name, (text, _) in given.items() for part in (f"--{name}", text)]
    found = parsed(monkeypatch, *arguments, "--rack", "rack.toml", "--no-midi", "--json", "--overwrite")
    assert {name: getattr(found, name) for name in given} == {name: value for name, (_, value) in given.items()}
    assert found.racks == ("rack.toml",)
    assert found.no_midi
    assert found.as_json
    assert found.overwrite

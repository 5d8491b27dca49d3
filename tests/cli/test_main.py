from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest

from qsep_live import __version__
from qsep_live.cli import live
from qsep_live.cli.main import _COMMANDS

HEAVY = ("numpy", "torch", "sounddevice", "soundfile", "pedalboard", "rtmidi", "rich", "openvino", "multiprocessing")


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["render", "--help"], ["presets", "new", "--help"]])
def test_help_imports_nothing_heavy(start: Callable[..., Any], arguments: list[str]) -> None:
    process = start(*arguments, PYTHONPROFILEIMPORTTIME="1")
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0
    assert out
    imported = {line.rsplit("|", 1)[-1].strip().split(".")[0] for line in err.splitlines()}
    assert "click" in imported  # the listing is really there
    assert not imported & set(HEAVY)


def test_help_names_every_command_and_option(qsep: Callable[..., Any]) -> None:
    told = qsep("--help")
    assert told.code == 0
    for word in (*_COMMANDS, "--preset", "--delay", "--midi", "--record", "--json"):
        assert word in told.out
    assert "--lockstep" not in told.out


@pytest.mark.parametrize(
    "path",
    [
        *([name] for name in _COMMANDS),
        *(["presets", name] for name in ("list", "show", "new", "blend", "retrain", "remove")),
        *(["bench", name] for name in ("mask", "callback", "live", "startup", "memory")),
    ],
    ids=" ".join,
)
def test_every_command_has_help(qsep: Callable[..., Any], path: list[str]) -> None:
    told = qsep(*path, "--help")
    assert (told.code, told.err) == (0, "")
    assert f"Usage: qsep-live {' '.join(path)}" in told.out


def test_version(qsep: Callable[..., Any]) -> None:
    assert qsep("--version").out == f"qsep-live {__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["rendre"], ["rendre", "did you mean 'render'"]),
        (["xyzzy"], ["xyzzy", "there are render, presets, models, devices, doctor, demo"]),
        (["song.wav"], ["song.wav", "--input song.wav --output OUT.wav"]),
        (["--presets", "vocals"], ["--presets", "--preset"]),
        (["--wet", "50"], ["--wet", "0% to 100%"]),
        (["--mode", "karaoke"], ["--mode", "isolate", "remove", "balance"]),
        (["--blocksize", "-1"], ["--blocksize"]),
        (["--threads", "0"], ["--threads"]),
        (["--delay"], ["--delay", "argument"]),
        (["--preset", "vocals,,drums"], ["--preset", "empty name"]),
        (["--preset", "vocals", "devices"], ["--preset goes behind the command", "qsep-live devices --preset"]),
        (["--output", "demo"], ["--output demo", "device or a file"]),
        (["render"], ["IN..."]),
        (["presets", "shwo", "x"], ["shwo"]),
        (["presets", "blend", "x", "--between", "one"], ["--between", "2"]),
        (["presets", "new", "x"], ["--query"]),
    ],
    ids=lambda value: " ".join(value),
)
def test_usage_errors_are_one_line_and_exit_code_2(
    qsep: Callable[..., Any], arguments: list[str], words: list[str]
) -> None:
    told = qsep(*arguments)
    told.fails(2, *words)
    assert told.out == ""


def test_what_nobody_thought_of_is_one_line_too(qsep: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_options: live.LiveOptions) -> None:
        raise ZeroDivisionError("a cause\nof two lines")

    monkeypatch.setattr(live, "run", fail)
    qsep("--preset", "one").fails(
        1, "ZeroDivisionError", "test_main.py:", "a cause of two lines", "QSEP_LIVE_TRACEBACK=1"
    )
    monkeypatch.setenv("QSEP_LIVE_TRACEBACK", "1")
    told = qsep("--preset", "one")
    assert told.code == 1
    assert "Traceback (most recent call last)" in told.err
    assert told.err.splitlines()[-1].startswith("qsep-live: error: unexpected ZeroDivisionError")


def test_the_module_and_its_exit_code(spawn: Callable[..., Any]) -> None:
    told = spawn("--preset")
    told.fails(2, "--preset")


def test_a_reader_that_leaves_is_no_traceback(start: Callable[..., Any]) -> None:
    read, write = os.pipe()
    os.close(read)
    process = start("presets", "show", "one", stdout=write)
    os.close(write)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert err == ""


def test_names_that_the_terminal_cannot_show_are_no_error(spawn: Callable[..., Any]) -> None:
    told = spawn("--input", "Gerät·♫.wav", "--output", "x.wav", PYTHONIOENCODING="ascii")
    told.fails(1, "no such file")


@pytest.mark.parametrize("group", ["compose", "bench", "slakh", "experiment"])
def test_a_group_without_a_command_shows_its_help(qsep, group):
    told = qsep(group)
    assert told.code == 2
    assert "error" not in told.err.splitlines()[0]
    assert told.err.startswith(f"Usage: qsep-live {group}")
    assert len(told.err.splitlines()) > 5


@pytest.mark.parametrize(("word", "does"), [
    ("separate", "render SONG --stems"), ("karaoke", "render SONG --two vocals"), ("instrumental", "--mode remove"),
])  # fmt: skip
def test_what_is_typed_from_habit_gets_the_command_that_does_it(qsep, word, does):
    qsep(word, "song.mp3").fails(2, f"there is no command {word!r}", does)

"""Signals that come where what a handler raises is lost: in a C library's callbacks, in Python's import."""

from __future__ import annotations

import signal
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qsep_live.audio import writer
from qsep_live.audio.writer import AudioWriter
from qsep_live.cli import main
from qsep_live.cli.interrupt import Interrupted, Interrupts
from qsep_live.unbroken import unbroken


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("call", [0, 1, 3])
def test_a_signal_within_libsndfile_ends_the_work_and_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: Any, number: signal.Signals, call: int
) -> None:
    """Raised there, it was printed and forgotten: the first write is of the header, as the file is opened."""
    calls = 0
    real = writer._Disk.write

    def interrupted(disk: writer._Disk, data: Any) -> int:
        nonlocal calls
        if calls == call:
            signal.raise_signal(number)
        calls += 1
        return real(disk, data)

    monkeypatch.setattr(writer._Disk, "write", interrupted)

    def work() -> None:
        with Interrupts(), AudioWriter(tmp_path / "out.wav", 44100, 2) as file:
            for _ in range(20):
                file.write(np.zeros((4096, 2), np.float32))

    with pytest.raises(Interrupted) as caught:
        work()
    assert caught.value.number == number
    assert calls > call
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr().err == ""


def test_the_signal_is_raised_when_the_outermost_call_is_over() -> None:
    reached = []

    def work() -> None:
        with Interrupts() as interrupts:
            with unbroken():
                with unbroken():
                    signal.raise_signal(signal.SIGINT)
                    reached.append("inner")
                reached.append("outer")
                assert interrupts.wished
            reached.append("never")

    with pytest.raises(Interrupted):
        work()
    assert reached == ["inner", "outer"]
    with unbroken():
        pass


def test_without_such_calls_it_is_raised_at_once() -> None:
    with Interrupts(), pytest.raises(Interrupted):
        signal.raise_signal(signal.SIGTERM)


def test_one_that_was_swallowed_ends_the_work_at_the_next_write(tmp_path: Path) -> None:
    """As Python's import does it, of a name that is not there."""

    def work() -> None:
        with Interrupts(), AudioWriter(tmp_path / "out.wav", 44100, 2) as file:
            with suppress(BaseException):
                signal.raise_signal(signal.SIGINT)
            file.write(np.zeros((4096, 2), np.float32))

    with pytest.raises(Interrupted):
        work()
    assert list(tmp_path.iterdir()) == []
    with Interrupts(), AudioWriter(tmp_path / "next.wav", 44100, 2) as file:
        file.write(np.zeros((4096, 2), np.float32))
    assert (tmp_path / "next.wav").exists()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_error_that_it_left_behind_is_not_what_is_told(
    monkeypatch: pytest.MonkeyPatch, capfd: Any, number: signal.Signals, code: int
) -> None:
    def work(**_: object) -> None:
        with suppress(BaseException):
            signal.raise_signal(number)
        raise TypeError("expected a message argument")

    monkeypatch.setattr(main.cli, "main", work)
    assert main.run([]) == code
    assert capfd.readouterr().err == "qsep-live: interrupted\n"

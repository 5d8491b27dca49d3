from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from types import ModuleType, SimpleNamespace

import pytest

from qsep_live.engine.child import FAILED, USAGE
from qsep_live.engine.worker import FIRST_WAIT, LONGEST_WAIT, Worker

PATIENCE = 30.0


@pytest.fixture
def hire() -> Iterator[Callable[..., Worker]]:
    """Makes workers, and sees that none outlives the test."""
    made: list[Worker] = []

    def make(main: Callable[..., None], *arguments: object) -> Worker:
        made.append(Worker("test", main, lambda _start: arguments))
        return made[-1]

    yield make
    for worker in made:
        worker.kill()


def test_a_child_says_ready_and_lives_until_killed(children: ModuleType, hire: Callable[..., Worker]) -> None:
    worker = hire(children.say_ready_and_wait, 5)
    assert not worker.alive
    assert worker.pid is worker.exitcode is None
    assert worker.words() == []
    worker.start()
    word = worker.wait_for(("ready", "error"), PATIENCE)
    assert word is not None
    assert (word.kind, word.text, word.data) == ("ready", "here", {"start": 5})
    assert worker.alive
    assert worker.wait_for(("ready",), 0.05) is None, "it says it once"
    worker.kill()
    assert not worker.alive
    assert worker.exitcode
    assert worker.restarts == 0


@pytest.mark.parametrize(
    ("main", "argument", "kind", "text", "code"),
    [
        ("raise_usage", "no device 'x'; there are: y", "usage", "no device 'x'; there are: y", USAGE),
        ("raise_failure", "the disk is full", "error", "the disk is full", FAILED),
    ],
)
def test_errors_meant_for_people_arrive_as_they_are(
    children: ModuleType, hire: Callable[..., Worker], main: str, argument: str, kind: str, text: str, code: int
) -> None:
    worker = hire(getattr(children, main), argument)
    worker.start()
    word = worker.wait_for(("ready", "error", "usage"), PATIENCE)
    assert word is not None
    assert (word.kind, word.text) == (kind, text)
    worker.join(PATIENCE)
    assert worker.exitcode == code


def test_any_other_error_is_one_line_that_says_where(
    children: ModuleType, hire: Callable[..., Worker], capfd: pytest.CaptureFixture[str]
) -> None:
    worker = hire(children.divide, 0)
    worker.start()
    word = worker.wait_for(("error",), PATIENCE)
    assert word is not None
    assert word.text.startswith("engine_children: ZeroDivisionError: division by zero (engine_children.py:")
    assert "\n" not in word.text
    worker.join(PATIENCE)
    assert worker.exitcode == FAILED
    assert "Traceback" not in capfd.readouterr().err


def test_words_are_heard_after_the_child_has_ended(children: ModuleType, hire: Callable[..., Worker]) -> None:
    worker = hire(children.end_well)
    worker.start()
    worker.join(PATIENCE)
    assert worker.exitcode == 0
    assert [(word.kind, word.text) for word in worker.words()] == [("event", "done")]
    assert worker.words() == []
    assert worker.wait_for(("ready",), PATIENCE) is None


def test_waiting_for_a_child_that_ended_does_not_take_the_whole_patience(
    children: ModuleType, hire: Callable[..., Worker]
) -> None:
    worker = hire(children.end_well)
    worker.start()
    before = time.monotonic()
    assert worker.wait_for(("ready",), 10 * PATIENCE) is None
    assert time.monotonic() - before < 9 * PATIENCE


def test_a_killed_child_is_started_again_later_each_time(
    children: ModuleType, hire: Callable[..., Worker], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clock is the test's, so that the waits can be read off; the processes are real."""
    clock = [1000.0]
    monkeypatch.setattr("qsep_live.engine.worker.time", SimpleNamespace(monotonic=lambda: clock[0], sleep=time.sleep))
    worker = hire(children.say_ready_and_wait, 1)
    worker.start()
    waits = []
    for lived in (1.0, 1.0, 1.0, 1.0, 1.0, 60.0):
        clock[0] += lived
        worker.kill()
        assert not worker.alive
        died = clock[0]
        while not worker.restart_when_due():
            clock[0] += 0.05
        waits.append(round(clock[0] - died, 2))
        assert worker.alive
    assert waits == [*sorted(waits[:-1]), pytest.approx(FIRST_WAIT, abs=0.051)]
    assert waits[0] == pytest.approx(2 * FIRST_WAIT, abs=0.051)
    assert waits[4] == pytest.approx(LONGEST_WAIT, abs=0.051)
    assert worker.restarts == 6


def test_a_hang_is_judged_by_what_the_child_has_said(children: ModuleType, hire: Callable[..., Worker]) -> None:
    worker = hire(children.say_ready_and_wait, 1)
    assert not worker.hangs(0.0, 0.0, 0.0), "it was never started"
    worker.start()
    assert not worker.hangs(0.0, PATIENCE, 0.0), "it may take its time to be ready"
    assert worker.hangs(time.monotonic(), 0.0, PATIENCE)
    assert worker.wait_for(("ready",), PATIENCE) is not None
    assert not worker.hangs(0.0, 0.0, PATIENCE), "from ready on, the time to the first beat counts"
    time.sleep(0.05)
    assert worker.hangs(0.0, PATIENCE, 0.04)
    assert not worker.hangs(time.monotonic(), PATIENCE, 0.04)
    worker.kill()
    assert not worker.hangs(0.0, 0.0, 0.0)


def test_what_is_said_after_the_word_waited_for_is_not_lost(children: ModuleType, hire: Callable[..., Worker]) -> None:
    worker = hire(children.say_ready_and_more, 3)
    worker.start()
    heard: list[str] = []
    assert worker.wait_for(("ready",), PATIENCE) is not None
    until = time.monotonic() + PATIENCE
    while len(heard) < 3 and time.monotonic() < until:
        heard += [word.text for word in worker.words()]
    assert heard == ["0", "1", "2"]

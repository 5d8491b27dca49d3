"""The processes are real, and so are their beats' places; only the clock they are judged by can leap."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from qsep_live.engine.care import (
    HUNG,
    MODEL_PATIENCE,
    OPEN_PATIENCE,
    SLOW_STEPS,
    AudioCare,
    Care,
    DeviceCare,
    InputCare,
    MaskCare,
    MidiCare,
)
from qsep_live.engine.child import Word
from qsep_live.engine.shared import Board
from qsep_live.engine.worker import LONGEST_WAIT, Worker

PATIENCE = 30.0
NAMES: dict[type[Care], str] = {AudioCare: "audio", MaskCare: "mask", MidiCare: "MIDI", InputCare: "input"}
KINDS = pytest.mark.parametrize("kind", NAMES, ids=NAMES.values())


class Clock:
    """The machine's until it is stopped, and what the test adds to it."""

    def __init__(self) -> None:
        self.leapt = 0.0
        self._stopped: float | None = None

    def __call__(self) -> float:
        return self.leapt + (time.monotonic() if self._stopped is None else self._stopped)

    def stop(self) -> None:
        self._stopped = time.monotonic()


class Case:
    """One process under care, and what was heard of it."""

    def __init__(self, kind: type[Care], worker: Worker, board: Board, clock: Clock) -> None:
        self.worker, self.board, self.clock = worker, board, clock
        self.lines: list[str] = []
        self.played: list[tuple[bytes, float]] = []
        self.backs: list[Word] = []
        self.losses = 0
        more: dict[str, Any] = {}
        if issubclass(kind, MidiCare):
            more = {"play": lambda message, stamp: self.played.append((message, stamp))}
        elif issubclass(kind, DeviceCare):
            more = {"back": self.backs.append, "lost": self._lose}
        self.care = kind(worker, board, self.lines.append, **more)

    def _lose(self) -> None:
        self.losses += 1

    def start(self) -> None:
        self.worker.start()
        assert self.worker.wait_for(("ready",), PATIENCE) is not None

    def look(self, trust: float = 0.0) -> None:
        self.care.look(self.clock(), trust)

    def look_until(self, done: Callable[[], bool]) -> None:
        """Look as the host does, but leap over the time that a dead process waits for its start."""
        until = time.monotonic() + PATIENCE
        while not done():
            assert time.monotonic() < until, self.lines
            self.look()
            if not self.worker.alive:
                self.clock.leapt += LONGEST_WAIT
            time.sleep(0.01)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("qsep_live.engine.worker.time", SimpleNamespace(monotonic=clock, sleep=time.sleep))
    return clock


@pytest.fixture
def take(clock: Clock) -> Iterator[Callable[..., Case]]:
    """Takes a process into care, and sees that none outlives the test.

    The child gets ``arguments``, after the number of its start if it is ``counted``.
    """
    board = Board()
    workers: list[Worker] = []

    def make(kind: type[Care], main: Callable[..., None], *arguments: object, counted: bool = False) -> Case:
        workers.append(Worker(NAMES[kind], main, lambda start: (start, *arguments) if counted else arguments))
        return Case(kind, workers[-1], board, clock)

    yield make
    for worker in workers:
        worker.kill()
    board.close()


@pytest.mark.parametrize("kind", [MaskCare, MidiCare], ids=["mask", "MIDI"])
def test_a_process_that_ended_is_started_again_and_it_is_said_once(
    children: ModuleType, take: Callable[..., Case], kind: type[Care]
) -> None:
    case = take(kind, children.say_and_wait, Word("ready"), Word("event", "heard"))
    case.start()
    case.look_until(lambda: bool(case.lines))
    case.worker.kill()
    case.look()
    assert len(case.lines) == 1, "it is not due yet"
    case.look_until(lambda: case.lines.count(case.lines[0]) == 2)
    assert case.worker.alive
    assert case.worker.restarts == 1
    again = f"the {NAMES[kind]} process had ended; started again"
    if kind is MaskCare:
        assert case.lines == ["mask process: heard", again, "the mask process is back", "mask process: heard"]
    else:
        assert case.lines == ["heard", again, "heard"]


def test_what_a_mask_process_says_as_it_ends_comes_before_its_new_start(
    children: ModuleType, take: Callable[..., Case]
) -> None:
    case = take(MaskCare, children.raise_failure, "the network raised")
    case.worker.start()
    case.worker.join(PATIENCE)
    case.look_until(lambda: len(case.lines) >= 2)
    assert case.lines == ["mask process: the network raised", "the mask process had ended; started again"]


@KINDS
def test_one_that_hangs_is_killed_and_it_is_said(
    children: ModuleType, take: Callable[..., Case], kind: type[Care]
) -> None:
    case = take(kind, children.say_ready_and_wait, 1)
    case.start()
    case.clock.stop()
    case.clock.leapt += 2 * HUNG
    case.board.beats[kind.beat] = case.clock()
    case.clock.leapt += HUNG - 0.1
    case.look()
    assert case.worker.alive, "its last beat is not that long ago"
    assert case.lines == []
    case.clock.leapt += 0.2
    for other in NAMES:
        if other is not kind:
            case.board.beats[other.beat] = case.clock()
    case.look()
    assert not case.worker.alive, "others have beaten, not it"
    assert case.lines == [f"the {NAMES[kind]} process hung; killed"]
    assert case.losses == 0, "that is for the next look"
    case.look()
    assert case.losses == (1 if issubclass(kind, DeviceCare) else 0)


@KINDS
def test_nothing_counts_as_hung_before_it_is_trusted_to_beat_again(
    children: ModuleType, take: Callable[..., Case], kind: type[Care]
) -> None:
    case = take(kind, children.say_ready_and_wait, 1)
    case.start()
    case.clock.leapt += 100 * MODEL_PATIENCE
    case.clock.stop()
    case.look(trust=case.clock() + 0.01)
    assert case.worker.alive
    assert case.lines == []
    case.look(trust=case.clock())
    assert case.lines == [f"the {NAMES[kind]} process hung; killed"]


@KINDS
def test_one_that_never_gets_ready_is_killed_later(
    children: ModuleType, take: Callable[..., Case], kind: type[Care]
) -> None:
    case = take(kind, children.say_and_wait)
    case.clock.stop()
    case.worker.start()
    case.clock.leapt += (MODEL_PATIENCE if kind is MaskCare else OPEN_PATIENCE) - 0.1
    case.look()
    assert case.worker.alive
    assert case.lines == []
    case.clock.leapt += 0.2
    case.look()
    assert case.lines == [f"the {NAMES[kind]} process hung; killed"]


@pytest.mark.parametrize(("kind", "sound"), [(AudioCare, "sound"), (InputCare, "the input")], ids=["audio", "input"])
def test_a_device_that_stays_away_is_complained_of_once_till_it_is_back(
    children: ModuleType, take: Callable[..., Case], kind: type[Care], sound: str
) -> None:
    case = take(kind, children.open_at_some_starts, (3, 5), counted=True)
    case.worker.start()
    case.look_until(lambda: bool(case.backs))
    assert case.lines == ["no device 'x'", f"{sound} is back: x, start 3"]
    assert case.worker.restarts == 2, "it was tried every time"
    assert case.losses >= 4, "two looks at least at each end: one before the new start is due, one when it is"
    before = case.losses
    case.look()
    assert case.losses == before
    case.worker.kill()
    case.look_until(lambda: len(case.backs) == 2)
    assert case.lines[2:] == ["no device 'x'", f"{sound} is back: x, start 5"]
    assert [word.text for word in case.backs] == ["x, start 3", "x, start 5"]


def test_midi_is_played_and_its_port_and_losses_are_kept(children: ModuleType, take: Callable[..., Case]) -> None:
    turn, note = bytes([0xB0, 7, 100]), bytes([0x90, 60, 1])
    case = take(
        MidiCare,
        children.say_and_wait,
        Word("event", "MIDI: listening to pad", {"port": "pad"}),
        Word("midi", data={"messages": [(1.5, turn), (1.75, note)], "dropped": 0}),
        Word("event", "", {"port": "pad 2"}),
        Word("midi", data={"messages": [(2.0, turn)], "dropped": 3}),
    )
    care = case.care
    assert isinstance(care, MidiCare)
    assert (care.port, care.dropped) == (None, 0)
    case.worker.start()
    case.look_until(lambda: care.dropped == 3)
    assert case.played == [(turn, 1.5), (note, 1.75), (turn, 2.0)]
    assert case.lines == ["MIDI: listening to pad"], "a word without text is for the host alone"
    assert care.port == "pad 2"
    case.worker.kill()
    case.look()
    assert (care.port, care.dropped) == (None, 3)


@pytest.mark.parametrize(
    ("step", "patience"),
    [(0.02, HUNG), (1.0, SLOW_STEPS * 1.0), (60.0, MODEL_PATIENCE)],
    ids=["usual", "slow", "slower than all patience"],
)
def test_a_slow_step_of_the_mask_lengthens_patience(
    children: ModuleType, take: Callable[..., Case], step: float, patience: float
) -> None:
    case = take(MaskCare, children.say_ready_and_wait, 1)
    case.start()
    case.board.mask.publish(step_seconds=step)
    case.clock.stop()
    case.clock.leapt += 100.0
    case.board.beats[MaskCare.beat] = case.clock()
    case.clock.leapt += patience - 0.1
    case.look()
    assert case.worker.alive
    assert case.lines == []
    case.clock.leapt += 0.2
    case.look()
    assert case.lines == ["the mask process hung; killed"]

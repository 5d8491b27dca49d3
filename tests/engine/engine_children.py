"""The other processes of this room's tests: they are spawned, so what they run must be importable."""

from __future__ import annotations

import os
import time
from multiprocessing.connection import Connection

import numpy as np

from qsep_live.dsp.grid import BINS, FRAMES
from qsep_live.engine.child import Word, tell
from qsep_live.engine.gain_field import GainFrames
from qsep_live.engine.shared import CONTROL, Board
from qsep_live.errors import QsepError, UsageError


def consistent_frames(number: int) -> GainFrames:
    """Gains of which every part tells the number."""
    count = 1 + number % FRAMES
    gains = np.full((count, BINS), np.float32(number % 4096), np.float32)
    return GainFrames(number, number + 0.5, number + 1.0, gains)


def publish_without_pause(name: str, what: str) -> None:
    """Lap the readers: publish to the mailbox or the control record until told to stop."""
    board = Board(name)
    stop, beat = board.stream, 0
    while True:
        stop.refresh()
        if stop["epoch"] == 99:
            break
        beat += 1
        if what == "mailbox":
            board.mailbox.publish(consistent_frames(beat), 7)
        else:
            board.control.publish(**dict.fromkeys(CONTROL, float(beat)))


def attach_and_leave(name: str) -> None:
    """Attach, write, and leave as the audio process does when its server is dead."""
    board = Board(name)
    board.beats[2] = 42.0
    os._exit(0)


def say_ready_and_wait(link: Connection, number: int) -> None:
    tell(link, Word("ready", "here", {"start": number}))
    time.sleep(60)


def say_ready_and_more(link: Connection, number: int) -> None:
    tell(link, Word("ready"))
    for place in range(number):
        tell(link, Word("event", str(place)))
    time.sleep(60)


def raise_usage(link: Connection, text: str) -> None:
    raise UsageError(text)


def raise_failure(link: Connection, text: str) -> None:
    raise QsepError(text)


def divide(link: Connection, divisor: int) -> None:
    tell(link, Word("event", "about to divide"))
    print(1 / divisor)


def end_well(link: Connection) -> None:
    tell(link, Word("event", "done"))


def say_and_wait(link: Connection, *words: Word) -> None:
    for word in words:
        tell(link, word)
    time.sleep(60)


def open_at_some_starts(link: Connection, start: int, those: tuple[int, ...]) -> None:
    """A device that is there at ``those`` starts only."""
    if start not in those:
        raise QsepError("no device 'x'")
    tell(link, Word("ready", f"x, start {start}"))
    time.sleep(60)

"""The input process: an input device with a clock of its own, away from the sound that goes out.

PortAudio sees the devices of one JACK server, and a device that dies takes its process with it: so the output plays on
while this one is started again.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from qsep_live.dsp.clock import BlockClock
from qsep_live.engine.child import LOST, Word, tell
from qsep_live.engine.endpoint import Endpoint
from qsep_live.engine.shared import Board
from qsep_live.engine.stream_watch import StreamWatch

if TYPE_CHECKING:
    from qsep_live.audio.stream import StreamTimes

BEAT = 3


@dataclass(frozen=True)
class InputSettings:
    """What to open. ``rate`` is taken where the device has it, its own otherwise."""

    input: Endpoint
    rate: int | None
    blocksize: int


class Capture:
    """The callback: blocks to the ring, and when they came."""

    def __init__(self, board: Board, rate: int) -> None:
        board.input.refresh()
        self._board = board
        self._clock = BlockClock(rate)
        self._clock.position = board.captured.written
        self._largest = self._overruns = 0
        self._fixed = {"epoch": board.input["epoch"] + 1, "rate": float(rate), "first": float(board.captured.written)}

    def process(self, indata: NDArray[np.float32], _outdata: NDArray[np.float32], times: StreamTimes) -> None:
        now = time.perf_counter()
        frames = len(indata)
        self._board.captured.write(indata)
        due = self._clock.tick(now, frames)
        self._largest = max(self._largest, frames)
        self._overruns += times.input_overflow
        self._board.input.publish(
            **self._fixed,
            position=self._clock.position,
            time=due,
            seconds=self._clock.seconds,
            block=self._largest,
            latency=times.input_latency,
            overruns=self._overruns,
        )


def input_main(link: Connection, board_name: str, settings: InputSettings) -> None:
    """Entry point of the process, through `run_child`."""
    board = Board(board_name)
    device = settings.input.find_device("input")
    from qsep_live.audio.stream import DuplexStream, choose_rate

    rate = choose_rate(device, None, settings.rate if settings.rate in device.rates else None)
    capture = Capture(board, rate)
    stream = DuplexStream(device, None, rate, settings.blocksize, 2, capture.process)
    watch = StreamWatch(board, BEAT, stream)
    tell(link, Word("ready", f"{settings.input.server or device.label} at {rate} Hz"))
    while watch.turn():
        if (why := watch.lost) is not None:
            tell(link, Word("event", f"input lost: {why}"))
            with suppress(OSError):
                link.close()
            os._exit(LOST)
    if not stream.abort():
        os._exit(0)

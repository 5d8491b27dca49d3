"""How long a block takes against its budget, with the mask process beside it and without; no sound card needed."""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from qsep_live.audio.demo import demo_song
from qsep_live.audio.stream import StreamTimes
from qsep_live.engine.audio_core import AudioCore
from qsep_live.engine.delay import plan_delay
from qsep_live.engine.gain_field import GainField
from qsep_live.engine.mask_process import MaskSettings, mask_main
from qsep_live.engine.shared import Board
from qsep_live.engine.signal_path import SignalPath
from qsep_live.engine.worker import Worker
from qsep_live.errors import QsepError
from qsep_live.evaluation.bench_live import memory_of

RATE = 44_100


@dataclass(frozen=True)
class CallbackRow:
    """Seconds, but ``memory`` in bytes: the proportional set size of both processes."""

    blocksize: int
    mask: bool
    median: float
    p99: float
    p999: float
    period: float
    memory: int

    @property
    def budget(self) -> float:
        return self.blocksize / RATE


def callback_bench(
    model: Path, blocksizes: Sequence[int] = (64, 128, 256, 512), seconds: float = 10.0, delay: float = 0.1
) -> Iterator[CallbackRow]:
    """Feed the demo song block by block at the pace of a 44.1 kHz interface, stereo; one row a run."""
    song = demo_song().mixture
    for blocksize in blocksizes:
        for with_mask in (False, True):
            yield _run(model, song, blocksize, with_mask, seconds, delay)


def _run(model: Path, song: np.ndarray, blocksize: int, with_mask: bool, seconds: float, delay: float) -> CallbackRow:
    board = Board()
    worker = Worker("mask", mask_main, lambda _start: (board.name, MaskSettings(model)))
    try:
        if with_mask:
            worker.start()
            ready = worker.wait_for(("ready", "error", "usage"), 180.0)
            if ready is None or ready.kind != "ready":
                raise QsepError(ready.text if ready else "the mask process did not start")
        field = GainField()
        core = AudioCore(board, SignalPath(plan_delay(delay, RATE), 2, field), field, epoch=1, channels=2)
        board.control.publish(wet=1.0)
        board.stream.publish(epoch=1, rate=RATE, start=0)
        times = _pace(core, song, blocksize, seconds)
        board.mask.refresh()
        memory = memory_of([os.getpid(), *([worker.pid] if worker.alive and worker.pid else [])])
        board.control.publish(stop=1.0)
        worker.join(2.0)
        p50, p99, p999 = np.percentile(times, [50.0, 99.0, 99.9])
        return CallbackRow(blocksize, with_mask, p50, p99, p999, board.mask["period"] if with_mask else 0.0, memory)
    finally:
        worker.kill()
        board.close()


def _pace(core: AudioCore, song: np.ndarray, blocksize: int, seconds: float) -> np.ndarray:
    count = int(seconds * RATE / blocksize)
    times = np.zeros(count)
    out = np.zeros((blocksize, 2), np.float32)
    stamps = StreamTimes()
    gc.collect()
    gc.disable()
    try:
        start = time.perf_counter()
        for index in range(count):
            place = index * blocksize % (len(song) - blocksize)
            began = time.perf_counter()
            core.process(song[place : place + blocksize], out, stamps)
            times[index] = time.perf_counter() - began
            due = start + (index + 1) * blocksize / RATE
            wait = due - time.perf_counter()
            if wait > 0:
                time.sleep(wait)
    finally:
        gc.enable()
    return times[count // 10 :]

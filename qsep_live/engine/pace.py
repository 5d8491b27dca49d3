"""The mask process at work without a device: sound at the pace of an interface, and how old masks get.

Threading: the caller's thread stands in for the audio callback.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qsep_live.audio.stream import StreamTimes
from qsep_live.engine.audio_core import AudioCore
from qsep_live.engine.delay import plan_delay
from qsep_live.engine.foresight import Foresight
from qsep_live.engine.gain_field import GainField
from qsep_live.engine.limiter import Limiter
from qsep_live.engine.mask_process import MaskSettings, mask_main
from qsep_live.engine.shared import Board
from qsep_live.engine.signal_path import SignalPath
from qsep_live.engine.strip import Strip
from qsep_live.engine.worker import Worker
from qsep_live.errors import QsepError

RATE = 44_100
BLOCK = 256
PATIENCE = 180.0
"""Seconds that the mask process may take to load its model."""
MASKS, LONGEST_RUN = 10, 20.0
"""A slow machine is given so many seconds until there are so many masks."""


@dataclass(frozen=True)
class MaskPace:
    """How masks came, in seconds.

    Attributes
    ----------
    backend
        What they were made on.
    step
        Median time that a mask took.
    period
        Median time from one to the next.
    age
        95th percentile of a mask's age when the next one took its place, from its newest sample to the newest sample
        heard: what the delay dial has to reckon with.
    """

    backend: str
    step: float
    period: float
    age: float


def mask_pace(settings: MaskSettings, seconds: float = 2.0) -> MaskPace:
    """Run the live engine's own mask loop and audio callback for ``seconds`` on noise, or until there are some masks.

    Raises
    ------
    QsepError
        The mask process did not start, or gave no three masks in `LONGEST_RUN`.
    """
    sound = (0.1 * np.random.default_rng(0).standard_normal((2 * RATE, 2))).astype(np.float32)
    steps, periods, ages = [], [], []
    with masks_beside(settings) as (board, _worker, backend):
        seen, age = 0.0, -1.0

        def look() -> None:
            nonlocal seen, age
            before = age
            board.audio.refresh()
            board.mask.refresh()
            age = board.audio["mask_age"]
            if age < before:
                ages.append(before / RATE)
            if board.mask["steps"] > seen > 0:
                steps.append(board.mask["step_seconds"])
                periods.append(board.mask["period"])
            seen = board.mask["steps"]

        core, passed = open_core(board, 0.1, settings.presets), 0.0
        while passed < seconds or (len(ages) < MASKS and passed < LONGEST_RUN):
            paced(core, sound, BLOCK, seconds, look)
            passed += seconds
    if len(ages) < 3:
        raise QsepError(f"{backend}: {len(ages)} masks in {passed:.0f} s, too slow to follow music; try --threads")
    # The first few are of a machine that is still waking up.
    first = len(ages) // 10
    return MaskPace(
        backend,
        float(np.median(steps[first:])),
        float(np.median(periods[first:])),
        float(np.quantile(ages[first:], 0.95)),
    )


@contextmanager
def masks_beside(settings: MaskSettings | None) -> Iterator[tuple[Board, Worker, str]]:
    """A board, the mask process that follows it, if ``settings`` are given, and the name of its backend.

    Raises
    ------
    QsepError
        It did not start.
    """
    board = Board()
    worker = Worker("mask", mask_main, lambda _start: (board.name, settings))
    name = ""
    try:
        if settings is not None:
            worker.start()
            ready = worker.wait_for(("ready", "error", "usage"), PATIENCE)
            if ready is None or ready.kind != "ready":
                raise QsepError(ready.text if ready else "the mask process did not start")
            name = ready.text
        yield board, worker, name
        board.control.publish(stop=1.0)
        worker.join(2.0)
    finally:
        worker.kill()
        board.close()


def open_core(board: Board, delay: float, presets: int = 1, foresight: Foresight | None = None) -> AudioCore:
    """The audio side of a stereo stream at 44.1 kHz, open on ``board``."""
    plan, field = plan_delay(delay, RATE), GainField(foresight)
    strips = [Strip(2, limiter=Limiter(RATE)) for _ in range(presets)]
    core = AudioCore(board, SignalPath(plan, 2, field, presets=presets), field, epoch=1, channels=2, strips=strips)
    board.control.publish(wet=1.0)
    board.stream.publish(epoch=1, rate=RATE, start=0, delay=plan.samples, window=plan.grid.delay, lag=plan.lag)
    return core


def paced(
    core: AudioCore,
    sound: NDArray[np.float32],
    blocksize: int,
    seconds: float,
    look: Callable[[], None] = lambda: None,
) -> NDArray[np.float64]:
    """Feed ``sound`` (n, 2) over and over, block by block as an interface would; ``look`` after each.

    Returns
    -------
    ndarray
        Seconds that each block took.
    """
    count = int(seconds * RATE / blocksize)
    times = np.zeros(count)
    out = np.zeros((blocksize, 2), np.float32)
    stamps = StreamTimes()
    gc.collect()
    gc.disable()
    try:
        start = time.perf_counter()
        for index in range(count):
            place = index * blocksize % (len(sound) - blocksize)
            began = time.perf_counter()
            core.process(sound[place : place + blocksize], out, stamps)
            times[index] = time.perf_counter() - began
            look()
            wait = start + (index + 1) * blocksize / RATE - time.perf_counter()
            if wait > 0:
                time.sleep(wait)
    finally:
        gc.enable()
    return times

"""How long a block takes against its budget, with the mask process beside it and without; no sound card needed."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qsep_live.audio.demo import demo_song
from qsep_live.engine.foresight import Foresight
from qsep_live.engine.mask_process import MaskSettings
from qsep_live.engine.pace import RATE, masks_beside, open_core, paced
from qsep_live.evaluation.dummy_server import memory_of


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
    model: Path,
    blocksizes: Sequence[int] = (64, 128, 256, 512),
    seconds: float = 10.0,
    delay: float = 0.1,
    foresight: Foresight | None = None,
) -> Iterator[CallbackRow]:
    """Feed the demo song block by block at the pace of a 44.1 kHz interface, stereo; one row a run."""
    song = demo_song().mixture
    for blocksize in blocksizes:
        for with_mask in (False, True):
            yield _run(model, song, blocksize, with_mask, seconds, delay, foresight)


def _run(
    model: Path,
    song: NDArray[np.float32],
    blocksize: int,
    with_mask: bool,
    seconds: float,
    delay: float,
    foresight: Foresight | None,
) -> CallbackRow:
    with masks_beside(MaskSettings(model) if with_mask else None) as (board, worker, _name):
        times = paced(open_core(board, delay, foresight=foresight), song, blocksize, seconds)
        board.mask.refresh()
        period = board.mask["period"] if with_mask else 0.0
        memory = sum(map(memory_of, [os.getpid(), *([worker.pid] if worker.alive and worker.pid else [])]))
    p50, p99, p999 = np.percentile(times[len(times) // 10 :], [50.0, 99.0, 99.9])
    return CallbackRow(blocksize, with_mask, p50, p99, p999, period, memory)

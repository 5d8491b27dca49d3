"""How long a step of the mask path takes, and in how much memory, per backend and number of threads.

Every measurement has a process of its own, so that no backend finds another's threads, caches or memory.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar

import numpy as np

from qsep_live.dsp.grid import BINS, FRAME_SECONDS, FRAMES, MODEL_RATE, SEGMENT
from qsep_live.errors import QsepError
from qsep_live.nets.header import read_header

T = TypeVar("T")

WARM_STEPS = 3


@dataclass(frozen=True)
class Row:
    """One backend at one number of threads.

    Attributes
    ----------
    backend
        Its name and device, as the backend tells it.
    threads
        CPU threads it was given.
    median, p90
        Of the time of a step, seconds.
    start
        From the start of the process's work to the first mask, seconds: imports, weights, compilation.
    memory
        Resident set of the process after the last step, bytes.
    """

    backend: str
    threads: int
    median: float
    p90: float
    start: float
    memory: int

    @property
    def window_factor(self) -> float:
        """Real-time factor of a window: time of a step per its 3.007 s of sound."""
        return self.median * MODEL_RATE / SEGMENT

    @property
    def hop_factor(self) -> float:
        """Time of a step per hop of 11.6 ms; below 1 every frame could have a mask of its own."""
        return self.median / FRAME_SECONDS


def mask_bench(model_path: Path, threads: Sequence[int] = (1, 2), repeats: int = 20) -> list[Row]:
    """Measure every backend that runs here, on noise; an accelerator once, the CPU for each number of threads.

    Raises
    ------
    QsepError
        The checkpoint cannot be read, or a measuring process died.
    """
    read_header(model_path)
    cpu = [backend for backend in ("openvino", "torch") if backend == "torch" or find_spec(backend)]
    plans = [("cpu", backend, count) for backend in cpu for count in threads]
    plans += [(device, "torch", 1) for device in _alone(_accelerators)]
    return [_alone(_measure, model_path, *plan, repeats) for plan in plans]


def mask_table(rows: Sequence[Row]) -> str:
    """``rows`` as lines of text with a heading."""
    lines = [f"{'backend':<18}{'threads':>8}{'median':>10}{'p90':>10}{'window':>9}{'hop':>7}{'start':>9}{'memory':>10}"]
    lines += [
        f"{row.backend:<18}{row.threads:>8}{1e3 * row.median:>7.1f} ms{1e3 * row.p90:>7.1f} ms"
        f"{row.window_factor:>8.3f}×{row.hop_factor:>6.1f}×{row.start:>7.2f} s{row.memory / 2**20:>6.0f} MiB"
        for row in rows
    ]
    return "\n".join(lines)


def _alone(work: Callable[..., T], *arguments: object) -> T:
    """``work(*arguments)`` in a fresh process."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        try:
            return pool.submit(work, *arguments).result()
        except BrokenProcessPool:
            named = ", ".join(str(argument) for argument in arguments)
            raise QsepError(f"a measuring process died ({named}); was there enough memory?") from None


def _accelerators() -> list[str]:
    from qsep_live.nets.inference import devices

    return [device for device in devices() if device != "cpu"]


def _measure(model_path: Path, device: str, backend: str, threads: int, repeats: int) -> Row:
    import psutil

    from qsep_live.nets.inference import open_backend

    start = time.perf_counter()
    network = open_backend(model_path, device, backend, threads)
    network.warm_up()
    started = time.perf_counter() - start
    random = np.random.default_rng(0)
    magnitude = np.abs(random.standard_normal((network.channels, BINS, FRAMES))).astype(np.float32)
    z = random.standard_normal(32).astype(np.float32)
    times = []
    for _ in range(WARM_STEPS + repeats):
        begin = time.perf_counter()
        network(magnitude, z)
        times.append(time.perf_counter() - begin)
    median, p90 = np.quantile(times[WARM_STEPS:], (0.5, 0.9))
    memory = int(psutil.Process().memory_info().rss)
    return Row(network.name, threads, float(median), float(p90), started, memory)

"""How long a step of the mask path takes, in how much memory, and how near that is to what the machine can do.

Every measurement has a process of its own, so that no backend finds another's threads, caches or memory. The ceiling is
a product of two large matrices, measured in the precision and with the threads of the row it stands in. All take turns,
step by step, so that rows can be compared on a machine that has other work.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from qsep_live.dsp.grid import BINS, FRAME_SECONDS, MODEL_RATE, segment_of
from qsep_live.engine.delay import LIVE_FRAMES
from qsep_live.evaluation.alone import Alone, alone
from qsep_live.latent.slerp import LATENT_SIZE
from qsep_live.nets.header import read_header

WARM_STEPS = 3
MATRIX = 1536
"""Rows and columns of the product that the ceiling is measured with: 7 to 14 MB a matrix."""


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
    presets
        Latents that it was asked about in one step.
    operations
        Floating-point operations of a step (a multiplication and an addition are two), as torch counts them.
    ceiling
        Operations a second that the machine was measured to do.
    frames
        In a window.
    """

    backend: str
    threads: int
    median: float
    p90: float
    start: float
    memory: int
    presets: int = 1
    operations: float = 0.0
    ceiling: float = 0.0
    frames: int = LIVE_FRAMES

    @property
    def window_factor(self) -> float:
        """Real-time factor of a window: time of a step per the window's length."""
        return self.median * MODEL_RATE / segment_of(self.frames)

    @property
    def hop_factor(self) -> float:
        """Time of a step per hop of 11.6 ms; below 1 every frame could have a mask of its own."""
        return self.median / FRAME_SECONDS

    @property
    def share(self) -> float:
        """Of the ceiling that the step reaches; 0 where that is not known."""
        return self.operations / self.median / self.ceiling if self.ceiling else 0.0


def mask_bench(
    model_path: Path,
    threads: Sequence[int] = (1, 2),
    repeats: int = 20,
    presets: Sequence[int] = (1,),
    windows: Sequence[int] = (LIVE_FRAMES,),
) -> list[Row]:
    """Measure every backend that runs here, on noise; an accelerator once, the CPU for each number of threads.

    Raises
    ------
    QsepError
        The checkpoint cannot be read, or a measuring process died.
    """
    read_header(model_path)
    # Exact, and as it runs live, if that is something else on this machine.
    cpu = [("openvino", True), ("openvino", False)] if find_spec("openvino") else []
    plans = [("cpu", *backend, count) for backend in (*cpu, ("torch", True)) for count in threads]
    plans += [(device, "torch", True, 1) for device in alone(_accelerators)]
    sizes = [(count, frames) for count in presets for frames in windows]
    operations = {size: alone(_operations, model_path, *size) for size in sizes}
    with ExitStack() as closing:
        steps: list[tuple[Alone, Row, tuple[str, bool, int]]] = []
        products: dict[tuple[str, bool, int], Alone] = {}
        for device, backend, exact, thread_count in plans:
            for count, frames in sizes:
                process = closing.enter_context(Alone())
                row: Row = process.call(_open, model_path, device, backend, exact, thread_count, count, frames)
                half = row.backend.endswith("bf16") or device == "cuda"
                if not exact and not half:
                    continue
                key = device, half, thread_count
                if key not in products:
                    products[key] = closing.enter_context(Alone())
                    products[key].call(_open_product, *key)
                steps.append((process, replace(row, operations=operations[count, frames]), key))
        # In turns, so that what else the machine does meets all alike.
        times: list[list[float]] = [[] for _ in steps]
        product_times: dict[tuple[str, bool, int], list[float]] = {key: [] for key in products}
        for _ in range(WARM_STEPS + repeats):
            for index, (process, _row, _key) in enumerate(steps):
                times[index].append(process.call(_time_step))
            for key, process in products.items():
                product_times[key].append(process.call(_time_step))
        return [
            replace(
                row,
                median=float(np.median(times[index][WARM_STEPS:])),
                p90=float(np.quantile(times[index][WARM_STEPS:], 0.9)),
                memory=process.call(_memory),
                ceiling=2.0 * MATRIX**3 / float(np.median(product_times[key][WARM_STEPS:])),
            )
            for index, (process, row, key) in enumerate(steps)
        ]


def mask_table(rows: Sequence[Row]) -> str:
    """``rows`` as lines of text with a heading."""
    lines = [
        f"{'backend':<18}{'threads':>8}{'presets':>8}{'frames':>7}{'median':>10}{'p90':>10}{'window':>9}{'hop':>7}{'GFLOP':>7}"
        f"{'GFLOP/s':>9}{'ceiling':>9}{'share':>7}{'start':>9}{'memory':>10}"
    ]
    lines += [
        f"{row.backend:<18}{row.threads:>8}{row.presets:>8}{row.frames:>7}"
        f"{1e3 * row.median:>7.1f} ms{1e3 * row.p90:>7.1f} ms"
        f"{row.window_factor:>8.3f}×{row.hop_factor:>6.1f}×{1e-9 * row.operations:>7.2f}"
        f"{1e-9 * row.operations / row.median:>9.1f}{1e-9 * row.ceiling:>9.1f}{100 * row.share:>5.0f} %"
        f"{row.start:>7.2f} s{row.memory / 2**20:>6.0f} MiB"
        for row in rows
    ]
    return "\n".join([*lines, *_savings(rows)])


def _savings(rows: Sequence[Row]) -> list[str]:
    """What several presets at once cost, of what they would cost one by one."""
    alone = {(row.backend, row.threads, row.frames): row.median for row in rows if row.presets == 1}
    return [
        f"{row.presets} presets at once on {row.backend}, {row.threads} thread{'s' if row.threads > 1 else ''}:"
        f" {100 * row.median / (row.presets * alone[row.backend, row.threads, row.frames]):.0f} % of one by one"
        for row in rows
        if row.presets > 1 and (row.backend, row.threads, row.frames) in alone
    ]


def _accelerators() -> list[str]:
    from qsep_live.nets.inference import devices

    return [device for device in devices() if device != "cpu"]


def _operations(model_path: Path, presets: int, frames: int) -> float:
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from qsep_live.nets.model import load_model

    model = load_model(model_path)
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        model.separator(torch.ones(1, model.channels, BINS, frames), torch.zeros(presets, LATENT_SIZE))
    return float(counter.get_total_flops())


_step: Callable[[], object] = float
"""What `_time_step` times in this measuring process."""


def _open(model_path: Path, device: str, backend: str, exact: bool, threads: int, presets: int, frames: int) -> Row:
    global _step
    from qsep_live.nets.inference import open_backend

    start = time.perf_counter()
    network = open_backend(model_path, device, backend, threads, latents=presets, exact=exact)
    network.warm_up(frames)
    started = time.perf_counter() - start
    random = np.random.default_rng(0)
    magnitude = np.abs(random.standard_normal((network.channels, BINS, frames))).astype(np.float32)
    z = random.standard_normal((presets, LATENT_SIZE) if presets > 1 else LATENT_SIZE).astype(np.float32)
    _step = partial(network, magnitude, z)
    return Row(network.name, threads, 0.0, 0.0, started, 0, presets, frames=frames)


def _open_product(device: str, half: bool, threads: int) -> None:
    global _step
    import torch

    torch.set_num_threads(threads)
    kind = (torch.float16 if device == "cuda" else torch.bfloat16) if half else torch.float32
    a = torch.randn(MATRIX, MATRIX, device=device).to(kind)
    # Fetching a number waits for an accelerator to be done.
    _step = lambda: float((a @ a)[0, 0])  # noqa: E731


def _time_step() -> float:
    start = time.perf_counter()
    _step()
    return time.perf_counter() - start


def _memory() -> int:
    import psutil

    return int(psutil.Process().memory_info().rss)

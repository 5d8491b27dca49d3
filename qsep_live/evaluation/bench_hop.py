"""What each model costs for a hop of sound, side by side: networks that keep their state, and those that hear windows.

The models take turns, so that a machine whose speed drifts is as fast for one as for the other. A network of windows
hears its whole window for every hop; that is what live it does.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from qsep_live.dsp.grid import BINS, FRAME_SECONDS
from qsep_live.engine.delay import LIVE_FRAMES
from qsep_live.engine.stream_path import streaming, windowed
from qsep_live.latent.slerp import LATENT_SIZE

_TURNS = 5
"""Hops of one model before the next has its turn."""


@dataclass(frozen=True)
class HopRow:
    """Milliseconds that a hop of 11.6 ms takes.

    Attributes
    ----------
    backend
        What runs the network.
    kept
        Whether it keeps its state from hop to hop.
    share
        Of one thread, in percent.
    """

    model: str
    backend: str
    kept: bool
    presets: int
    median: float
    p95: float
    weights: int

    @property
    def share(self) -> float:
        return self.median / (10.0 * FRAME_SECONDS)


def hop_bench(models: Sequence[Path], presets: Sequence[int], repeats: int) -> list[HopRow]:
    """Time ``repeats`` hops of every model for every number of presets, on one thread, in turns.

    Raises
    ------
    QsepError
        A checkpoint is missing or damaged.
    """
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    cases = [(path, count) for path in models for count in presets]
    opened = [_open(path, count) for path, count in cases]
    times: list[list[float]] = [[] for _ in cases]
    for _ in range(-(-repeats // _TURNS)):
        for (hop, *_), taken in zip(opened, times, strict=True):
            for _ in range(_TURNS):
                start = time.perf_counter()
                hop()
                taken.append(1e3 * (time.perf_counter() - start))
    return [
        HopRow(path.stem, backend, kept, count, float(np.median(taken)), float(np.percentile(taken, 95)), weights)
        for (path, count), (_, backend, kept, weights), taken in zip(cases, opened, times, strict=True)
    ]


def hop_table(rows: Sequence[HopRow]) -> str:
    """The rows for people, and what each model costs beside the first."""
    lines = [
        f"{'model':<20}{'state':>8}{'backend':>14}{'weights':>10}{'presets':>8}{'median':>10}{'p95':>10}{'thread':>8}"
    ]
    for row in rows:
        lines.append(
            f"{row.model:<20}{'kept' if row.kept else 'none':>8}{row.backend:>14}{row.weights / 1e6:>8.1f} M"
            f"{row.presets:>8}{row.median:>7.2f} ms{row.p95:>7.2f} ms{row.share:>6.1f} %"
        )
    first = {row.presets: row for row in rows if row.model == rows[0].model}
    lines += [
        f"{row.model}: {100 * row.median / first[row.presets].median:.0f} % of {rows[0].model}"
        f" with {row.presets} preset{'s' if row.presets > 1 else ''}"
        for row in rows
        if row.model != rows[0].model
    ]
    return "\n".join(lines)


def _open(path: Path, presets: int) -> tuple[Callable[[], object], str, bool, int]:
    """A hop of a model, the name of its backend, whether it keeps its state, and how many weights a hop reads."""
    from qsep_live.nets.band_stream_steps import Memory
    from qsep_live.nets.inference import open_network
    from qsep_live.nets.inference_weights import read_weights

    network = open_network(path, "cpu", threads=1, latents=presets, exact=False)
    weights = sum(tensor.size for tensor in read_weights(path).of("separator").values())
    random = np.random.default_rng(0)
    shape = LATENT_SIZE if presets == 1 else (presets, LATENT_SIZE)
    z = random.standard_normal(shape).astype(np.float32)
    magnitude = np.abs(random.standard_normal((network.channels, BINS, LIVE_FRAMES))).astype(np.float32)
    stream = streaming(network)
    memory = Memory()
    hop: Callable[[], object]
    if stream is not None:
        frame = np.ascontiguousarray(magnitude[..., 0])
        hop = lambda: stream(frame, z, memory)  # noqa: E731
    else:
        hop = lambda: windowed(network)(magnitude, z)  # noqa: E731
    for _ in range(3):
        hop()
    return hop, network.name, stream is not None, weights

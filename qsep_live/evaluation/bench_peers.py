"""What other separators cost beside ours, on this machine in one run, at the same delay."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from qsep_live.evaluation.alone import Alone
from qsep_live.evaluation.peers import DELAY, EXTRA, PEERS, RATE, Peer, Step, require_any

PATIENCE = 20.0
"""Seconds of steps after which one counts as measured."""


@dataclass(frozen=True)
class PeerRow:
    """One separator: the median time of a step, seconds; None where it is not installed."""

    peer: Peer
    step: float | None

    @property
    def cost(self) -> float | None:
        """Seconds of computing for a second of sound."""
        return None if self.step is None else self.step * RATE / self.peer.hop


def peers_bench(model: Path, threads: int = 1, repeats: int = 10, peers: Sequence[Peer] = PEERS) -> list[PeerRow]:
    """Measure each in a process of its own, in turns, so that what else the machine does meets all alike.

    Raises
    ------
    QsepError
        None but ours is installed, or a measuring process died.
    """
    require_any(tuple(peers))
    with ExitStack() as closing:
        running: dict[Peer, Alone] = {}
        for peer in peers:
            if peer.installed:
                running[peer] = closing.enter_context(Alone())
                running[peer].call(_open, peer, model, threads)
        times: dict[Peer, list[float]] = {peer: [] for peer in running}
        for _ in range(repeats):
            for peer, process in running.items():
                if sum(times[peer]) < PATIENCE:
                    times[peer].append(process.call(_time_step))
    return [PeerRow(peer, float(np.median(times[peer])) if peer in times else None) for peer in peers]


def peers_table(rows: Sequence[PeerRow]) -> str:
    """``rows`` as lines of text; ratios are to the first."""
    ours = rows[0].cost
    head = f"{'separator':<18}{'step':>11}{'hop':>9}{'s per s':>9}{'ratio':>8}{'stems':>7}  "
    lines = [f"{head}{'published SDR':<46}run as"]
    for row in rows:
        peer = row.peer
        if row.step is None or row.cost is None or ours is None:
            lines.append(f"{peer.name:<18}  not installed: pip install '{EXTRA}'")
            continue
        lines.append(
            f"{peer.name:<18}{1e3 * row.step:>8.1f} ms{1e3 * peer.hop / RATE:>6.1f} ms{row.cost:>9.2f}"
            f"{row.cost / ours:>7.1f}×{peer.stems:>7}  {peer.sdr or '—':<46}{peer.how}"
        )
    lines.append(
        f"All are heard {1e3 * DELAY / RATE:.0f} ms late. None can follow above 1 s per s, but ours goes"
        " on with older masks. The others' weights are random."
    )
    return "\n".join(lines)


_step: Step = float
"""What `_time_step` times in this measuring process."""


def _open(peer: Peer, model: Path, threads: int) -> None:
    global _step
    _step = peer.build(model, threads)
    _step()


def _time_step() -> float:
    start = time.perf_counter()
    _step()
    return time.perf_counter() - start

"""The real thing beside a bare passthrough client on the same server: who misses how many blocks.

A JACK server with the dummy driver is started for the run, so that no sound card is needed; both programs use
PortAudio. What the machine itself cannot hold shows in the passthrough's count.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from qsep_live.engine.delay import plan_delay
from qsep_live.engine.frontier import lead_of
from qsep_live.engine.machine_delay import MachineDelay
from qsep_live.engine.session import TICK, LiveSession
from qsep_live.engine.session_config import SessionConfig
from qsep_live.engine.status import Status
from qsep_live.evaluation.dummy_server import DummyServer, Passthrough, memory_of
from qsep_live.evaluation.report import Table


@dataclass(frozen=True)
class LiveRow:
    """One run: frames per block, minutes, what the passthrough missed, and the session's last status."""

    blocksize: int
    minutes: float
    passthrough_underruns: int
    status: Status
    memory: int


def live_bench(
    config: SessionConfig,
    blocksize: int,
    minutes: float,
    rate: int = 44_100,
    progress: Callable[[float], None] | None = None,
) -> LiveRow:
    """Run a session and a passthrough for ``minutes`` on a server of their own with ``blocksize`` frames."""
    with DummyServer(rate, blocksize):
        other = Passthrough()
        session = LiveSession(config, lambda _text: None)
        try:
            session.start()
            other.wait_running()
            start = time.monotonic()
            while (passed := time.monotonic() - start) < 60.0 * minutes:
                session.tick()
                if progress is not None:
                    progress(passed / (60.0 * minutes))
                time.sleep(TICK)
            missed = other.stop()
            memory = sum(map(memory_of, session.pids))
        finally:
            status = session.stop()
            other.kill()
    return LiveRow(blocksize, minutes, missed, status, memory)


def live_table(rows: Sequence[LiveRow], chosen: MachineDelay, machine: str) -> Table:
    """A row for each block size. The SDR is what the model's frontier says at the delay and this machine's masks."""
    minutes = ", ".join(dict.fromkeys(f"{row.minutes:g} min" for row in rows))
    columns = (
        "frames", "budget, ms", "delay, ms", "mask period, ms", "callback p99.9, ms", "underruns", "passthrough's",
        "frames held, %", "SDR, dB",
    )  # fmt: skip
    table = Table(f"{machine}: {minutes} at each block size", columns)
    for row in rows:
        status, frontier = row.status, chosen.frontier
        lead = lead_of(plan_delay(chosen.delay, status.rate), chosen.pace.age)
        table.rows.append((
            row.blocksize, 1e3 * row.blocksize / status.rate, 1e3 * status.latency.total, 1e3 * status.mask_period,
            1e3 * status.callback_p999, status.underruns, row.passthrough_underruns,
            100.0 * status.held / max(1, status.frames), frontier.sdr(lead) if frontier else float("nan"),
        ))  # fmt: skip
    table.notes.append(f"Delay: from the input to the output, both buffers included; the dial: {chosen.why}.")
    if chosen.frontier:
        table.notes.append(f"SDR: the mean over the classes, {chosen.frontier.data}.")
    return table

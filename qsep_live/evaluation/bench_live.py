"""The real thing beside a bare passthrough client on the same server: who misses how many blocks.

A JACK server with the dummy driver is started for the run, so that no sound card is needed; both programs use
PortAudio. What the machine itself cannot hold shows in the passthrough's count.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from qsep_live.engine.session import TICK, LiveSession
from qsep_live.engine.session_config import SessionConfig
from qsep_live.engine.status import Status
from qsep_live.evaluation.dummy_server import DummyServer, Passthrough, memory_of


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

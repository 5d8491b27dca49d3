"""The mask process: the newest window to gains, as fast as the machine can, over and over."""

from __future__ import annotations

import math
import os
import time
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qsep_live.dsp.grid import BINS, MODEL_RATE, SEGMENT
from qsep_live.engine.child import HostWatch, Word, tell
from qsep_live.engine.delay import LIVE_FRAMES
from qsep_live.engine.mask_path import MaskPath
from qsep_live.engine.shared import RING_FRAMES, Board
from qsep_live.engine.stream_path import Network, open_path, streaming, windowed
from qsep_live.latent.slerp import LATENT_SIZE
from qsep_live.nets.band_stream_steps import Memory

WARM_STEPS = 6
AGE_FALL = 0.1
"""Share by which the age that masks are made for falls at a step, where they came sooner."""


@dataclass(frozen=True)
class MaskSettings:
    """Which network to run, and on what.

    Attributes
    ----------
    period
        Holds the steps at least so many seconds apart.
    ahead
        Frames ahead that the network was trained for, or fewer.
    presets
        How many it is asked for at once.
    window
        Frames in the network's window.
    exact
        float32 throughout, for the samples that files get; else as fast as the machine can.
    """

    model: Path
    device: str = "auto"
    backend: str = "auto"
    threads: int = 1
    period: float = 0.0
    ahead: int = 0
    presets: int = 1
    window: int = LIVE_FRAMES
    exact: bool = False


def mask_main(link: Connection, board_name: str, settings: MaskSettings) -> None:
    """Entry point of the process, through `run_child`."""
    # Sound comes before masks: a mask that is late is held, a block that is late is heard.
    with suppress(AttributeError, OSError):
        os.nice(5)
    # Threads that spin while they wait take the audio's time.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("OMP_NUM_THREADS", str(settings.threads))
    from qsep_live.nets.inference import open_network

    backend = open_network(
        settings.model, settings.device, settings.backend, settings.threads,
        latents=settings.presets, exact=settings.exact,
    )  # fmt: skip
    seconds = _warm(backend, settings.presets, settings.window)
    board = Board(board_name)
    board.mask.publish(ready=1.0, step_seconds=seconds)
    tell(link, Word("ready", backend.name, {"step_seconds": seconds, "fingerprint": backend.fingerprint}))
    MaskLoop(board, backend, settings.period, settings.ahead, settings.presets, settings.window).run()


def _warm(separate: Network, presets: int, frames: int) -> float:
    """Run the network on noise until it is warm; the median time of a step, seconds."""
    magnitude = np.abs(np.random.default_rng(0).standard_normal((separate.channels, BINS, frames))).astype(np.float32)
    z = np.zeros((presets, LATENT_SIZE) if presets > 1 else LATENT_SIZE, np.float32)
    times = []
    stream, memory = streaming(separate), Memory()
    for _ in range(WARM_STEPS):
        start = time.perf_counter()
        if stream is not None:
            stream(magnitude[..., 0], z, memory)
        else:
            windowed(separate)(magnitude, z)
        times.append(time.perf_counter() - start)
    return float(np.median(times[1:]))


class MaskLoop:
    """Follows the audio ring and publishes gains, until the host says stop or is gone."""

    def __init__(
        self,
        board: Board,
        separate: Network,
        period: float = 0.0,
        ahead: int = 0,
        presets: int = 1,
        frames: int = LIVE_FRAMES,
    ) -> None:
        self._board, self._separate, self._period, self._ahead = board, separate, period, ahead
        self._presets, self._frames = presets, frames
        self._path: MaskPath | None = None
        self._epoch = -1
        self._start = self._cursor = 0
        self._steps = self._dropped = 0
        self._age = 0
        self._end: int | None = None
        self._last = 0.0
        self._chunk = np.zeros((1 << 14, 2), np.float32)

    def run(self) -> None:
        host = HostWatch()
        board = self._board
        while not host.gone():
            board.beats[1] = time.monotonic()
            board.control.refresh()
            if board.control["stop"]:
                return
            if not self.step():
                time.sleep(0.001)

    def step(self) -> bool:
        """Take what is new and run the network on it if that is worth it; whether it was."""
        board = self._board
        board.stream.refresh()
        epoch = int(board.stream["epoch"])
        if epoch != self._epoch:
            self._open(epoch)
        path = self._path
        if path is None:
            return False
        written = board.ring.written
        lockstep = int(board.stream["lockstep"])
        if lockstep > 0:
            grid = self._cursor + lockstep - (self._cursor - self._start) % lockstep
            if written < grid:
                return False
            path = self._push(path, grid)
        else:
            if written - self._cursor < path.wanted() or time.monotonic() - self._last < self._period:
                return False
            path = self._push(path, written)
        self._run(path)
        return True

    def _open(self, epoch: int) -> None:
        stream = self._board.stream
        self._epoch = epoch
        rate, self._start = int(stream["rate"]), int(stream["start"])
        # A mask process that was started again joins a stream under way: what it never saw is not "dropped".
        self._cursor = max(self._start, self._board.ring.written - _window(rate))
        self._path = self._fresh(rate) if rate > 0 else None
        self._end = None
        self._age = int(stream["lockstep"])

    def _fresh(self, rate: int) -> MaskPath:
        return open_path(rate, self._separate, self._cursor, self._ahead, self._frames)

    def _push(self, path: MaskPath, end: int) -> MaskPath:
        """Bring ``path`` up to position ``end``; what the ring no longer holds, or is too old to matter, is dropped."""
        window = _window(path.rate)
        if end - self._cursor > 2 * window:
            self._dropped += end - self._cursor - window
            self._cursor = end - window
            path = self._path = self._fresh(path.rate)
        while self._cursor < end:
            chunk = self._chunk[: min(self._chunk.shape[0], end - self._cursor)]
            if not self._board.ring.at(self._cursor + chunk.shape[0], chunk):
                # Overwritten while this process was stopped: silence keeps the time, and masks follow within 3 s.
                chunk[:] = 0.0
                self._dropped += chunk.shape[0]
            path.push(chunk)
            self._cursor += chunk.shape[0]
        return path

    def _run(self, path: MaskPath) -> None:
        board = self._board
        began = time.monotonic()
        stream = board.stream
        frames = path.step(self._latent(), path.ahead_for(self._cursor + self._age - stream["lag"]))
        ended = time.monotonic()
        if not stream["lockstep"]:
            # How far the sound has come beyond the newest sample of the gains that were in use till now.
            written = board.ring.written
            age = 2 * (written - frames.end) if self._end is None else written - self._end
            self._age = max(age, self._age - round(AGE_FALL * (self._age - age)))
        self._end = frames.end
        board.mailbox.publish(frames, self._epoch)
        self._steps += 1
        board.mask.publish(
            steps=self._steps,
            step_seconds=ended - began,
            period=began - self._last if self._last else 0.0,
            end=frames.end,
            epoch=self._epoch,
            dropped=self._dropped,
        )
        self._last = began

    def _latent(self) -> NDArray[np.float32]:
        z = self._board.control.slice("z0", LATENT_SIZE * self._presets).astype(np.float32)
        return z if self._presets == 1 else z.reshape(self._presets, LATENT_SIZE)


def _window(rate: int) -> int:
    """Samples at ``rate`` in the longest window of the Separator and in its converter; at most half the ring."""
    return min(math.ceil(SEGMENT * rate / MODEL_RATE) + 256, RING_FRAMES // 2)

"""Sound through the engine, at several delays for the price of one, as files and as live have it.

Engines that are pushed in step ask for the same windows: the network answers once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from qsep_live.engine.audio_core import AudioCore
from qsep_live.engine.delay import plan_delay
from qsep_live.engine.gain_field import GainField, GainFrames
from qsep_live.engine.mask_path import MaskPath, Separate, mid_side_of
from qsep_live.engine.mix import MODES
from qsep_live.engine.render import BLOCK, Renderer, RenderSettings, render
from qsep_live.engine.shared import Board
from qsep_live.engine.signal_path import SignalPath

if TYPE_CHECKING:
    from qsep_live.audio.stream import StreamTimes

Audio = NDArray[np.float32]
_EPOCH = 1


@dataclass(frozen=True)
class Live:
    """How live is imitated.

    Attributes
    ----------
    period
        Seconds between masks.
    blocksize
        Frames in a callback; 0 for the file renderer, whose masks are ready at once.
    ahead
        Frames ahead that masks may be made for, as the model was trained for or fewer.
    """

    period: float = 0.06
    blocksize: int = 0
    ahead: int = 0


def rendered(
    mixture: Audio,
    rate: int,
    separate: Separate,
    latent: NDArray[np.float32],
    delays: Sequence[float | None],
    live: Live = Live(),
) -> dict[float | None, Audio]:
    """Separate ``mixture`` (n, channels); what comes out is aligned with it.

    Parameters
    ----------
    delays
        Seconds; None is offline, with centred windows.

    Returns
    -------
    dict
        Delay to estimate, (n, channels).
    """
    results: dict[float | None, Audio] = {}
    if None in delays:
        settings = RenderSettings(latent)
        results[None] = np.concatenate(list(render([mixture], rate, mixture.shape[1], separate, settings)))
    timed = [delay for delay in delays if delay is not None]
    if timed:
        run = _streamed if live.blocksize else _in_step
        for delay, estimate in run(mixture, rate, separate, latent, timed, live).items():
            results[delay] = estimate
    return results


def stem_shares(
    stems: Sequence[Audio], rate: int, separate: Separate, latent: NDArray[np.float32]
) -> tuple[Audio, ...]:
    """What is heard of each stem when their sum is separated: the gains applied to every stem by itself.

    The engine's gains are the same for all channels, and its network hears the mean of the channels, and of the lefts
    less the rights: so the stems go in side by side, mono as two channels, as loud as makes both the mixture's.
    """
    channels = stems[0].shape[1]
    pairs = [np.repeat(stem, 2, axis=1) if channels == 1 else stem for stem in stems]
    together = np.concatenate(pairs, axis=1) * np.float32(len(stems))
    out = rendered(together, rate, separate, latent, [None])[None] / np.float32(len(stems))
    width = pairs[0].shape[1]
    return tuple(out[:, first : first + channels] for first in range(0, out.shape[1], width))


class _Newest:
    """The network, remembering its newest answer."""

    def __init__(self, separate: Separate) -> None:
        self._separate, self.channels = separate, separate.channels
        self._asked: NDArray[np.float32] | None = None

    def __call__(self, magnitude: NDArray[np.float32], z: NDArray[np.float32]) -> NDArray[np.float32]:
        if self._asked is None or not np.array_equal(self._asked, magnitude):
            self._asked, self._answer = magnitude.copy(), self._separate(magnitude, z)
        return self._answer


def _in_step(
    mixture: Audio, rate: int, separate: Separate, latent: NDArray[np.float32], delays: Sequence[float], live: Live
) -> dict[float, Audio]:
    """The file renderer at each delay: a mask every period, there at once."""
    channels, newest = mixture.shape[1], _Newest(separate)
    renderers = [
        Renderer(rate, channels, newest, RenderSettings(latent, delay=delay, period=live.period, ahead=live.ahead))
        for delay in delays
    ]
    padded = _padded(mixture, max(renderer.latency for renderer in renderers))
    # Within a block every renderer passes the same one window at most.
    block = min(BLOCK, renderers[0].step)
    pieces: list[list[Audio]] = [[] for _ in renderers]
    for start in range(0, len(padded), block):
        for renderer, kept in zip(renderers, pieces, strict=True):
            kept.append(renderer.process(padded[start : start + block]))
    return {
        delay: np.concatenate(kept)[renderer.latency :][: len(mixture)]
        for delay, renderer, kept in zip(delays, renderers, pieces, strict=True)
    }


def _streamed(
    mixture: Audio, rate: int, separate: Separate, latent: NDArray[np.float32], delays: Sequence[float], live: Live
) -> dict[float, Audio]:
    """The audio callback's own code, block by block; a mask begins every period and comes one period later."""
    from qsep_live.audio.stream import StreamTimes

    channels, times = mixture.shape[1], StreamTimes()
    engines = [_LiveEngine(rate, channels, delay) for delay in delays]
    mask, step = MaskPath(rate, separate, ahead=live.ahead), max(1, round(live.period * rate))
    padded = _padded(mixture, max(engine.latency for engine in engines))
    working: list[GainFrames] = []
    position = 0
    try:
        for start in range(0, len(padded), live.blocksize):
            block = padded[start : start + live.blocksize]
            for engine in engines:
                engine.process(block, times)
            mask.push(mid_side_of(block))
            position += len(block)
            if position // step > (position - len(block)) // step:
                for engine, gains in zip(engines, working, strict=False):
                    engine.board.mailbox.publish(gains, _EPOCH)
                # The gains are in use from one period after their newest sample to the end of the next one.
                end = position + 2 * step + live.blocksize
                aheads = [mask.ahead_for(end - engine.lag) for engine in engines]
                given = {ahead: mask.step(latent, ahead) for ahead in set(aheads)}
                working = [given[ahead] for ahead in aheads]
        return {
            delay: np.concatenate(engine.heard)[engine.latency :][: len(mixture)]
            for delay, engine in zip(delays, engines, strict=True)
        }
    finally:
        for engine in engines:
            engine.close()


class _LiveEngine:
    """The live session's audio side, without a device."""

    def __init__(self, rate: int, channels: int, delay: float) -> None:
        plan, field = plan_delay(delay, rate), GainField()
        self.latency, self.lag = plan.samples, plan.lag
        self.board = Board()
        self.board.control.publish(wet=1.0, gain=0.0, mode=MODES.index("isolate"))
        self._core = AudioCore(self.board, SignalPath(plan, channels, field), field, _EPOCH, channels)
        self.heard: list[Audio] = []

    def process(self, block: Audio, times: StreamTimes) -> None:
        out = np.empty_like(block)
        self._core.process(block, out, times)
        self.heard.append(out)

    def close(self) -> None:
        del self._core
        self.board.close()


def _padded(mixture: Audio, frames: int) -> Audio:
    return np.pad(mixture, ((0, frames), (0, 0)))

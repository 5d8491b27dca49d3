"""Sound through the engine, at several delays for the price of one, as files and as live have it.

Engines that are pushed in step ask for the same windows: the network answers once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from qsep_live.engine.audio_core import AudioCore
from qsep_live.engine.delay import DelayPlan, plan_delay, window_frames
from qsep_live.engine.foresight import Foresight
from qsep_live.engine.gain_field import GainField, GainFrames
from qsep_live.engine.mask_path import Separate, mid_side_of
from qsep_live.engine.mix import MODES
from qsep_live.engine.render import BLOCK, Renderer, RenderSettings, render
from qsep_live.engine.shared import Board
from qsep_live.engine.signal_path import SignalPath
from qsep_live.engine.stream_path import Network, open_path, streaming, windowed

if TYPE_CHECKING:
    from qsep_live.audio.stream import StreamTimes

Audio = NDArray[np.float32]
Key = TypeVar("Key", bound=Hashable)
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
    late
        Seconds from a mask's newest sample until it is there, in callbacks; None for a period, which is what a mask
        takes where one follows the other.
    foresight
        The model's, if it has one.
    window
        Frames in the network's window; None as each delay asks for.
    """

    period: float = 0.06
    blocksize: int = 0
    ahead: int = 0
    late: float | None = None
    foresight: Foresight | None = None
    window: int | None = None

    @property
    def age(self) -> float:
        """Seconds from a mask's newest sample until the next mask takes its place."""
        return self.period + (self.period if self.late is None else self.late)


def rendered(
    mixture: Audio,
    rate: int,
    separate: Network,
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
        if live.blocksize:
            plans: dict[float | None, DelayPlan] = {delay: plan_delay(delay, rate) for delay in timed}
            results |= streamed(mixture, mid_side_of(mixture), rate, separate, latent, plans, live)
        else:
            results |= _in_step(mixture, rate, separate, latent, timed, live)
    return results


def stem_shares(stems: Sequence[Audio], rate: int, separate: Network, latent: NDArray[np.float32]) -> tuple[Audio, ...]:
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
    mixture: Audio, rate: int, separate: Network, latent: NDArray[np.float32], delays: Sequence[float], live: Live
) -> dict[float | None, Audio]:
    """The file renderer at each delay: a mask every period, there at once."""
    channels = mixture.shape[1]
    newest = separate if streaming(separate) is not None else _Newest(windowed(separate))
    settings = RenderSettings(
        latent, period=live.period, ahead=live.ahead, foresight=live.foresight, window=live.window
    )
    renderers = [Renderer(rate, channels, newest, replace(settings, delay=delay)) for delay in delays]
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


def streamed(
    mixture: Audio,
    heard: Audio,
    rate: int,
    separate: Network,
    latent: NDArray[np.float32],
    plans: Mapping[Key, DelayPlan],
    live: Live,
    fields: Mapping[Key, GainField] | None = None,
) -> dict[Key, Audio]:
    """The audio callback's own code, block by block, with a mask that begins every period and comes when it is done.

    Parameters
    ----------
    heard
        What the network is pushed, (n, channels of `separate`); live it is the mixture's `mid_side_of`.
    fields
        How gains are looked up at a plan, where that is not as live.

    Returns
    -------
    dict
        The key of each plan to its estimate, (n, channels), aligned with the mixture.
    """
    from qsep_live.audio.stream import StreamTimes

    times = StreamTimes()
    given = fields or {}
    engines = {
        key: _LiveEngine(plan, mixture.shape[1], live.age, given.get(key) or GainField(live.foresight))
        for key, plan in plans.items()
    }
    windows = {key: live.window or window_frames(plan.seconds) for key, plan in plans.items()}
    masks = {frames: open_path(rate, separate, ahead=live.ahead, frames=frames) for frames in set(windows.values())}
    step = max(1, round(live.period * rate))
    # The gains are in use until one period after they have come.
    age = round(live.age * rate) + live.blocksize
    longest = max(plan.samples for plan in plans.values())
    padded, heard = _padded(mixture, longest), _padded(heard, longest)
    coming: deque[tuple[int, dict[Key, GainFrames]]] = deque()
    position = 0
    try:
        for start in range(0, len(padded), live.blocksize):
            block = padded[start : start + live.blocksize]
            while coming and coming[0][0] <= position:
                for key, gains in coming.popleft()[1].items():
                    engines[key].board.mailbox.publish(gains, _EPOCH)
            for engine in engines.values():
                engine.process(block, times)
            for mask in masks.values():
                mask.push(heard[start : start + live.blocksize])
            position += len(block)
            if position // step > (position - len(block)) // step:
                wanted = {
                    key: (frames, masks[frames].ahead_for(position + age - plans[key].lag))
                    for key, frames in windows.items()
                }
                made = {each: masks[each[0]].step(latent, each[1]) for each in set(wanted.values())}
                ready = position + round((live.age - live.period) * rate)
                coming.append((ready, {key: made[each] for key, each in wanted.items()}))
        return {
            key: np.concatenate(engine.heard)[plans[key].samples :][: len(mixture)] for key, engine in engines.items()
        }
    finally:
        for engine in engines.values():
            engine.close()


class _LiveEngine:
    """The live session's audio side, without a device."""

    def __init__(self, plan: DelayPlan, channels: int, age: float, field: GainField) -> None:
        # Masks that are meant to come seldom are no reason to fall back.
        signal = SignalPath(plan, channels, field, patience=max(1.0, 2.0 * age))
        self.board = Board()
        self.board.control.publish(wet=1.0, gain=0.0, mode=MODES.index("isolate"))
        self._core = AudioCore(self.board, signal, field, _EPOCH, channels)
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

"""One pedalboard object made exact: as many frames out as in, at a constant, measured delay.

Some effects hold samples back and return short blocks at first. What they return is in step with what
they got, so the delay is how much they hold at most; a queue that starts with that much silence hides the
rest. The delay is measured when the rack is built, over block sizes small and large.

Pedalboard clears an effect's memory whenever a block is longer than any since its last reset, also with
``reset=False``: so every start begins with the longest block, of silence.

Pedalboard tells rows from columns by which is the longer side, and gets it wrong for blocks of as many
frames as channels or fewer: nothing here may pass such a block (`rack.py` gathers them).

Threading: built on the main thread, then used by one thread at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from qsep_live.errors import QsepError
from qsep_live.rack.fifo import Block, Fifo
from qsep_live.rack.messages import one_line

_SMALLEST = 3
_LONGEST_HOLD = 1.0  # seconds


class Lane:
    """An effect for one or two channels of the rack.

    Parameters
    ----------
    effect
        A pedalboard plugin object.
    rate
        Hz.
    channels
        Channels of the rack this lane serves: 1 or 2.
    width
        Channels the effect is given; another number than ``channels`` is adapted to (1 to 2 duplicates
        and takes the mean back).
    max_block
        The longest block, in frames.
    block
        When above 0, the effect is always given this many frames; what that costs is part of the delay.
    """

    def __init__(self, effect: Any, rate: int, channels: int, width: int, max_block: int, block: int = 0) -> None:
        self.effect = effect
        self._rate = float(rate)
        self.channels = channels
        self.width = width
        self._max_block = max_block
        self.delay = 0
        self.feed_by(block)
        self._held = Fifo(width, 1)
        self._owed = 0

    def feed_by(self, block: int) -> None:
        """Always give the effect ``block`` frames from now on; measure and prepare follow."""
        self.block = block
        self._gather = Fifo(self.width, self._max_block + block)

    def measure(self) -> int:
        """Find and return the delay in frames; `prepare` has to follow.

        Raises
        ------
        QsepError
            The effect holds more than a second back.
        """
        limit = int(_LONGEST_HOLD * self._rate)
        largest = max(self._max_block, _SMALLEST)
        mixed = tuple(n for n in (3, 17, 64, 100, 256, 512) if n <= largest)
        patterns = ((self.block,),) if self.block else ((_SMALLEST,), (64,), (256,), (largest,), mixed)
        if not self.block:
            sizes = np.random.default_rng(1)
            patterns += tuple(tuple(sizes.integers(_SMALLEST, largest + 1, 12).tolist()) for _ in range(8))
        held = [self._most_held(tuple(min(n, largest) for n in pattern), limit) for pattern in patterns]
        # What depends on the blocks may get worse with blocks that were not tried: as much again is kept in hand.
        return 2 * max(held) - min(held) + max(0, self.block - 1)

    def prime(self) -> int:
        """Clear the effect and feed it its longest block, of silence; how many frames it still holds."""
        self.effect.reset()
        frames = self.block or self._max_block
        returned: int = self._call(np.zeros((self.width, frames), np.float32)).shape[1]
        return frames - returned

    def _most_held(self, pattern: tuple[int, ...], limit: int) -> int:
        """The most frames the effect keeps to itself when fed blocks of these sizes in turn."""
        given = held = self.prime()
        noise = np.random.default_rng(0)
        returned = step = 0
        while given < max(6144, 2 * max(pattern), 3 * held):
            frames = pattern[step % len(pattern)]
            out = self._call((0.1 * noise.standard_normal((self.width, frames))).astype(np.float32))
            given += frames
            returned += out.shape[1]
            held = max(held, given - returned)
            step += 1
            if held > limit:
                raise QsepError(f"it holds more than {_LONGEST_HOLD:g} s of sound back, so it is not for live use")
        return held

    def prepare(self, delay: int) -> None:
        """Set the delay (at least the measured one) and start from silence."""
        self.delay = delay
        self._held = Fifo(self.width, delay + 2 * (self._max_block + self.block))
        self.reset()

    def reset(self) -> None:
        """Forget all sound."""
        held = self.prime()
        self._gather.refill(0)
        self._held.refill(self.delay - held)
        self._owed = 0

    def process(self, x: Block) -> Block:
        """``x`` (channels, n) to (channels, n), `delay` frames late."""
        if self.width == self.channels:
            return self._exact(x)
        wide = np.ascontiguousarray(np.broadcast_to(x, (self.width, x.shape[1])))
        mean: Block = self._exact(wide).mean(axis=0, keepdims=True, dtype=np.float32)
        return mean

    def _exact(self, x: Block) -> Block:
        frames = x.shape[1]
        if self.delay == 0:
            out = self._call(x)
            if out.shape != x.shape:
                raise ValueError(f"it returned {out.shape[1]} of {frames} frames")
            return out
        if self.block:
            self._gather.push(x)
            while self._gather.count >= self.block:
                self._take(self._call(self._gather.pop(self.block)))
        else:
            self._take(self._call(x))
        short = frames - self._held.count
        if short <= 0:
            return self._held.pop(frames)
        # More was held than ever measured: silence now, and as much less later, so that the delay stays.
        self._owed += short
        if self._owed > self.delay + 4 * self._max_block:
            raise ValueError("it keeps returning fewer frames than it is given")
        out = np.zeros((self.width, frames), np.float32)
        out[:, : frames - short] = self._held.pop(frames - short)
        return out

    def _take(self, out: Block) -> None:
        self._held.push(out)
        if self._owed:
            self._owed -= self._held.drop(self._owed)

    def _call(self, x: Block) -> Block:
        out: Block = self.effect.process(x, self._rate, buffer_size=self._max_block, reset=False)
        if out.size == 0:
            return np.zeros((self.width, 0), np.float32)
        if out.ndim != 2 or out.shape[0] != self.width or out.shape[1] > x.shape[1] + self.delay + self._owed:
            raise ValueError(f"it returned an array of shape {out.shape} for {x.shape}")
        return out


def accepts(effect: Any, rate: int, width: int, max_block: int) -> str:
    """Try silence: empty when the effect takes ``width`` channels at this rate, else why not."""
    silence = np.zeros((width, max(_SMALLEST, max_block)), np.float32)
    try:
        effect.reset()
        effect.process(silence, float(rate), buffer_size=max_block, reset=False)
    except (ValueError, RuntimeError) as error:
        return one_line(error)
    return ""


def lanes_for(make: Callable[[], Any], rate: int, channels: int, max_block: int, block: int = 0) -> list[Lane]:
    """Lanes that serve ``channels`` in pairs (an odd last one alone), made from new objects of one effect.

    An effect that takes only two channels gets a single one twice; one that takes only one is made once for
    each channel.

    Raises
    ------
    QsepError
        The effect takes neither one nor two channels at this rate, or holds too much back.
    """
    groups = [2] * (channels // 2) + [1] * (channels % 2)
    first = make()
    refusals = {width: accepts(first, rate, width, max_block) for width in (1, 2)}
    if all(refusals.values()):
        raise QsepError(f"cannot run at {rate} Hz: {refusals[groups[0]]}")
    if refusals[2]:
        groups = [1] * channels
    width_for = {1: 1 if not refusals[1] else 2, 2: 2}
    lanes: list[Lane] = []
    for group in groups:
        effect = make() if lanes else first
        width = width_for[group]
        lanes.append(Lane(effect, rate, group, width, max_block, block))
    return lanes


def through(lanes: list[Lane], x: Block) -> Block:
    """Run each lane on its channels."""
    if len(lanes) == 1:
        return lanes[0].process(x)
    out = np.empty_like(x)
    first = 0
    for lane in lanes:
        last = first + lane.channels
        out[first:last] = lane.process(x[first:last])
        first = last
    return out


def split(x: Block, frames: int) -> Iterator[Block]:
    """``x`` in pieces of ``frames``; a last one too short for pedalboard stays with the one before it."""
    total = x.shape[1]
    start = 0
    while start < total:
        stop = total if total - start < frames + _SMALLEST else start + frames
        yield np.ascontiguousarray(x[:, start:stop])
        start = stop

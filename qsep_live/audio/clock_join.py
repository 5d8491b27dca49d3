"""Sound from a device with one clock to a device with another: no drift, no drops, a delay that stays.

The writing side appends to a ring and says when (`Mark`). The reading side knows from that where the writer is at any
moment between two blocks, and reads ever so slightly faster or slower than its own clock, so that the distance stays.

Threading: the ring's writer is another thread or process; everything else here belongs to the reader alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from qsep_live.audio.fifo import Block
from qsep_live.audio.varispeed import Varispeed
from qsep_live.dsp.clock import BlockClock, ClockMatch
from qsep_live.dsp.ring import Ring

MARGIN = 0.005
"""Seconds that the writer's blocks may be late before frames are missing."""
LARGEST_MARGIN = 0.03
"""What it grows to, by what was missing, when they are later again and again."""
AGAIN = 10.0
"""Seconds within which frames that are missing a second time are no accident."""
JUMP = 0.02
"""Seconds that the delay may be wrong before it is set right at once; less is read away."""
STALE = 0.1
"""Seconds without frames after which the writer has stopped."""
FADE = 64
"""Frames in which sound that stops falls, and sound that begins rises."""


class Mark(NamedTuple):
    """What the writer says after each block: its latest news, not a queue.

    Attributes
    ----------
    epoch
        Numbers the writers; another one has another clock.
    rate
        Nominal frames a second.
    first, position
        The ring's position before its first block, and after the newest.
    time, seconds
        When the newest frame was due, and seconds a frame; from a `BlockClock`.
    block
        Frames in its largest block so far.
    """

    epoch: int
    rate: float
    first: int
    position: int
    time: float
    seconds: float
    block: int


class ClockJoin:
    """The reading side.

    Parameters
    ----------
    ring
        Where the frames are.
    channels
    rate
        Of the reading side, in Hz.
    mark
        The writer's newest mark, or None while there is none.

    Attributes
    ----------
    joined : bool
        Whether there is sound.
    delay : float
        Seconds from a frame's writing to its reading.
    dropped, silent : int
        Frames left out because too many had gathered, and made up because none were there, since the first sound.
    """

    def __init__(self, ring: Ring, channels: int, rate: int, mark: Callable[[], Mark | None]) -> None:
        self._ring, self._channels, self._rate, self._mark = ring, channels, rate, mark
        self._clock = BlockClock(rate)
        self._fade = np.linspace(0.0, 1.0, FADE + 2, dtype=np.float32)[1:-1, None]
        self._buffer = np.zeros((4096, channels), np.float32)
        self._last = np.zeros(channels, np.float32)
        self._epoch = -1
        self._input_rate = float(rate)
        self._match = ClockMatch(rate)
        self._margin = MARGIN
        self._largest = 0
        # Made once: it refers to this object, and where nobody collects cycles it would never go.
        self._reader = Varispeed(channels, self._pull, 1.0)
        self.joined = False
        self._first = self._taken = 0
        self._rise = self._fall = 0
        self._now = 0.0
        self._starved: float | None = None
        self._made_up = 0
        self.delay = 0.0
        self.dropped = self.silent = 0

    @property
    def drift(self) -> float:
        """Relative excess of the writer's clock over the reader's, as far as it is known."""
        return self._match.drift

    def read_into(self, out: Block, now: float) -> None:
        """Fill ``out`` (n, channels); ``now`` in the seconds of the marks' clock."""
        self._now = now
        due = self._clock.tick(now, len(out))
        self._largest = max(self._largest, len(out))
        mark = self._mark()
        if mark is not None and mark.epoch != self._epoch:
            self._meet(mark)
        if mark is None or now - mark.time > STALE + mark.block * mark.seconds:
            self._stop()
        elif not self.joined:
            self._start(mark, due)
        if mark is None or not self.joined:
            out[:] = 0.0
            return
        self._read(out, mark, due)

    def _meet(self, mark: Mark) -> None:
        """Another writer: nothing is known of its clock."""
        self._epoch = mark.epoch
        self._margin, self._starved, self._made_up = MARGIN, None, 0
        self._input_rate = mark.rate
        self._match = ClockMatch(mark.rate)
        self._stop()

    def _stop(self) -> None:
        self.joined = False
        self.delay = 0.0

    def _target(self, mark: Mark) -> float:
        """The distance that is wanted, in the writer's frames: both sides' blocks, the filter, and the margin."""
        step = mark.rate / self._rate
        return mark.block + self._largest * step + Varispeed.ahead(step) + self._margin * mark.rate

    def _start(self, mark: Mark, due: float) -> None:
        start = math.floor(_written(mark, due) - self._target(mark))
        if start < mark.first:
            return
        self._match.forget_error()
        self._made_up = 0
        self._reader.restart(mark.rate / self._rate)
        self.joined = True
        self._first = self._taken = start
        self._rise, self._fall = FADE, 0
        self._last[:] = 0.0

    def _read(self, out: Block, mark: Mark, due: float) -> None:
        reader = self._reader
        distance = _written(mark, due) - self._first - reader.place
        error = distance - self._target(mark)
        self.delay = distance / mark.rate
        speed = self._match.step(error, len(out) / self._rate)
        reader.read(out, speed * mark.rate / self._rate)
        if abs(error) > JUMP * mark.rate:
            # Begun anew at the right place with the next block.
            out *= np.linspace(1.0, 0.0, len(out), dtype=np.float32)[:, None]
            self.dropped += max(0, round(error))
            self._stop()

    def _pull(self, count: int) -> Block:
        """The next ``count`` frames of the ring; where they are missing the last one fades away."""
        if count > len(self._buffer):
            self._buffer = np.zeros((2 * count, self._channels), np.float32)
        block = self._buffer[:count]
        there = max(0, min(count, self._ring.written - self._taken))
        if there and not self._ring.at(self._taken + there, block[:there]):
            there = 0
        self._taken += there
        if there:
            self._last[:] = block[there - 1]
            rise = min(self._rise, there)
            block[:rise] *= self._fade[FADE - self._rise : FADE - self._rise + rise]
            self._rise -= rise
            self._fall = FADE
        missing = count - there
        if missing:
            fall = min(self._fall, missing)
            tail = block[there:]
            tail[:fall] = self._last * self._fade[self._fall - fall : self._fall][::-1]
            tail[fall:] = 0.0
            self._fall -= fall
            self._rise = FADE
            # What was made up is not the ring's: the place in it stays where it was.
            self._first -= missing
            self.silent += missing
            self._made_up += missing
        elif self._made_up:
            self._widen()
        return block

    def _widen(self) -> None:
        """The writer is back after frames were made up; if that happens often it is given more time."""
        if self._starved is not None and self._now - self._starved < AGAIN:
            self._margin = min(LARGEST_MARGIN, self._margin + self._made_up / self._input_rate)
        self._starved, self._made_up = self._now, 0


def _written(mark: Mark, now: float) -> float:
    """Where the writer is, as if it wrote frame by frame."""
    return mark.position + (now - mark.time) / mark.seconds

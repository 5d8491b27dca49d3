"""Two clocks that nobody set alike: when blocks come, and how fast one side must read to stay with the other.

Times are seconds of one clock that both sides can ask. Threading: each object belongs to one thread.

References
----------
F. Adriaensen, "Using a DLL to filter time", 2005, and "Controlling adaptive resampling", Linux Audio Conference 2012.
"""

from __future__ import annotations

import math

BANDWIDTH = 0.1
"""Hz of a settled `BlockClock`: what is slower is the clock's own wandering, what is faster is jitter."""
LOOP = 0.01
"""Hz of the loop of a settled `ClockMatch`: what is left of the jitter must not be heard as vibrato."""
FIRST_LOOP = 0.1
"""Hz of the loop at its beginning, when nothing is known of the clocks."""
LARGEST = 0.003
"""Most that the speed differs from one: 5 cents, and 15 times what two ordinary quartz clocks differ by."""
BREAK = 0.25
"""Seconds that a block may be early or late; beyond, the side was interrupted and its clock is read anew."""
STEP = 0.01
"""Seconds of lateness that no longer count as jitter: the block is ignored, or, if the next ones are as late for
`STEP_LASTS` seconds and `STEP_BLOCKS` blocks, time was lost for good, as in an xrun."""
STEP_LASTS = 0.1
STEP_BLOCKS = 4


class BlockClock:
    """A delay-locked loop of second order: what block times would be without jitter.

    Parameters
    ----------
    rate
        Nominal frames a second.

    Attributes
    ----------
    position
        Frames so far.
    time
        When the newest of them was due, in seconds; None before the first block.
    seconds
        Measured seconds a frame.
    """

    def __init__(self, rate: float) -> None:
        self.position = 0
        self.time: float | None = None
        self.seconds = self._nominal = 1.0 / rate
        self._age = 0.0
        self._odd: list[tuple[float, float]] = []

    def tick(self, now: float, frames: int) -> float:
        """``frames`` more are there at ``now``; when they were due, in seconds."""
        self.position += frames
        if frames == 0:
            return now if self.time is None else self.time
        due = now if self.time is None else self.time + frames * self.seconds
        late = now - due
        if self.time is None or abs(late) > BREAK:
            self.time = now
            return now
        length = frames * self.seconds
        self._age += length
        if abs(late) > STEP:
            late = self._lost(now, late)
            self.time = due + late
            return self.time
        self._odd.clear()
        # It begins wide, to find the clock, and narrows as it learns it.
        omega = min(0.5, 2.0 * math.pi * max(BANDWIDTH, 0.5 / self._age) * length)
        self.time = due + math.sqrt(2.0) * omega * late
        slope = self.seconds + omega * omega * late / frames
        self.seconds = min(max(slope, self._nominal * (1 - LARGEST)), self._nominal * (1 + LARGEST))
        return self.time

    def _lost(self, now: float, late: float) -> float:
        """Seconds that the clock has stepped by, 0.0 until that is sure."""
        if self._odd and (self._odd[-1][1] > 0) != (late > 0):
            self._odd.clear()
        self._odd = [*self._odd[-63:], (now, late)]
        if len(self._odd) < STEP_BLOCKS or now - self._odd[0][0] < STEP_LASTS:
            return 0.0
        step = min((old for _, old in self._odd), key=abs)
        self._odd.clear()
        return step


class ClockMatch:
    """How fast to read so that a delay stays where it is wanted: a proportional-integral loop, critically damped.

    Parameters
    ----------
    rate
        Frames a second of the side that is read.
    """

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._integral = self._age = 0.0
        self._error: float | None = None

    @property
    def drift(self) -> float:
        """What the loop has learned of the clocks: relative excess of the written side's."""
        return self._integral

    def step(self, error: float, seconds: float) -> float:
        """The speed for the next ``seconds``: one and a little.

        Parameters
        ----------
        error
            Frames by which the delay is too long.
        """
        self._age += seconds
        omega = 2.0 * math.pi * min(FIRST_LOOP, max(LOOP, 0.5 / self._age))
        if self._error is None:
            self._error = error
        # A low-pass ten times as wide as the loop, so that it does not unsettle it.
        self._error += (1.0 - math.exp(-10.0 * omega * seconds)) * (error - self._error)
        self._integral += omega * omega * self._error / self._rate * seconds
        self._integral = min(max(self._integral, -LARGEST), LARGEST)
        speed = 2.0 * omega * self._error / self._rate + self._integral
        return 1.0 + min(max(speed, -LARGEST), LARGEST)

    def forget_error(self) -> None:
        """The delay was set anew; what was learned of the clocks stays."""
        self._error = None

"""Sample-rate conversion whose ratio may change with every block, by libsamplerate's windowed sinc.

Flat within 0.1 dB to 18 kHz at 44.1 kHz, images and noise 120 dB down, and no delay but the frames it looks ahead.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from samplerate import CallbackResampler

from qsep_live.audio.fifo import Block

_QUALITY = "sinc_medium"
_HALF = 46
"""Input frames on either side of the filter's middle, at a ratio of one."""


class Varispeed:
    """Pulls frames at one speed, gives them at another. Threading: one thread.

    Parameters
    ----------
    channels
    pull
        ``pull(n)`` is asked for the next ``n`` input frames, (n, channels); it must have them. Its array may be used
        again by its next call.
    step
        Input frames for an output frame, at the start.

    Attributes
    ----------
    place
        Where the next output frame lies among the input frames, counted from the first pulled.
    """

    def __init__(self, channels: int, pull: Callable[[int], Block], step: float) -> None:
        self._pull = pull
        self._resampler = CallbackResampler(self._give, 1.0 / step, _QUALITY, channels)
        self.restart(step)

    def restart(self, step: float) -> None:
        """Begin anew, as if nothing had been pulled."""
        self._pulled = self._owed = 0
        self._step = step
        self.place = 0.0
        self._resampler.reset()
        self._resampler.set_starting_ratio(1.0 / step)

    def need(self, frames: int, step: float) -> int:
        """Input frames that `read` of as many ``frames`` at ``step`` will pull."""
        advance = 0.5 * frames * (self._step + step)
        return max(0, math.ceil(self.place + advance) + self.ahead(max(step, self._step)) - self._pulled)

    @staticmethod
    def ahead(step: float) -> int:
        """Input frames that must be there beyond the newest one given."""
        return math.ceil((_HALF + 2) * max(1.0, step)) + 2

    def read(self, out: Block, step: float) -> None:
        """Fill ``out`` (n, channels); the speed glides from the last one to ``step`` within it."""
        frames = len(out)
        self._owed = self.need(frames, step)
        self._resampler.ratio = 1.0 / step
        made = self._resampler.read(frames)
        out[: len(made)] = made
        out[len(made) :] = 0.0
        self.place += 0.5 * frames * (self._step + step)
        self._step = step

    def _give(self) -> Block:
        """libsamplerate asks when it has used up what it got, so that the array may be the same one again."""
        count, self._owed = self._owed or 1, 0
        self._pulled += count
        return self._pull(count)

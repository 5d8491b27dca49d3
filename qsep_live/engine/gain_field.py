"""The gain field G(f, t): the newest mask's gains, stamped with absolute sample time, and how they are looked up.

After the newest gains they go on by what was heard since (`engine.foresight`), if the model came with that, and else by
their own trend.

Threading: owned by the signal path; another process's gains arrive through `engine.mailbox`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qsep_live.dsp.grid import BIN_HZ, BINS
from qsep_live.engine.foresight import BEFORE, RECENT, Foresight, features, rise, smoothed
from qsep_live.engine.heard import Heard

TREND = 2
"""Frames over which the newest gains' trend is taken."""
SLOWING = 0.7
"""What is left of the trend after each frame beyond the newest."""


@dataclass(frozen=True)
class GainFrames:
    """Gains of consecutive model frames, as one window of the Separator gave them.

    Attributes
    ----------
    end
        Position after the newest sample the window saw, in samples of the stream; the last frames may lie beyond it.
    first
        Centre of the first frame, in samples of the stream.
    spacing
        Samples between frames.
    gains
        (K, BINS) float32 in [0, 1]; of several presets side by side, (K, presets·BINS).
    latents
        What the network was asked for, (presets, 32); None where that is of no use.
    """

    end: int
    first: float
    spacing: float
    gains: NDArray[np.float32]
    latents: NDArray[np.float32] | None = None

    @property
    def newest(self) -> float:
        """Centre of the last frame, in samples of the stream."""
        last: int = self.gains.shape[0] - 1
        return self.first + last * self.spacing


class GainField:
    """Gains by time and bin; between frames linear, before the oldest held.

    Parameters
    ----------
    foresight
        How gains go on after the newest. Without it: as over the last two frames, slower and slower, and then they
        stay; that is hardly better than holding the newest at once (docs/evaluation.md).
    """

    def __init__(self, foresight: Foresight | None = None) -> None:
        self._foresight = foresight
        self._frames: GainFrames | None = None
        self._then: tuple[NDArray[np.float32], ...] | None = None

    def publish(self, frames: GainFrames) -> None:
        """Replace the gains: a newer window has seen more of every frame it shares with an older one."""
        self._frames, self._then = frames, None

    def clear(self) -> None:
        """Forget all gains, as after a change of stream."""
        self._frames = self._then = None

    @property
    def foresees(self) -> bool:
        """Whether `lookup` has a use for what was heard."""
        return self._foresight is not None

    @property
    def end(self) -> int | None:
        """Position after the newest sample that any gain has seen; None before the first mask."""
        return None if self._frames is None else self._frames.end

    def lookup(self, time: float, out: NDArray[np.float32], heard: Heard | None = None, now: float = 0.0) -> bool:
        """Write the gains at ``time`` (a position in samples) into ``out`` (BINS,), or (presets·BINS,).

        Parameters
        ----------
        heard, now
            The mixture, and the position up to which it counts.

        Returns
        -------
        bool
            Whether ``time`` is covered; False if gains were held or went on from the newest, or if there is none
            (``out`` is left).
        """
        frames = self._frames
        if frames is None:
            return False
        last = frames.gains.shape[0] - 1
        place = (time - frames.first) / frames.spacing
        index = min(max(int(np.floor(place)), 0), last)
        fraction = min(max(place - index, 0.0), 1.0)
        if fraction == 0.0 or index == last:
            out[:] = frames.gains[index]
        else:
            np.multiply(frames.gains[index], 1.0 - fraction, out=out)
            out += fraction * frames.gains[index + 1]
        if place > last >= TREND:
            self.beyond(frames, place - last, out)
            if self._foresight is not None and heard is not None and last >= RECENT:
                self._foresee(self._foresight, frames, time, out, heard, now)
        return bool(0.0 <= place <= last)

    def beyond(self, frames: GainFrames, place: float, out: NDArray[np.float32]) -> None:
        """Write the gains ``place`` frames after the newest into ``out``."""
        newest = frames.gains[-1]
        np.subtract(newest, frames.gains[-1 - TREND], out=out)
        out *= SLOWING * (1.0 - SLOWING**place) / (1.0 - SLOWING) / TREND
        out += newest
        np.clip(out, 0.0, 1.0, out=out)

    def _foresee(
        self, foresight: Foresight, frames: GainFrames, time: float, out: NDArray[np.float32], heard: Heard, now: float
    ) -> None:
        """Correct the trend in ``out`` by what was heard after the newest frame."""
        newest = frames.newest
        whole = min(time, now - heard.frame // 2)
        known = heard.covers(newest, now) and heard.covers(newest - BEFORE * frames.spacing, now)
        if frames.latents is None or not known:
            return
        if self._then is None:
            then = smoothed(heard.power(newest))
            before = rise(then, smoothed(heard.power(newest - BEFORE * frames.spacing)))[1]
            self._then = then, before, frames.gains[-RECENT:].mean(axis=0)
        then, before, recent = self._then
        since = rise(smoothed(heard.power(whole)), then) if whole > newest else np.zeros_like(then)
        seen, unseen = max(whole - newest, 0.0) / frames.spacing, (time - max(whole, newest)) / frames.spacing
        shape = frames.latents.shape[0], BINS
        trend = out.reshape(shape)
        terms = features(trend, frames.gains[-1].reshape(shape), recent.reshape(shape), since, before)
        foresight.predict(trend, terms, frames.latents, seen, unseen)


class BinMap:
    """Spreads the model's gains over the bins of another STFT; above 11 kHz the top of the mask goes on.

    Parameters
    ----------
    frame
        Samples in a frame of the other STFT.
    rate
        Its sample rate, Hz.
    """

    _TOP = 16

    def __init__(self, frame: int, rate: int) -> None:
        place = np.fft.rfftfreq(frame, 1.0 / rate) / BIN_HZ
        self._inside = int(np.searchsorted(place, BINS - 1, side="right"))
        place = place[: self._inside]
        self._low = np.minimum(place.astype(np.int64), BINS - 2)
        self._weight = (place - self._low).astype(np.float32)
        self._identity = bool(np.all(np.abs(place - np.arange(self._inside)) < 1e-6))
        self.gains = np.zeros(frame // 2 + 1, np.float32)

    def spread(self, model: NDArray[np.float32]) -> NDArray[np.float32]:
        """(BINS,) gains to (frame // 2 + 1,), in a buffer that the next call overwrites."""
        inside = self.gains[: self._inside]
        if self._identity:
            inside[:] = model[: self._inside]
        else:
            low = model[self._low]
            np.subtract(model[self._low + 1], low, out=inside)
            inside *= self._weight
            inside += low
        self.gains[self._inside :] = model[-self._TOP :].mean()
        return self.gains

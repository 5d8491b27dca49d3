"""Sample-rate conversion by pedalboard's windowed sinc: whole arrays, and streams chunk by chunk."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray


class StreamConverter:
    """Chunk in, chunk out, channel-major; aligned with the input, and up to 128 input samples behind it."""

    def __init__(self, rate: float, target: float, channels: int) -> None:
        from pedalboard.io import StreamResampler

        # One a channel: a stereo chunk of one or two samples is taken for one of another shape.
        self._resamplers = [StreamResampler(rate, target, 1) for _ in range(channels)]

    def process(self, chunk: NDArray[np.float32]) -> NDArray[np.float32]:
        """``chunk`` (channels, n) to the samples it completes, (channels, m)."""
        rows = np.ascontiguousarray(chunk, dtype=np.float32)
        pairs = zip(self._resamplers, rows, strict=True)
        return np.concatenate([resampler.process(row[None]) for resampler, row in pairs])

    def flush(self) -> NDArray[np.float32]:
        """What the converter still holds, (channels, m)."""
        return np.concatenate([resampler.process(None) for resampler in self._resamplers])


class AlignedConverter:
    """As `StreamConverter`, without its fraction of a sample of delay: what is subtracted from its origin must not lag.

    pedalboard takes the 64 input samples that its filter waits off the output, in whole output samples; the rest of
    the fraction stays. Silence before the first sample makes that delay a whole number too.
    """

    _WAITS = 64

    def __init__(self, rate: int, target: int, channels: int) -> None:
        self._ratio = Fraction(target, rate)
        lead = -self._WAITS % self._ratio.denominator
        waits = self._WAITS * self._ratio
        self._drop = int(lead * self._ratio + waits - math.floor(waits + Fraction(1, 2)))
        self._received = self._given = 0
        self._converter = StreamConverter(rate, target, channels)
        self._silence = np.zeros((channels, 4 * self._WAITS), np.float32)
        self._dropped(self._converter.process(np.zeros((channels, lead), np.float32)))

    def process(self, chunk: NDArray[np.float32]) -> NDArray[np.float32]:
        """``chunk`` (channels, n) to the samples it completes, (channels, m)."""
        self._received += chunk.shape[1]
        return self._dropped(self._converter.process(chunk))

    def finish(self) -> NDArray[np.float32]:
        """What is left, so that n samples at ``rate`` have become round(n·target/rate), (channels, m)."""
        missing = round(self._received * self._ratio) - self._given
        after = [self._silence] * (2 + math.ceil(missing / self._ratio / self._silence.shape[1]))
        return self._dropped(np.concatenate([self._converter.process(each) for each in after], axis=1))[:, :missing]

    def _dropped(self, made: NDArray[np.float32]) -> NDArray[np.float32]:
        skipped = min(self._drop, made.shape[1])
        self._drop -= skipped
        self._given += made.shape[1] - skipped
        return made[:, skipped:]


def resample(audio: NDArray[np.float32], rate: float, target: float) -> NDArray[np.float32]:
    """``audio`` (frames, channels) at ``rate`` Hz to ``target`` Hz, aligned; round(frames·target/rate) frames."""
    if rate == target:
        return audio
    frames = round(audio.shape[0] * target / rate)
    converter = StreamConverter(rate, target, audio.shape[1])
    out = np.concatenate([converter.process(audio.T), converter.flush()], axis=1)
    if out.shape[1] < frames:
        out = np.pad(out, ((0, 0), (0, frames - out.shape[1])))
    return np.ascontiguousarray(out[:, :frames].T)

"""Sample-rate conversion by pedalboard's windowed sinc: whole arrays, and streams chunk by chunk."""

from __future__ import annotations

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

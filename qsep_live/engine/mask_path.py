"""The mask path: sound in as it comes, gains for the newest three seconds out, whenever asked.

The network's bins are the lower half of a 2048-point STFT at 44.1 kHz and the lowest quarter of a 4096-point one at
88.2 kHz, so those rates are analysed as they are. Any other is converted first; the converter looks 128 samples
ahead, and the gains are stamped accordingly.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from qsep_live.audio.resample import StreamConverter
from qsep_live.dsp.grid import BINS, HOP, MODEL_RATE, N_FFT, SEGMENT, hann
from qsep_live.dsp.repair import repair
from qsep_live.dsp.tape import Tape
from qsep_live.engine.gain_field import GainFrames
from qsep_live.errors import QsepError

Separate = Callable[[NDArray[np.float32], NDArray[np.float32]], NDArray[np.float32]]
"""Magnitudes (BINS, FRAMES) and z to a mask of the same shape."""


class MaskPath:
    """Keeps the newest window of a mono signal and runs the Separator on it.

    Parameters
    ----------
    rate
        Of the signal, Hz.
    separate
        The network.
    position
        Absolute position of the first sample pushed.
    """

    def __init__(self, rate: int, separate: Separate, position: int = 0) -> None:
        self.rate = rate
        self._separate = separate
        self._position = position
        self._start = position
        if rate in (MODEL_RATE, 2 * MODEL_RATE, 4 * MODEL_RATE):
            self._factor = rate // MODEL_RATE
        else:
            self._factor = 2 if rate > 2 * MODEL_RATE else 1
        self._history_rate = self._factor * MODEL_RATE
        self._converter = None if rate == self._history_rate else StreamConverter(rate, self._history_rate, channels=1)
        segment = SEGMENT * self._factor
        self._history = Tape(1, 4 * segment, segment)
        self._received = 0
        # Divided by the factor so that magnitudes are those of the model's own 1024-point window.
        self._window = hann(N_FFT * self._factor) / np.float32(self._factor)

    def push(self, mono: NDArray[np.float32]) -> None:
        """Append ``mono`` (n,), finite samples."""
        self._position += mono.shape[0]
        samples = mono[None]
        if self._converter is not None:
            samples = self._converter.process(samples)
        self._history.push(samples)
        self._received += samples.shape[1]
        self._history.skip(len(self._history) - SEGMENT * self._factor)

    def step(self, z: NDArray[np.float32]) -> GainFrames:
        """Run the Separator on the window that ends at the newest sample; before the first there is silence.

        Raises
        ------
        QsepError
            The mask is not finite; one NaN in it would reach the loudspeakers and stay in the rack.
        """
        factor = self._factor
        samples = self._history.view(SEGMENT * factor)[0]
        frames = np.lib.stride_tricks.sliding_window_view(samples, N_FFT * factor)[:: HOP * factor]
        spectrum = np.fft.rfft(frames * self._window)[:, :BINS]
        magnitude = np.ascontiguousarray(np.abs(spectrum).T, dtype=np.float32)
        gains = np.ascontiguousarray(self._separate(magnitude, z).T)
        if not np.isfinite(np.sum(gains)):
            raise QsepError("the model's mask is not finite; choose another --device or --model")
        ratio = self.rate / self._history_rate
        first = self._start + (self._received - (SEGMENT - N_FFT // 2) * factor) * ratio
        return GainFrames(self._position, first, HOP * factor * ratio, gains)


def mono_of(block: NDArray[np.float32], out: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
    """What the network hears of ``block`` (n, channels): the mean over channels, (n,), `repair`-ed."""
    mono: NDArray[np.float32] = np.mean(repair(block)[0], axis=1, dtype=np.float32, out=out)
    return mono

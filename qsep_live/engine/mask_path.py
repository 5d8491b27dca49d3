"""The mask path: sound in as it comes, gains for the newest window out, whenever asked.

The network's bins are the lower half of a 2048-point STFT at 44.1 kHz and the lowest quarter of a 4096-point one at
88.2 kHz, so those rates are analysed as they are. Any other is converted first; the converter looks 128 samples
ahead, and the gains are stamped accordingly.

What is heard is the middle and the side; a network of one channel hears the middle alone, and the side is not analysed.

A network may have been trained with the last frames of its window hidden and so gives gains of frames that it has not
heard. Then the newest sound lies so many columns before the window's right edge, and zeros follow it.
"""

from __future__ import annotations

import math
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from qsep_live.audio.resample import StreamConverter
from qsep_live.dsp.grid import BINS, FRAMES, HOP, MODEL_RATE, N_FFT, hann, segment_of
from qsep_live.dsp.repair import repair
from qsep_live.dsp.tape import Tape
from qsep_live.engine.gain_field import GainFrames
from qsep_live.errors import QsepError

FRESH = 128
"""Samples that must be new for another window to be worth its time."""


class Separate(Protocol):
    """The network."""

    @property
    def channels(self) -> int:
        """What it hears. 1: the middle. 2: the middle and the side."""

    def __call__(self, magnitude: NDArray[np.float32], z: NDArray[np.float32], /) -> NDArray[np.float32]:
        """Magnitudes (channels, BINS, frames) and z to a mask (BINS, frames); (K, 32) latents to one each."""


class MaskPath:
    """Keeps the newest window of a signal's middle and side and runs the Separator on it.

    Parameters
    ----------
    rate
        Of the signal, Hz.
    separate
        The network.
    position
        Absolute position of the first sample pushed.
    ahead
        Frames beyond the newest that the network was trained to tell, at most.
    frames
        In a window.
    """

    def __init__(self, rate: int, separate: Separate, position: int = 0, ahead: int = 0, frames: int = FRAMES) -> None:
        # A quarter of numpy's time for a window's 512 frames; imported here, since the audio process needs none of it.
        from scipy.fft import rfft

        self._rfft = rfft
        self.rate = rate
        self._separate = separate
        self._ahead = ahead
        self._frames = frames
        self._position = position
        self._start = position
        if rate in (MODEL_RATE, 2 * MODEL_RATE, 4 * MODEL_RATE):
            self._factor = rate // MODEL_RATE
        else:
            self._factor = 2 if rate > 2 * MODEL_RATE else 1
        self._history_rate = self._factor * MODEL_RATE
        self._spacing = HOP * rate / MODEL_RATE
        channels = separate.channels
        self._converter = None if rate == self._history_rate else StreamConverter(rate, self._history_rate, channels)
        self._segment = segment_of(frames) * self._factor
        self._history = Tape(channels, 4 * self._segment, self._segment)
        self._received = 0
        # Divided by the factor so that magnitudes are those of the model's own 1024-point window.
        self._window = hann(N_FFT * self._factor) / np.float32(self._factor)

    def push(self, heard: NDArray[np.float32]) -> None:
        """Append ``heard`` (n, 2), middle and side as `mid_side_of` gives them: finite samples."""
        self._append(heard)
        self._history.skip(len(self._history) - self._segment)

    def wanted(self) -> int:
        """Samples that must be new for another step to be worth its time."""
        return FRESH

    def _append(self, heard: NDArray[np.float32]) -> None:
        self._position += heard.shape[0]
        samples = heard[:, : self._separate.channels].T
        if self._converter is not None:
            samples = self._converter.process(samples)
        self._history.push(samples)
        self._received += samples.shape[1]

    def ahead_for(self, until: float) -> int:
        """Frames ahead that a step must give to have gains up to time ``until``, a position in samples.

        No more than the network was trained for.
        """
        missing = (until - self._newest) / self._spacing
        return min(self._ahead, math.ceil(max(missing, 0.0)))

    def step(self, z: NDArray[np.float32], ahead: int = 0) -> GainFrames:
        """Run the Separator on the window that ends at the newest sample, and ``ahead`` frames after it.

        Before the first sample there is silence.

        Raises
        ------
        QsepError
            The mask is not finite; one NaN in it would reach the loudspeakers and stay in the rack.
        """
        factor, hop = self._factor, HOP * self._factor
        samples = self._history.view(self._segment - ahead * hop, ahead * hop)
        frames = np.lib.stride_tricks.sliding_window_view(samples, N_FFT * factor, axis=1)[:, ::hop]
        spectrum = self._rfft(frames * self._window)[..., :BINS]
        magnitude = np.zeros((samples.shape[0], BINS, self._frames), np.float32)
        magnitude[..., : self._frames - ahead] = np.abs(spectrum).transpose(0, 2, 1)
        gains = np.ascontiguousarray(self._separate(magnitude, z).reshape(-1, self._frames).T)
        if not np.isfinite(np.sum(gains)):
            raise QsepError("the model's mask is not finite; choose another --device or --model")
        first = self._newest - (self._frames - 1 - ahead) * self._spacing
        return GainFrames(self._position, first, self._spacing, gains, np.atleast_2d(z))

    @property
    def _newest(self) -> float:
        """Centre of the newest frame that has been heard, a position in samples."""
        return self._start + (self._received - N_FFT // 2 * self._factor) * self.rate / self._history_rate


def mid_side_of(block: NDArray[np.float32], out: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
    """What a network may hear of a block: its middle and its side.

    The middle is the mean over channels. Channels are pairs of left and right, in order: the side is the sum of the
    lefts less the sum of the rights, divided by the number of channels, which of two channels is (L−R)/2. A last
    channel without a partner is in the middle alone; so the side of mono is silent.

    Parameters
    ----------
    block
        (n, channels); it is `repair`-ed.
    out
        (n, 2) float32, where to put the result.

    Returns
    -------
    ndarray
        (n, 2) float32: middle, side.
    """
    sound, _ = repair(block)
    channels = sound.shape[1]
    if out is None:
        out = np.empty((sound.shape[0], 2), np.float32)
    out[:] = 0.0
    middle, side = out[:, 0], out[:, 1]
    for channel in range(channels):
        middle += sound[:, channel]
    for left in range(0, channels - 1, 2):
        side += sound[:, left]
        side -= sound[:, left + 1]
    out /= np.float32(channels)
    return out

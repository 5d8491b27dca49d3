"""What HTDemucs does around its network, in numpy: spectrum, complex numbers as channels, normalising, and back.

The numbers are those of the `demucs` package (``HTDemucs.forward``), so that no torch is needed to run it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.fft
from numpy.typing import NDArray

Array = NDArray[np.float32]
FFT = 4096
HOP = FFT // 4
BINS = FFT // 2
"""Of the spectrum that the network hears: the one of half the rate is left out."""
PAD = HOP // 2 * 3
SHORTEST = 2 * HOP
"""Samples: a shorter window cannot be mirrored at its ends."""
_HANN = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(FFT) / FFT)).astype(np.float32)
_SCALE = np.float32(np.sqrt(FFT))
_OVERLAP = np.float32(1.5)
"""What the squares of four windows a hop apart sum to."""


@dataclass(frozen=True)
class Scale:
    """What was taken from the network's inputs, and is given back to its outputs."""

    spectrum_mean: np.float32
    spectrum_deviation: np.float32
    sound_mean: np.float32
    sound_deviation: np.float32


def frames_of(samples: int) -> int:
    """Frames of the spectrum of a window."""
    return -(-samples // HOP)


def network_inputs(window: Array) -> tuple[Array, Array, Scale]:
    """What the network takes: spectrum (1, 2·channels, BINS, frames) and sound (1, channels, samples), normalised."""
    spectrum = as_channels(stft(window))
    spectrum, spectrum_mean, spectrum_deviation = _normalised(spectrum)
    sound, sound_mean, sound_deviation = _normalised(window)
    return spectrum[None], sound[None], Scale(spectrum_mean, spectrum_deviation, sound_mean, sound_deviation)


def stems_from(spectra: Array, sounds: Array, scale: Scale) -> Array:
    """Stems (stems, channels, samples) from what the network gives.

    Parameters
    ----------
    spectra
        (1, stems, 2·channels, BINS, frames): changed in place.
    sounds
        (1, stems, channels, samples).
    """
    spectra, sounds = spectra[0], sounds[0]
    spectra *= scale.spectrum_deviation
    spectra += scale.spectrum_mean
    stems = istft(as_complex(spectra), sounds.shape[-1])
    stems += sounds * scale.sound_deviation
    stems += scale.sound_mean
    return stems


def stft(window: Array) -> NDArray[np.complex64]:
    """Spectrum (channels, BINS, frames) of (channels, samples), which must be at least `SHORTEST`."""
    behind = PAD + frames_of(window.shape[-1]) * HOP - window.shape[-1]
    padded = np.pad(window, ((0, 0), (PAD, behind)), mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(padded, FFT, axis=-1)[:, ::HOP] * _HANN
    spectrum = scipy.fft.rfft(frames, axis=-1)[..., :BINS] / _SCALE
    return np.asarray(spectrum.swapaxes(-1, -2), np.complex64)


def istft(spectra: NDArray[np.complex64], samples: int) -> Array:
    """Sound (..., channels, samples) of spectra (..., channels, BINS, frames)."""
    *outer, bins, count = spectra.shape
    full = np.zeros((*outer, count, bins + 1), np.complex64)
    full[..., :bins] = spectra.swapaxes(-1, -2)
    frames = scipy.fft.irfft(full, FFT, axis=-1, overwrite_x=True)
    frames *= _HANN * (_SCALE / _OVERLAP)
    blocks = np.zeros((*outer, count + 3, HOP), np.float32)
    for quarter in range(4):
        blocks[..., quarter : quarter + count, :] += frames[..., quarter * HOP : (quarter + 1) * HOP]
    return blocks.reshape(*outer, -1)[..., PAD : PAD + samples].copy()


def as_channels(spectrum: NDArray[np.complex64]) -> Array:
    """(channels, bins, frames) as (2·channels, bins, frames): the real part of each channel, then its imaginary."""
    parts = np.stack([spectrum.real, spectrum.imag], axis=1)
    return np.ascontiguousarray(parts.reshape(-1, *spectrum.shape[1:]))


def as_complex(parts: Array) -> NDArray[np.complex64]:
    """(..., 2·channels, bins, frames) as (..., channels, bins, frames): the inverse of `as_channels`."""
    *outer, doubled, bins, frames = parts.shape
    pairs = parts.reshape(*outer, doubled // 2, 2, bins, frames)
    result = np.empty((*outer, doubled // 2, bins, frames), np.complex64)
    result.real, result.imag = pairs[..., 0, :, :], pairs[..., 1, :, :]
    return result


def _normalised(values: Array) -> tuple[Array, np.float32, np.float32]:
    # Sums in float64: a million squares lose digits in float32, and torch's own order of adding is not ours to copy.
    mean = np.float32(values.mean(dtype=np.float64))
    deviation = np.float32(values.std(dtype=np.float64, ddof=1))
    return (values - mean) / (np.float32(1e-5) + deviation), mean, deviation

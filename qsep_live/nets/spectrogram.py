"""Sound to the magnitudes that both networks see, in torch."""

from __future__ import annotations

import torch
from torch import Tensor

from qsep_live.dsp.grid import BINS, HOP, N_FFT


def stft(audio: Tensor) -> Tensor:
    """Complex STFT, uncentred, periodic Hann window.

    Parameters
    ----------
    audio
        (B, samples) at 22,050 Hz, at least ``N_FFT`` samples.

    Returns
    -------
    Tensor
        (B, N_FFT // 2 + 1, T) complex; frame t covers samples [t·HOP, t·HOP + N_FFT).
    """
    window = torch.hann_window(N_FFT, dtype=audio.dtype, device=audio.device)
    return torch.stft(audio, N_FFT, HOP, N_FFT, window, center=False, return_complex=True)


def magnitude(audio: Tensor) -> Tensor:
    """(B, samples) at 22,050 Hz to magnitudes (B, 1, BINS, T), the Nyquist bin left out."""
    return stft(audio)[:, None, :BINS].abs()


def mid_side(audio: Tensor) -> Tensor:
    """(B, channels, samples) at 22,050 Hz to complex (B, channels, BINS, T), the Nyquist bin left out.

    Left and right become the middle (L+R)/2 and the side (L−R)/2; mono stays what it is.
    """
    batch, channels, samples = audio.shape
    spectrum = stft(audio.reshape(batch * channels, samples))[:, :BINS]
    spectrum = spectrum.reshape(batch, channels, *spectrum.shape[1:])
    if channels == 1:
        return spectrum
    left, right = spectrum[:, 0], spectrum[:, 1]
    return torch.stack([(left + right) / 2, (left - right) / 2], dim=1)

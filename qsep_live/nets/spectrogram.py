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

"""The best a magnitude ratio mask could do, from the true stems."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from qsep_live.evaluation.extra import needs

FRAME, HOP = 2048, 512
"""Samples at 44.1 kHz; the engine's own analysis."""


def oracle_estimates(
    mixture: NDArray[np.float32], stems: Mapping[str, NDArray[np.float32]]
) -> dict[str, NDArray[np.float32]]:
    """Each stem by the ideal ratio mask |S_j| / Σ_k |S_k|, channel by channel, with the mixture's phase.

    2048-point STFT, hop 512, Hann; sounds are (n, channels).
    """
    spectrum = stft(mixture)
    magnitudes = {name: np.abs(stft(stem)) for name, stem in stems.items()}
    total = np.sum(list(magnitudes.values()), axis=0) + np.finfo(np.float32).tiny
    return {
        name: istft(spectrum * (magnitude / total), len(mixture)).astype(np.float32)
        for name, magnitude in magnitudes.items()
    }


def stft(audio: NDArray[np.float32], frame: int = FRAME, hop: int = HOP) -> NDArray[np.complex64]:
    """(n, channels) to (channels, bins, frames), Hann."""
    signal = needs("scipy.signal")
    spectrum: NDArray[np.complex64] = signal.stft(audio.T, nperseg=frame, noverlap=frame - hop)[2]
    return spectrum


def istft(spectrum: NDArray[np.complex64], frames: int, frame: int = FRAME, hop: int = HOP) -> NDArray[np.float32]:
    """(channels, bins, frames) to (``frames``, channels)."""
    signal = needs("scipy.signal")
    audio = signal.istft(spectrum, nperseg=frame, noverlap=frame - hop)[1]
    audio = np.pad(audio, ((0, 0), (0, max(0, frames - audio.shape[1]))))
    result: NDArray[np.float32] = audio[:, :frames].T.astype(np.float32)
    return result

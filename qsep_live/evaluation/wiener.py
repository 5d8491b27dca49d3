"""A multichannel Wiener filter over all estimates at once: each source's share of the mixture, phase included."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from qsep_live.evaluation.extra import needs
from qsep_live.evaluation.oracle import istft, stft

FRAME, HOP = 4096, 1024
CHUNK = 300
"""STFT frames that share their spatial covariances, 7 s at 44.1 kHz: a song's memory stays bounded."""


def wiener_filtered(
    mixture: NDArray[np.float32], estimates: Mapping[str, NDArray[np.float32]]
) -> dict[str, NDArray[np.float32]]:
    """Refine ``estimates`` by one step of expectation maximisation (norbert; Nugraha, Liutkus and Vincent 2016).

    Parameters
    ----------
    mixture
        (n, channels).
    estimates
        (n, channels) each, all the sources the mixture consists of.
    """
    norbert = needs("norbert")
    names = list(estimates)
    # (frames, bins, channels), as norbert has it.
    mixed = stft(mixture, FRAME, HOP).transpose(2, 1, 0).astype(np.complex128)
    magnitudes = np.stack([np.abs(stft(estimates[name], FRAME, HOP)).transpose(2, 1, 0) for name in names], axis=-1)
    out = np.empty((*mixed.shape, len(names)), np.complex64)
    for start in range(0, len(mixed), CHUNK):
        part = slice(start, start + CHUNK)
        out[part] = norbert.wiener(magnitudes[part].astype(np.float64), mixed[part].copy(), 1, use_softmask=False)
    return {
        name: istft(out[..., number].transpose(2, 1, 0), len(mixture), FRAME, HOP) for number, name in enumerate(names)
    }

"""The Query-net as the latent room calls it: sound in, the mean of each latent out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from qsep_live.dsp.grid import SEGMENT

if TYPE_CHECKING:
    from qsep_live.nets.model import Model

BATCH = 16
"""Segments at a time: under 200 MB of work."""


def encode(model: Model, audio: NDArray[np.float32]) -> NDArray[np.float32]:
    """Encode segments to latents.

    Parameters
    ----------
    model
        Its Query-net runs, on the device it is on.
    audio
        (N, SEGMENT) float32 at 22,050 Hz; any N.

    Returns
    -------
    ndarray
        mu, (N, latent) float32.
    """
    import torch

    from qsep_live.nets.spectrogram import magnitude

    if audio.ndim != 2 or audio.shape[1] != SEGMENT:
        raise ValueError(f"audio is shaped {audio.shape}, must be (N, {SEGMENT})")
    query_net = model.query_net
    device = next(query_net.parameters()).device
    means = np.empty((audio.shape[0], query_net.config.latent), np.float32)
    with torch.inference_mode():
        for start in range(0, audio.shape[0], BATCH):
            batch = np.ascontiguousarray(audio[start : start + BATCH], np.float32)
            mu, _ = query_net(magnitude(torch.from_numpy(batch).to(device)))
            means[start : start + BATCH] = mu.cpu().numpy()
    return means

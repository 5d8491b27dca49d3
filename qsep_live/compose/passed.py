"""Pitch and density of what a mask lets through, so that a gradient can follow them back to the latent.

Pitch is the spectral centroid in semitones. Density is an effective number of onsets a second: with the rise at each
step (half-wave rectified spectral flux; Dixon 2006, "Onset detection revisited", eq. 2.3, on bands) above its mean,
r, it is (Σr)²/Σr² over time. n equal onsets that stand apart give n, however loud they are; the plain flux would give
more for louder sound, and over the sound's own level as much for few onsets as for many.

Threading: pure functions, any thread.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from qsep_live.dsp.grid import BIN_HZ, FRAME_SECONDS

BAND = 8
"""Bins (172 Hz) that are one band."""
STEP = 4
"""Frames (46 ms) that are one step: the STFT's own window, within which nothing is told apart."""
_TINY = 1e-12


class Passed(NamedTuple):
    """What K masks let through, each (K,)."""

    pitch: Tensor
    """Spectral centroid of the magnitudes, semitones above 1 Hz."""
    density: Tensor
    """Effective onsets a second, octaves above one a second."""
    level: Tensor
    """Energy that passes over the energy that is there, dB."""


def passed(magnitude: Tensor, mask: Tensor) -> Passed:
    """Measure what passes, over all windows together.

    Parameters
    ----------
    magnitude
        (W, F, T): of what the masks are laid on.
    mask
        (W, K, F, T) in [0, 1]; T of two steps or more.

    Returns
    -------
    Passed
        Differentiable in ``mask``.
    """
    through = mask * magnitude[:, None]
    spectrum = through.sum(dim=(0, 3))
    hertz = BIN_HZ * torch.arange(spectrum.shape[-1], dtype=through.dtype, device=through.device)
    centroid = (spectrum * hertz).sum(dim=-1) / (spectrum.sum(dim=-1) + _TINY)
    power = through.square().sum(dim=(0, 2, 3)) / (magnitude.square().sum() + _TINY)
    return Passed(12.0 * torch.log2(centroid + _TINY), _onsets(through), 10.0 * torch.log10(power + _TINY))


def _onsets(through: Tensor) -> Tensor:
    """(W, K, F, T) to effective onsets a second, in octaves, (K,)."""
    bands = functional.avg_pool2d(through, (BAND, STEP))
    rise = (bands[..., 1:] - bands[..., :-1]).relu().sum(dim=2)
    # Free of the level before anything is squared, so that quiet sound does not vanish.
    rise = rise / (rise.mean(dim=(0, 2), keepdim=True) + _TINY)
    above = (rise - 1.0).relu()
    seconds = rise.shape[0] * rise.shape[2] * STEP * FRAME_SECONDS
    count = above.sum(dim=(0, 2)).square() / (above.square().sum(dim=(0, 2)) + _TINY)
    return torch.log2(count / seconds + _TINY)

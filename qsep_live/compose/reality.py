"""How real a latent is, without a critic: how far it lies from the nearest latent that came from sound.

Threading: values and pure functions, any thread.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Latents = NDArray[np.float32]


class Reality:
    """A measure against latents that came from sound.

    Parameters
    ----------
    real : (N, latent) float32
        Three or more, not all the same.

    Attributes
    ----------
    usual : float
        Median distance of a real latent from the nearest other one.
    limit : float
        The 95th percentile of the measure of each of them against the others: what lies nearer counts as real.
    """

    def __init__(self, real: Latents) -> None:
        if real.ndim != 2 or len(real) < 3:
            raise ValueError(f"real latents are shaped {real.shape}, must be three or more")
        self._real = real.astype(np.float64)
        apart = np.linalg.norm(self._real[:, None] - self._real, axis=2)
        np.fill_diagonal(apart, np.inf)
        nearest = apart.min(axis=1)
        self.usual = float(np.median(nearest))
        if self.usual == 0.0:
            raise ValueError("the real latents are copies of each other")
        self.limit = float(np.quantile(nearest, 0.95)) / self.usual

    def measure(self, latents: Latents) -> NDArray[np.float64]:
        """Distance to the nearest real latent over what is usual among real ones (1); (K, latent) to (K,)."""
        nearest: NDArray[np.float64] = np.linalg.norm(latents[:, None] - self._real, axis=2).min(axis=1)
        return nearest / self.usual

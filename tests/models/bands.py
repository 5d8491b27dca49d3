"""Somebody else's separator, as their package would have it: what is below 1 kHz, and what is above."""

from __future__ import annotations

import numpy as np

from qsep_live.models.spec import SeparatorSpec


class Bands:
    spec = SeparatorSpec(
        name="bands", fingerprint="c0ffee00", rate=32_000, channels=2, carrier="stems", latent=2,
        windows=(64_000, 32_000), hop=1024, stems=("low", "high"), edge=320, licence="CC0-1.0",
    )  # fmt: skip

    def __init__(self, device: str = "auto", threads: int = 1, exact: bool = True) -> None:
        self._exact = exact

    def warm_up(self, window: int) -> None:
        self(np.zeros((2, window), np.float32))

    def __call__(self, window: np.ndarray) -> np.ndarray:
        channels, samples = window.shape
        if channels != 2 or samples not in self.spec.windows:
            raise ValueError(f"a window of shape {window.shape}; give (2, {' or '.join(map(str, self.spec.windows))})")
        spectrum = np.fft.rfft(window)
        spectrum[:, 1000 * samples // self.spec.rate :] = 0.0
        low = np.fft.irfft(spectrum, samples).astype(np.float32)
        if not self._exact:
            low = low.astype(np.float16).astype(np.float32)
        return np.stack([low, 0.5 * (window - low)])

"""The one place that knows the model's sample rate, window, hop and frame count.

The network sees 22,050 Hz mono through a 1024-point STFT with hop 256 (paper §4.1); one window of 256 frames
is 66,304 samples, 3.007 s. The same bins are the lower half of a 2048-point, hop-512 STFT at 44.1 kHz.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

MODEL_RATE = 22_050
"""Hz: the sample rate the networks were defined at."""
N_FFT = 1024
"""Samples at MODEL_RATE: the model's STFT window."""
HOP = 256
"""Samples at MODEL_RATE: 75 % overlap."""
FRAMES = 256
"""Frames in one window of the Separator."""
BINS = 512
"""Bins that the networks see, from DC; the Nyquist bin follows the one below it."""
SEGMENT = (FRAMES - 1) * HOP + N_FFT
"""Samples at MODEL_RATE in one window of the Separator, and in what the Query-net hears: 3.007 s."""
BIN_HZ = MODEL_RATE / N_FFT
FRAME_SECONDS = HOP / MODEL_RATE


def segment_of(frames: int) -> int:
    """Samples at MODEL_RATE in a window of ``frames``."""
    return (frames - 1) * HOP + N_FFT


def hann(length: int) -> NDArray[np.float32]:
    """Periodic Hann window, shape (length,), float32."""
    phase = 2.0 * np.pi * np.arange(length) / length
    return (0.5 - 0.5 * np.cos(phase)).astype(np.float32)

"""Magnitudes as the networks take them, and those that the live engine takes at 44.1 kHz."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from qsep_live.dsp.grid import BINS, FRAMES, HOP, MODEL_RATE, N_FFT, SEGMENT, hann
from qsep_live.nets.spectrogram import magnitude, stft


def partials(rate: int, samples: int) -> NDArray[np.float64]:
    """Sinusoids up to 10 kHz, between the bins' centres."""
    time = np.arange(samples) / rate
    frequencies = np.geomspace(60.0, 10_000.0, 30)
    return sum(0.03 * np.sin(2 * np.pi * f * time + f) for f in frequencies)


def test_one_segment_is_one_window_of_the_separator() -> None:
    assert magnitude(torch.zeros(2, SEGMENT)).shape == (2, 1, BINS, FRAMES)


def test_a_full_scale_sinusoid_on_a_bin_is_a_quarter_of_the_window() -> None:
    time = torch.arange(SEGMENT) / MODEL_RATE
    tone = torch.sin(2 * np.pi * 100 * MODEL_RATE / N_FFT * time)[None]
    found = magnitude(tone)[0, 0, 100]
    torch.testing.assert_close(found, torch.full_like(found, N_FFT / 4), rtol=1e-4, atol=0.0)


def test_it_is_the_lower_half_of_a_2048_point_spectrum_at_twice_the_rate() -> None:
    low = magnitude(torch.from_numpy(partials(MODEL_RATE, SEGMENT)).float()[None])[0, 0].numpy()
    samples = partials(2 * MODEL_RATE, 2 * SEGMENT)
    frames = np.lib.stride_tricks.sliding_window_view(samples, 2 * N_FFT)[:: 2 * HOP]
    high = np.abs(np.fft.rfft(frames * hann(2 * N_FFT)))[:FRAMES, :BINS].T / 2.0
    assert high.shape == low.shape
    np.testing.assert_allclose(high, low, rtol=0.0, atol=2e-4 * float(low.max()))


def test_the_stft_keeps_the_nyquist_bin_that_the_networks_leave_out() -> None:
    noise = torch.randn(1, SEGMENT, generator=torch.Generator().manual_seed(0))
    spectrum = stft(noise)
    assert spectrum.shape == (1, BINS + 1, FRAMES)
    torch.testing.assert_close(magnitude(noise)[0, 0], spectrum[0, :BINS].abs())

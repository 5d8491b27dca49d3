from __future__ import annotations

import numpy as np
import pytest

from qsep_live.dsp import grid


def test_the_numbers_of_the_paper() -> None:
    assert (grid.MODEL_RATE, grid.N_FFT, grid.HOP, grid.FRAMES, grid.BINS) == (22_050, 1024, 256, 256, 512)
    assert grid.SEGMENT == 66_304
    assert pytest.approx(3.007, abs=5e-4) == grid.SEGMENT / grid.MODEL_RATE


def test_a_segment_holds_exactly_its_frames() -> None:
    starts = range(0, grid.SEGMENT - grid.N_FFT + 1, grid.HOP)
    assert len(starts) == grid.FRAMES
    assert starts[-1] + grid.N_FFT == grid.SEGMENT


def test_bins_are_those_of_twice_the_frame_at_twice_the_rate() -> None:
    model = np.fft.rfftfreq(grid.N_FFT, 1 / grid.MODEL_RATE)
    twice = np.fft.rfftfreq(2 * grid.N_FFT, 1 / (2 * grid.MODEL_RATE))
    np.testing.assert_allclose(model, twice[: grid.N_FFT // 2 + 1])
    assert model[1] == pytest.approx(grid.BIN_HZ)
    assert pytest.approx(grid.HOP / 22_050) == grid.FRAME_SECONDS


@pytest.mark.parametrize("length", [16, 1024, 2048])
def test_hann_is_periodic_and_its_square_adds_up(length: int) -> None:
    window = grid.hann(length)
    assert window.dtype == np.float32
    assert window[0] == 0.0
    assert window[length // 2] == 1.0
    np.testing.assert_allclose(window[1:], window[:0:-1], atol=1e-6)
    overlapped = (window.astype(np.float64) ** 2).reshape(4, -1).sum(axis=0)
    np.testing.assert_allclose(overlapped, 1.5, atol=1e-5)

from __future__ import annotations

import numpy as np
import pytest
import torch

from qsep_live.compose.passed import passed
from qsep_live.dsp.grid import BIN_HZ, FRAME_SECONDS


def clicks(per_second: float, level: float = 1.0) -> torch.Tensor:
    """(2, 512, 256): decaying clicks over all bins."""
    sound = torch.zeros(2, 512, 256)
    apart = round(1.0 / per_second / FRAME_SECONDS)
    for frame in range(4, 256, apart):
        length = min(12, 256 - frame)
        sound[:, :, frame : frame + length] += level * 0.5 ** torch.arange(length)
    return sound


def test_the_pitch_of_one_bin_is_its_frequency() -> None:
    sound = torch.zeros(1, 512, 256)
    sound[:, 40, ::16] = 1.0
    found = passed(sound, torch.ones(1, 1, 512, 256))
    assert float(found.pitch) == pytest.approx(12.0 * np.log2(40 * BIN_HZ), abs=1e-3)
    assert float(found.level) == pytest.approx(0.0, abs=1e-4)


def test_an_octave_is_twelve_semitones() -> None:
    sound = torch.zeros(1, 512, 256)
    sound[:, [40, 80], ::16] = 1.0
    masks = torch.zeros(1, 2, 512, 256)
    masks[:, 0, 40], masks[:, 1, 80] = 1.0, 1.0
    low, high = passed(sound, masks).pitch
    assert float(high - low) == pytest.approx(12.0, abs=1e-3)


@pytest.mark.parametrize("rate", [1.0, 2.0, 4.0])
def test_density_counts_clicks_and_not_their_level(rate: float) -> None:
    found = [passed(clicks(rate, level), torch.ones(1, 1, 512, 256)).density for level in (1.0, 1e-3)]
    assert float(found[0]) == pytest.approx(float(found[1]), abs=1e-3)
    assert 2.0 ** float(found[0]) == pytest.approx(rate, rel=0.2)


def test_the_gradient_is_the_slope() -> None:
    torch.manual_seed(1)
    sound = torch.rand(1, 512, 64, dtype=torch.float64)
    mask = (0.5 * torch.rand(1, 1, 512, 64, dtype=torch.float64)).requires_grad_()
    way = torch.rand_like(mask)
    found = passed(sound, mask)
    for value, name in zip(found, found._fields, strict=True):
        (slope,) = torch.autograd.grad(value.sum(), mask, retain_graph=True)
        with torch.no_grad():
            ends = [float(getattr(passed(sound, mask + step * way), name)) for step in (-1e-5, 1e-5)]
        assert float((slope * way).sum()) == pytest.approx((ends[1] - ends[0]) / 2e-5, rel=1e-3, abs=1e-5)


def test_silence_is_finite() -> None:
    mask = torch.zeros(1, 1, 512, 256, requires_grad=True)
    found = passed(clicks(2.0), mask)
    assert all(bool(torch.isfinite(each).all()) for each in found)
    (slope,) = torch.autograd.grad(sum(each.sum() for each in found), mask)
    assert bool(torch.isfinite(slope).all())

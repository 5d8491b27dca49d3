"""The Separator: shapes, range, and that folding z into the first layer is algebra."""

from __future__ import annotations

import pytest
import torch

from qsep_live.dsp.grid import BINS, FRAMES
from qsep_live.nets.separator import AdaIN, Separator, SeparatorConfig


def inputs(frames: int = FRAMES, batch: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(2)
    return 9.0 * torch.rand(batch, 1, BINS, frames, generator=generator), torch.randn(batch, 32, generator=generator)


def test_folded_z_is_tiled_z_everywhere_and_at_the_borders(separator: Separator) -> None:
    magnitude, z = inputs()
    folded, tiled = separator.first(magnitude, 5 * z), separator.first.tiled(magnitude, 5 * z)
    # Sums of 528 products in another order.
    torch.testing.assert_close(folded, tiled, rtol=2e-6, atol=2e-6 * float(tiled.abs().max()))
    separator.double()
    wide = magnitude.double(), 5 * z.double()
    difference = separator.first(*wide) - separator.first.tiled(*wide)
    assert float(difference.abs().max()) < 1e-12 * float(tiled.abs().max())


def test_the_borders_matter(separator: Separator) -> None:
    """What the test above would miss if z planes had no border cases."""
    z = 5 * inputs()[1]
    plane = separator.first(torch.zeros(2, 1, BINS, FRAMES), z)
    middle = plane[:, :, 1:2, 2:3]
    assert torch.equal(plane[:, :, 1:-1, 2:-1], middle.expand(-1, -1, BINS // 2 - 2, FRAMES - 3))
    for edge in (plane[:, :, 0], plane[:, :, -1], plane[..., 0], plane[..., 1], plane[..., -1]):
        assert float((edge - middle[..., 0]).abs().mean()) > 0.1


def test_the_mask_is_the_same_with_folded_and_tiled_z(separator: Separator) -> None:
    magnitude, z = inputs()
    torch.testing.assert_close(separator(magnitude, z), separator(magnitude, z, tiled=True), rtol=0.0, atol=2e-5)


@pytest.mark.parametrize("frames", [32, 64, 96, 256, 288])
def test_a_mask_has_the_magnitudes_shape(separator: Separator, frames: int) -> None:
    magnitude, z = inputs(frames, batch=1)
    mask = separator(magnitude, z)
    assert mask.shape == magnitude.shape
    assert 0.0 <= float(mask.min()) <= float(mask.max()) <= 1.0


@pytest.mark.parametrize("level", [0.0, 1e-20, 1e4])
def test_the_mask_stays_a_mask_at_any_level(separator: Separator, level: float) -> None:
    magnitude, z = inputs(batch=1)
    for latent in (0.0 * z, z, 100.0 * z):
        mask = separator(level * magnitude, latent)
        assert torch.isfinite(mask).all()
        assert 0.0 <= float(mask.min()) <= float(mask.max()) <= 1.0


def test_items_of_a_batch_do_not_touch_each_other(separator: Separator) -> None:
    magnitude, z = inputs()
    torch.testing.assert_close(separator(magnitude, z)[1:], separator(magnitude[1:], z[1:]), rtol=0.0, atol=2e-5)


def test_z_steers_the_mask(separator: Separator) -> None:
    magnitude, z = inputs(batch=1)
    assert float((separator(magnitude, z) - separator(magnitude, -z)).abs().mean()) > 0.01


def test_adain_is_equation_3_1() -> None:
    torch.manual_seed(0)
    x, z = torch.randn(1, 3, 8, 8, dtype=torch.float64), torch.randn(1, 5, dtype=torch.float64)
    layer = AdaIN(3, 5, offset=False).double()
    mean, deviation = x.mean((2, 3), keepdim=True), x.std((2, 3), keepdim=True, correction=0)
    scale, shift = z @ layer.scale.weight.T, z @ layer.shift.weight.T
    wanted = scale[:, :, None, None] * (x - mean) / deviation + shift[:, :, None, None]
    torch.testing.assert_close(layer(x, z), wanted, rtol=1e-4, atol=1e-4)


def test_the_paper_s_config_has_no_bias_on_z() -> None:
    names = set(Separator(SeparatorConfig((2, 2))).state_dict())
    assert {"adain.0.scale.weight", "adain.1.shift.weight"} <= names
    assert not any(name.startswith("adain") and name.endswith("bias") for name in names)


def test_several_latents_of_one_window_are_as_each_alone() -> None:
    torch.manual_seed(0)
    made = Separator(SeparatorConfig((4, 6, 8))).eval().requires_grad_(False)
    magnitude, z = torch.rand(2, 1, BINS, FRAMES), torch.randn(4, 32)
    alone = torch.cat([made(magnitude[i // 2 : i // 2 + 1], z[i : i + 1]) for i in range(4)])
    torch.testing.assert_close(made(magnitude, z), alone, atol=1e-5, rtol=1e-4)

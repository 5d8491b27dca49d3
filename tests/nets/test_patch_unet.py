"""PatchUNet: what its mask may be, and what it listens to."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from qsep_live.dsp.grid import BINS, FRAMES
from qsep_live.nets.growth import grow
from qsep_live.nets.inference_weights import attention_heads, band_sizes
from qsep_live.nets.model import Model, build_separator, load_model, save_model
from qsep_live.nets.patch_unet import PatchUNet, PatchUNetConfig, _Bands
from qsep_live.nets.query_net import QueryNet, QueryNetConfig

SMALL = {channels: PatchUNetConfig((8, 12, 16), channels=channels) for channels in (1, 2)}


def network(channels: int) -> PatchUNet:
    """Random, also where training starts from zeros."""
    torch.manual_seed(channels)
    made = PatchUNet(SMALL[channels]).eval().requires_grad_(False)
    for name, parameter in made.named_parameters():
        if name in ("shift", "place") or "spread" in name:
            parameter.normal_(0.0, 0.1)
    return made


def sound(channels: int, seed: int = 0, batch: int = 1) -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(seed)
    return 40.0 * torch.rand(batch, channels, BINS, FRAMES, generator=random) ** 6, torch.randn(
        batch, 32, generator=random
    )


@pytest.mark.parametrize("channels", [1, 2])
@given(st.integers(0, 99), st.sampled_from([0.0, 1e-6, 1e-3, 1.0, 1e3]), st.sampled_from([0.0, 1.0, 30.0]))
@settings(max_examples=8, deadline=None)
def test_the_mask_is_a_mask_whatever_is_heard(channels: int, seed: int, level: float, latent: float) -> None:
    magnitude, z = sound(channels, seed)
    mask = network(channels)(level * magnitude, latent * z)
    assert mask.shape == (1, 1, BINS, FRAMES)
    assert bool(torch.isfinite(mask).all())
    assert float(mask.min()) >= 0.0
    assert float(mask.max()) <= 1.0


@pytest.mark.parametrize("channels", [1, 2])
def test_loud_and_quiet_music_are_the_same_music(channels: int) -> None:
    made, (magnitude, z) = network(channels), sound(channels)
    mask = made(magnitude, z)
    torch.testing.assert_close(made(4.0 * magnitude, z), mask, rtol=0.0, atol=2e-3)
    assert float((made(magnitude**2, z) - mask).abs().max()) > 0.02


@pytest.mark.parametrize("channels", [1, 2])
def test_z_acts(channels: int) -> None:
    made, (magnitude, z) = network(channels), sound(channels)
    assert float((made(magnitude, z) - made(magnitude, -z)).abs().max()) > 0.02


def test_the_side_is_heard() -> None:
    made, (magnitude, z) = network(2), sound(2)
    still = magnitude.clone()
    still[:, 1] = 0.0
    assert float((made(magnitude, z) - made(still, z)).abs().max()) > 0.02


@pytest.mark.parametrize("channels", [1, 2])
def test_a_batch_is_its_windows_one_by_one(channels: int) -> None:
    made, (magnitude, z) = network(channels), sound(channels, batch=3)
    together = made(magnitude, z)
    alone = torch.cat([made(magnitude[i : i + 1], z[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(together, alone, rtol=0.0, atol=1e-5)


@pytest.mark.parametrize("frames", [32, 64, 128])
def test_shorter_windows_in_training(frames: int) -> None:
    magnitude, z = sound(2)
    assert network(2)(magnitude[..., :frames], z).shape == (1, 1, BINS, frames)


@pytest.mark.parametrize("channels", [1, 2])
def test_a_file_brings_it_back(channels: int, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    model = Model(network(channels), QueryNet(QueryNetConfig((2,) * 6, gru_units=4)))
    save_model(model, path, torch.float32)
    loaded = load_model(path)
    assert isinstance(loaded.separator, PatchUNet)
    assert (loaded.separator.config, loaded.channels) == (SMALL[channels], channels)
    assert isinstance(build_separator(SMALL[channels]), PatchUNet)
    magnitude, z = sound(channels)
    assert torch.equal(loaded.separator(magnitude, z), model.separator(magnitude, z))


@pytest.mark.parametrize("channels", [1, 2])
def test_several_latents_of_one_window_are_as_each_alone(channels: int) -> None:
    made = network(channels)
    magnitude, _ = sound(channels, 1, batch=2)
    z = torch.randn(2 * 3, 32, generator=torch.Generator().manual_seed(2))
    alone = torch.cat([made(magnitude[i // 3 : i // 3 + 1], z[i : i + 1]) for i in range(6)])
    torch.testing.assert_close(made(magnitude, z), alone, atol=1e-5, rtol=1e-4)


def test_later_blocks_with_a_gain_of_zero_are_not_there() -> None:
    made, (magnitude, z) = network(2), sound(2)
    deeper = PatchUNet(replace(SMALL[2], depth=3)).eval().requires_grad_(False)
    grow(made, deeper)
    for name, parameter in deeper.named_parameters():
        if name.endswith("gain"):
            parameter.zero_()
    torch.testing.assert_close(deeper(magnitude, z), made(magnitude, z))


def test_each_band_has_kernels_of_its_own() -> None:
    """What is in one octave band and far from its edges goes through that band's kernels alone."""
    made = PatchUNet(replace(SMALL[2], bands=3)).eval().requires_grad_(False)
    conv = made.encoder[0].conv
    x = torch.randn(1, 8, 128, 16, generator=torch.Generator().manual_seed(3))
    y = conv(x)
    for band, (low, high) in enumerate([(0, 32), (32, 64), (64, 128)]):
        kernel = conv.bands[band].weight
        alone = torch.nn.functional.conv2d(x, kernel, padding=1)
        torch.testing.assert_close(y[:, :, low:high], alone[:, :, low:high])
        kernel.zero_()
        assert torch.equal(conv(x)[:, :, low:high], torch.zeros_like(y[:, :, low:high]))


@pytest.mark.parametrize("per_channel", [True, False])
def test_a_norm_of_each_channel_forgets_how_loud_it_was(per_channel: bool) -> None:
    block = PatchUNet(replace(SMALL[2], per_channel=per_channel)).requires_grad_(False).encoder[0]
    x = torch.randn(1, 8, 128, 16, generator=torch.Generator().manual_seed(4))
    y = block(x)
    block.conv.weight[0] *= 5.0
    assert torch.allclose(block(x), y, atol=1e-3) == per_channel


def test_attention_hears_the_whole_window() -> None:
    """The last mask's frames hear the first ones where convolutions do not reach that far."""
    torch.manual_seed(0)
    config = PatchUNetConfig((8, 12), channels=2, attention=1)
    layer = PatchUNet(config).requires_grad_(False).attention[0]
    layer.out.weight.normal_()
    x = torch.randn(1, 12, 64, 32, generator=torch.Generator().manual_seed(3))
    changed = x.clone()
    changed[:, :, :4, :2] *= -3.0
    assert float((layer(changed) - layer(x))[:, :, 60:, 30:].abs().max()) > 1e-3


@pytest.mark.parametrize(("width", "heads"), [(8, 1), (63, 1), (64, 2), (112, 2), (160, 5), (224, 7)])
def test_heads_are_of_one_size(width: int, heads: int) -> None:
    assert attention_heads(width) == heads


@pytest.mark.parametrize("count", [2, 3, 4])
def test_bands_and_their_gradient_are_those_of_slices(count: int) -> None:
    sizes = band_sizes(16, count)
    image = torch.randn(2, 3, 16, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    padded, start = torch.nn.functional.pad(image, (0, 0, 1, 1)), 0
    for size, band in zip(sizes, _Bands.apply(image, sizes), strict=True):
        assert torch.equal(band, padded[:, :, start : start + size + 2])
        start += size
    assert torch.autograd.gradcheck(lambda x: _Bands.apply(x, sizes), image.requires_grad_())


@pytest.mark.parametrize("bands", [1, 2, 4])
def test_octave_bands_are_all_rows(bands: int) -> None:
    sizes = band_sizes(16, bands)
    assert sum(sizes) == 16
    assert sizes[0] == (sizes[1] if bands > 1 else 16)
    assert all(2 * low == high for low, high in itertools.pairwise(sizes[1:]))


def test_the_finest_level_has_one_block() -> None:
    names = [name for name, _ in PatchUNet(replace(SMALL[2], depth=2)).named_parameters()]
    assert {name.partition("_more.")[2][0] for name in names if name.startswith("encoder_more")} == {"1", "2"}
    assert {name.partition("_more.")[2][0] for name in names if name.startswith("decoder_more")} == {"0", "1"}

"""A larger network that begins as a smaller one."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from qsep_live.dsp.grid import BINS, FRAMES
from qsep_live.nets.growth import grow, may_grow
from qsep_live.nets.patch_unet import PatchUNet, PatchUNetConfig

SMALL = PatchUNetConfig((8, 12, 16), channels=2)


def network(config: PatchUNetConfig, seed: int = 0) -> PatchUNet:
    """Random, also where training starts from zeros."""
    torch.manual_seed(seed)
    made = PatchUNet(config).eval().requires_grad_(False)
    for name, parameter in made.named_parameters():
        if name in ("shift", "place") or "spread" in name:
            parameter.normal_(0.0, 0.1)
    return made


def sound() -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(5)
    return 40.0 * torch.rand(1, 2, BINS, FRAMES, generator=random) ** 6, torch.randn(1, 32, generator=random)


@pytest.mark.parametrize(
    "changes", [{"bands": 4}, {"attention": 2}, {"fine": 4}, {"bands": 2, "attention": 1, "fine": 2}], ids=str
)
def test_bands_begin_alike_and_neither_attention_nor_a_finer_level_changes_a_thing(changes: dict[str, int]) -> None:
    small, large = network(SMALL), network(replace(SMALL, **changes), 1)
    grow(small, large)
    torch.testing.assert_close(large(*sound()), small(*sound()))


@pytest.mark.parametrize(
    "changes",
    [
        {"widths": (12, 18, 24)},
        {"widths": (8, 12, 20)},
        {"depth": 3},
        {"widths": (9, 12, 17), "depth": 2},
        {"widths": (12, 18, 24), "depth": 2, "bands": 3},
    ],
    ids=str,
)
def test_the_mask_stays_nearly_what_it_was(changes: dict[str, tuple[int, ...]]) -> None:
    small, large = network(SMALL), network(replace(SMALL, **changes), 1)
    mask, fresh = small(*sound()), large(*sound())
    grow(small, large)
    grown = large(*sound())
    assert float((grown - mask).std()) < 0.25 * float(mask.std())
    assert float((fresh - mask).std()) > 0.7 * float(mask.std()), "by chance it is not"


def test_nothing_that_was_there_reads_what_is_new() -> None:
    """With norms out of the way, the smaller network's features come out of the larger one to the last bit."""
    small, large = network(SMALL), network(replace(SMALL, widths=(10, 12, 20)), 1)
    grow(small, large)
    random = torch.Generator().manual_seed(6)
    for names in ("encoder.0.conv", "encoder.2.conv", "down.0", "down.1", "up.0", "up.1", "head", "stem"):
        mine, theirs = large.get_submodule(names), small.get_submodule(names)
        inputs = {"stem": 32, "up.0": 20, "down.1": 12, "up.1": 12, "encoder.2.conv": 20}.get(names, 10)
        known = {"stem": 32, "up.0": 16, "down.1": 12, "up.1": 12, "encoder.2.conv": 16}.get(names, 8)
        x = torch.randn(1, inputs, 8, 8, generator=random)
        y = theirs(x[:, :known])
        torch.testing.assert_close(mine(x)[:, : y.shape[1]], y, msg=names)
    for block in ("decoder.0", "decoder.2"):
        z = sound()[1]
        y = small.get_submodule(block).film(z).chunk(2, dim=1)
        for theirs_half, half in zip(y, large.get_submodule(block).film(z).chunk(2, dim=1), strict=True):
            assert torch.equal(half[:, : theirs_half.shape[1]], theirs_half)


def test_new_channels_are_no_copies_and_as_loud() -> None:
    small, large = network(SMALL), network(replace(SMALL, widths=(16, 12, 16)), 1)
    grow(small, large)
    kernel = large.encoder[0].conv.weight
    loud = kernel.flatten(1).norm(dim=1)
    assert float(loud[8:].mean()) == pytest.approx(float(loud[:8].mean()), rel=1e-5)
    assert not any(torch.equal(kernel[new], kernel[old]) for new in range(8, 16) for old in range(new))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"widths": (8, 12, 15)},
        {"widths": (16, 24)},
        {"widths": (8, 12, 16, 20)},
        {"channels": 1},
        {"latent": 16, "depth": 2},
        {"squeeze": 2, "widths": (9, 12, 16)},
        {"per_channel": True, "depth": 2},
    ],
    ids=str,
)
def test_what_does_not_grow(changes: dict[str, int | tuple[int, ...]]) -> None:
    other = replace(SMALL, **changes)
    assert not may_grow(SMALL, other)
    with pytest.raises(ValueError, match="does not grow"):
        grow(PatchUNet(SMALL), PatchUNet(other))


def test_it_does_not_shrink() -> None:
    deep = replace(SMALL, depth=2)
    assert may_grow(SMALL, deep)
    assert not may_grow(deep, replace(SMALL, widths=(9, 12, 16)))
    assert not may_grow(replace(SMALL, bands=2), replace(SMALL, bands=4))
    assert may_grow(replace(SMALL, bands=2), replace(deep, bands=2))
    heard = replace(SMALL, attention=2)
    assert may_grow(heard, replace(heard, widths=(9, 12, 16)))
    assert not may_grow(heard, replace(heard, widths=(8, 12, 20)))
    assert not may_grow(heard, replace(heard, attention=1, bands=2))
    fine = replace(SMALL, fine=4)
    assert may_grow(fine, replace(fine, depth=2, bands=2))
    assert not may_grow(fine, replace(fine, fine=8))
    assert not may_grow(fine, replace(fine, widths=(9, 12, 16)))
    assert not may_grow(fine, replace(SMALL, depth=2))


def test_what_has_a_finer_level_grows_with_it() -> None:
    small = network(replace(SMALL, fine=4))
    with torch.no_grad():
        small.fine.head.weight.normal_()
        small.fine.down.weight.normal_(std=0.1)
    large = network(replace(SMALL, fine=4, bands=2, attention=1), 1)
    grow(small, large)
    torch.testing.assert_close(large(*sound()), small(*sound()))

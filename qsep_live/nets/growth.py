"""A PatchUNet that begins as a smaller one: it holds more, and has what the smaller one has learned.

Added channels are as fresh as those of a new network, and nothing that was there reads them: so the mask stays nearly
what it was (a norm over all channels sees them), and training has their use to find alone. Chen et al. 2016
("Net2Net") add copies in their place, which have to grow apart first.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from qsep_live.nets.inference_weights import band_names
from qsep_live.nets.patch_unet import PatchUNet, PatchUNetConfig


def may_grow(small: PatchUNetConfig, large: PatchUNetConfig) -> bool:
    """Whether the larger network is the smaller one with more channels at some level, more blocks at each, kernels for
    each band in place of the same ones for all, more layers of attention, or a finer level."""
    if len(small.widths) != len(large.widths) or small.bands not in (1, large.bands):
        return False
    if small.depth > large.depth or small.attention > large.attention:
        return False
    if small.attention and small.widths[-1] != large.widths[-1]:
        return False
    if small.fine not in (0, large.fine) or (small.fine and small.widths[0] != large.widths[0]):
        return False
    wider = all(few <= many for few, many in zip(small.widths, large.widths, strict=True))
    same = replace(
        small, widths=large.widths, depth=large.depth, bands=large.bands, attention=large.attention, fine=large.fine
    )
    return wider and small != large and same == large


@torch.no_grad()
def grow(small: PatchUNet, large: PatchUNet) -> None:
    """Give a network the weights of a smaller one. Where it is wider, it has to be a fresh one.

    Raises
    ------
    ValueError
        `may_grow` says no.
    """
    if not may_grow(small.config, large.config):
        raise ValueError(f"{small.config} does not grow to {large.config}")
    mine = large.state_dict()
    apart = large.config.bands if small.config.bands == 1 else 1
    for name, given in small.state_dict().items():
        if name not in mine:
            # One convolution that is now one in each band.
            whole, _, kind = name.rpartition(".")
            for each in band_names(whole, apart):
                _place(given, mine[f"{each}.{kind}"])
            continue
        fresh = mine[name]
        if ".film." in name:
            # Scales of all channels, then shifts of all; those of a channel's bands lie together.
            for theirs, ours in zip(given.chunk(2), fresh.chunk(2), strict=True):
                _place(theirs.repeat_interleave(apart, dim=0), ours)
        elif name.startswith("up.") and given.ndim == 4:
            _place(given.transpose(0, 1), fresh.transpose(0, 1))
        else:
            _place(given, fresh)


def _place(given: Tensor, fresh: Tensor) -> None:
    """Weights (out, in, …) into larger ones, in place."""
    known, heard = len(given), given.shape[1] if given.ndim > 1 else 0
    if given.ndim == 4 and known < len(fresh):
        # As loud as the others, or the norm would turn all of them down.
        fresh[known:] *= given.flatten(1).norm(dim=1).mean() / fresh[known:].flatten(1).norm(dim=1).mean()
    if given.ndim > 1:
        fresh[:known, heard:] = 0.0
    fresh[tuple(slice(size) for size in given.shape)] = given

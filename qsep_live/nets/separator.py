"""Separator: a U-Net that a latent steers, magnitude and z to a soft mask (paper §3.3, §4.2).

z enters twice: stacked onto the input as constant planes, and as adaptive instance norm in the decoder. A
convolution of constant planes is a bias that depends on z alone, but for the borders, where fewer taps lie inside;
so the planes are never made: `_InputConv` convolves a plane just large enough to have every border case, and
indexes it out to the full size. `tiled=True` computes the literal form; a test shows that both agree.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from qsep_live.nets.query_net import compress


@dataclass(frozen=True)
class SeparatorConfig:
    """Hyperparameters of the Separator; the defaults are the paper's where it gives them.

    Widths and depth stand in a figure that is not in the text. Six levels take 512×256 to 8×8, a receptive field
    of the whole window; 16 channels at full resolution keep one window near 3.6 GFLOP, so that one CPU core
    follows live.

    Attributes
    ----------
    widths
        Channels after each encoder layer.
    latent
        Size of z.
    input_power
        Exponent on the input magnitudes; 1 is the paper.
    final_adain
        AdaIN before the last sigmoid too (paper). Without it the last layer has a plain bias, and a window in
        which the target is silent may have an empty mask.
    adain_offset
        Adds 1 to y_s, so that an untrained or zero latent leaves the features standing. The paper: no.
    """

    widths: tuple[int, ...] = (16, 32, 64, 128, 256, 256)
    latent: int = 32
    input_power: float = 1.0
    final_adain: bool = True
    adain_offset: bool = False


class Separator(nn.Module):
    """Magnitude (B, 1, F, T) and z (B, latent) → mask (B, 1, F, T) in [0, 1]. F = 512, T a multiple of 32.

    z may be (B·K, latent), K latents for each window in turn; the masks are (B·K, 1, F, T) then.
    """

    def __init__(self, config: SeparatorConfig = SeparatorConfig()) -> None:
        super().__init__()
        self.config = config
        widths = config.widths
        self.first = _InputConv(widths[0], config.latent)
        self.encoder = nn.ModuleList(
            nn.Conv2d(before, width, 4, stride=2, padding=1) for before, width in itertools.pairwise(widths)
        )
        decoder: list[nn.Module] = []
        adain: list[nn.Module] = []
        for level in reversed(range(len(widths))):
            inputs = widths[level] * (1 if level == len(widths) - 1 else 2)
            last = level == 0
            outputs = 1 if last else widths[level - 1]
            stride = (2, 1) if last else (2, 2)
            normed = config.final_adain or not last
            decoder.append(nn.ConvTranspose2d(inputs, outputs, 4, stride, padding=1, bias=not normed))
            if normed:
                adain.append(AdaIN(outputs, config.latent, config.adain_offset))
        self.decoder = nn.ModuleList(decoder)
        self.adain = nn.ModuleList(adain)

    def forward(self, magnitude: Tensor, z: Tensor, tiled: bool = False) -> Tensor:
        frames = magnitude.shape[-1]
        x = compress(latents_apart(magnitude, z), self.config.input_power)
        x = self.first.tiled(x, z) if tiled else self.first(x, z)
        x = _norm_act(x)
        skips = [x]
        for conv in self.encoder:
            x = _norm_act(conv(x))
            skips.append(x)
        for level, deconv in enumerate(self.decoder):
            if level:
                x = torch.cat([x, skips[-1 - level]], dim=1)
            x = deconv(x)
            if level < len(self.adain):
                x = self.adain[level](x, z)
            if level < len(self.decoder) - 1:
                x = functional.leaky_relu(x, 0.2)
        return torch.sigmoid(x[..., :frames])


def latents_apart(x: Tensor, z: Tensor) -> Tensor:
    """x (B, …) as often as z (B·K, latent) asks: (B·K, …), K times each in turn."""
    return x if len(x) == len(z) else x.repeat_interleave(len(z) // len(x), dim=0)


class AdaIN(nn.Module):
    """Adaptive instance norm: y_s·(x − μ(x))/σ(x) + y_b with y_s = W_sᵀz, y_b = W_bᵀz (paper eq. 3.1)."""

    def __init__(self, channels: int, latent: int, offset: bool) -> None:
        super().__init__()
        self.scale = nn.Linear(latent, channels, bias=offset)
        self.shift = nn.Linear(latent, channels, bias=offset)
        if offset:
            nn.init.ones_(self.scale.bias)
            nn.init.zeros_(self.shift.bias)

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        scale = self.scale(z)[:, :, None, None]
        shift = self.shift(z)[:, :, None, None]
        return torch.addcmul(shift, functional.instance_norm(x), scale)


class _InputConv(nn.Module):
    """The first encoder layer: 4×4 over (magnitude, z planes), stride 2 over frequency, 1 over time."""

    def __init__(self, width: int, latent: int) -> None:
        super().__init__()
        reference = nn.Conv2d(1 + latent, width, 4)
        self.weight = nn.Parameter(reference.weight.detach().clone())
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        y = _conv(x, self.weight[:, :1], self.bias)
        planes = z[:, :, None, None].expand(-1, -1, 8, 8)
        small = _conv(planes, self.weight[:, 1:], None)
        # Rows: first and last see padding. Columns: two frames of padding before, one after.
        rows, frames = y.shape[2], y.shape[3]
        small = torch.cat([small[:, :, :1], small[:, :, 1:2].expand(-1, -1, rows - 2, -1), small[:, :, 3:]], dim=2)
        plane = torch.cat([small[..., :2], small[..., 2:3].expand(-1, -1, -1, frames - 3), small[..., 7:]], dim=3)
        return y + plane

    def tiled(self, x: Tensor, z: Tensor) -> Tensor:
        """The paper's literal form: z repeated over every bin and frame."""
        planes = z[:, :, None, None].expand(-1, -1, x.shape[2], x.shape[3])
        return _conv(torch.cat([x, planes], dim=1), self.weight, self.bias)


def _conv(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return functional.conv2d(functional.pad(x, (2, 1, 1, 1)), weight, bias, stride=(2, 1))


def _norm_act(x: Tensor) -> Tensor:
    return functional.leaky_relu(functional.instance_norm(x), 0.2)

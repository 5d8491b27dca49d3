"""PatchUNet: the Separator of recipe `shipped`, a U-Net on patches; a latent scales and shifts its features.

What it keeps from the paper's Separator is its part in the frame: magnitudes and z in, a soft mask out, a U-Net
between, z acting on every layer of the decoder. What it changes, and why:

- A patch of 4 bins × 4 frames is one position with 16 channels. The paper's first and last layers have the most
  positions and the fewest channels, which costs most of a CPU's time for little of the network.
- One norm over all channels (Wu, He 2018) keeps what stands out in a window; a norm of each channel by itself, the
  paper's, may be had in its place (`per_channel`).
- z scales and shifts (FiLM; Perez et al. 2018), which is AdaIN without that norm. The encoder does not know z.
- A dense layer over frequency in every block (TDF; Choi et al. 2020) relates a note to all its partials.
- Each octave band may have kernels of its own, and a scale and shift by z: more weights at no more products. What a
  bass looks like in the lowest band, nothing looks like in the highest.
- Between encoder and decoder every position of the coarsest image may attend to every other (Vaswani et al. 2017;
  Rouard et al. 2023 for music): what is heard a second ago, or two octaves above, has a say. There are 128 of them, so
  this costs a tenth of the whole.
- A finer level may be added, on patches half as high and half as long: what the paper's U-Net has above the patches.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from qsep_live.dsp.grid import BINS, FRAMES
from qsep_live.nets.inference_weights import attention_heads, band_sizes
from qsep_live.nets.separator import latents_apart

SLOPE = 0.2
EPSILON = 1e-5
"""Added to variances."""
FLOOR = 1e-5
"""Added to magnitudes before the power; silence stays finite."""
LEVEL_FLOOR = 1e-3
"""Added to the level that a window is divided by."""
GAIN = 0.1
"""What a level's later blocks are multiplied by at first (Bachlechner et al. 2020: 0): so little that they may join a
network that was trained without them."""


@dataclass(frozen=True)
class PatchUNetConfig:
    """Hyperparameters.

    Attributes
    ----------
    widths
        Channels at each level; each level halves both axes.
    patch
        Bins and frames in a patch.
    channels
        1: hears the middle (L+R)/2. 2: hears the middle and the side (L−R)/2, where panning shows.
    latent
        Size of z.
    input_power
        Exponent on the input magnitudes.
    squeeze
        How much narrower than the axis itself the dense layer over frequency is.
    depth
        Blocks at each level, on either side, but at the finest, which has one: it has the most positions.
    bands
        Octave bands with 3×3 kernels of their own, the lowest two equally wide; 1 is the same kernels everywhere.
    attention
        Layers of attention between encoder and decoder.
    fine
        Channels of a level above the first, on patches half as high and half as long, that adds to what goes in and
        what comes out; 0 is none.
    per_channel
        Norms of each channel by itself, which with z make AdaIN (paper), in place of one over all channels.
    """

    widths: tuple[int, ...] = (48, 96, 160, 224)
    patch: tuple[int, ...] = (4, 4)
    channels: int = 1
    latent: int = 32
    input_power: float = 0.5
    squeeze: int = 4
    depth: int = 1
    bands: int = 1
    attention: int = 0
    fine: int = 0
    per_channel: bool = False


class PatchUNet(nn.Module):
    """Magnitude (B, channels, F, T) and z (B, latent) → mask (B, 1, F, T) in [0, 1]. F = 512, T a multiple of
    `inference_weights.frame_step`; with attention up to 256, fewer frames having the places of the newest.

    z may be (B·K, latent), K latents for each window in turn: the encoder, which does not know z, runs once for all of
    them. The masks are (B·K, 1, F, T) then.
    """

    def __init__(self, config: PatchUNetConfig = PatchUNetConfig()) -> None:
        super().__init__()
        self.config = config
        bins, frames = config.patch
        widths, rows = config.widths, BINS // bins
        self.scale = nn.Parameter(torch.ones(BINS, 1))
        self.shift = nn.Parameter(torch.zeros(BINS, 1))
        self.stem = _conv(config.channels * bins * frames, widths[0], rows, config.bands)
        self.place = nn.Parameter(torch.zeros(widths[0], rows, 1))
        sizes = [(width, rows >> level) for level, width in enumerate(widths)]
        self.encoder = nn.ModuleList(_Block(config, *size) for size in sizes)
        self.decoder = nn.ModuleList(_Block(config, *size, config.latent) for size in reversed(sizes))
        # Apart from the first ones, so that a network that was trained with fewer of them can go on with more.
        counts = [0, *[config.depth - 1] * (len(widths) - 1)]
        more = list(zip(sizes, counts, strict=True))
        self.encoder_more = nn.ModuleList(_blocks(config, size, count) for size, count in more)
        self.decoder_more = nn.ModuleList(_blocks(config, size, count, config.latent) for size, count in reversed(more))
        columns = FRAMES // frames >> (len(widths) - 1)
        self.attention = nn.ModuleList(_Attention(*sizes[-1], columns) for _ in range(config.attention))
        steps = list(itertools.pairwise(widths))
        self.down = nn.ModuleList(nn.Conv2d(fine, coarse, 2, stride=2) for fine, coarse in steps)
        self.up = nn.ModuleList(nn.ConvTranspose2d(coarse, fine, 2, stride=2) for fine, coarse in reversed(steps))
        self.head = _conv(widths[0], bins * frames, rows, config.bands)
        self.fine = _Fine(config) if config.fine else None

    def forward(self, magnitude: Tensor, z: Tensor) -> Tensor:
        bins, frames = self.config.patch
        x = torch.pow(magnitude + FLOOR, self.config.input_power)
        # The middle's level goes out of the question, so that quiet and loud music are the same music.
        x = x / (x[:, :1].mean(dim=(1, 2, 3), keepdim=True) + LEVEL_FLOOR)
        x = x * self.scale + self.shift
        heard = x
        x = self.stem(_fold(x, bins, frames)) + self.place
        if self.fine is not None:
            detail = self.fine.heard(heard)
            x = x + self.fine.down(detail)
        x = functional.leaky_relu(x, SLOPE)
        skips: list[Tensor] = []
        for level, (block, more) in enumerate(zip(self.encoder, self.encoder_more, strict=True)):
            x = block(x)
            for each in cast(nn.ModuleList, more):
                x = each(x)
            if level < len(self.down):
                skips.append(x)
                x = self.down[level](x)
        for layer in self.attention:
            x = layer(x)
        x = latents_apart(x, z)
        for level, (block, more) in enumerate(zip(self.decoder, self.decoder_more, strict=True)):
            if level:
                x = self.up[level - 1](x) + latents_apart(skips.pop(), z)
            x = block(x, z)
            for each in cast(nn.ModuleList, more):
                x = each(x, z)
        logits = _unfold(self.head(x), bins, frames)
        if self.fine is not None:
            logits = logits + self.fine(x, latents_apart(detail, z), z)
        return torch.sigmoid(logits)


class _Fine(nn.Module):
    """Half-size patches: a stem, a block that z steers, and what each adds to the coarser level and to the mask's
    logits. Both begin as nothing."""

    def __init__(self, config: PatchUNetConfig) -> None:
        super().__init__()
        self.patch = tuple(size // 2 for size in config.patch)
        size, width, rows = self.patch[0] * self.patch[1], config.fine, BINS // self.patch[0]
        self.stem = _conv(config.channels * size, width, rows, config.bands)
        self.place = nn.Parameter(torch.zeros(width, rows, 1))
        self.down = nn.Conv2d(width, config.widths[0], 2, stride=2, bias=False)
        self.up = nn.ConvTranspose2d(config.widths[0], width, 2, stride=2)
        self.block = _Block(config, width, rows, config.latent)
        self.head = _conv(width, size, rows, config.bands, bias=False)
        for part in (self.down, self.head):
            for weight in part.parameters():
                nn.init.zeros_(weight)

    def heard(self, x: Tensor) -> Tensor:
        return functional.leaky_relu(self.stem(_fold(x, *self.patch)) + self.place, SLOPE)

    def forward(self, x: Tensor, detail: Tensor, z: Tensor) -> Tensor:
        return _unfold(self.head(self.block(self.up(x) + detail, z)), *self.patch)


def _fold(x: Tensor, bins: int, frames: int) -> Tensor:
    """(B, C, F, T) to (B, C·bins·frames, F/bins, T/frames)."""
    batch, channels, rows, columns = x.shape
    x = x.reshape(batch, channels, rows // bins, bins, columns // frames, frames).permute(0, 1, 3, 5, 2, 4)
    return x.reshape(batch, channels * bins * frames, rows // bins, columns // frames)


def _unfold(x: Tensor, bins: int, frames: int) -> Tensor:
    """(B, bins·frames, F/bins, T/frames) to (B, 1, F, T)."""
    batch, _, rows, columns = x.shape
    x = x.reshape(batch, bins, frames, rows, columns).permute(0, 3, 1, 4, 2)
    return x.reshape(batch, 1, rows * bins, columns * frames)


def _conv(inputs: int, outputs: int, rows: int, bands: int, bias: bool = True) -> nn.Module:
    if bands == 1:
        return nn.Conv2d(inputs, outputs, 3, padding=1, bias=bias)
    return _BandConv(inputs, outputs, band_sizes(rows, bands), bias)


class _BandConv(nn.Module):
    """A 3×3 convolution whose kernel is another one in each band. A band sees the row beyond either of its edges."""

    def __init__(self, inputs: int, outputs: int, sizes: list[int], bias: bool) -> None:
        super().__init__()
        self.sizes = sizes
        self.bands = nn.ModuleList(nn.Conv2d(inputs, outputs, 3, padding=(0, 1), bias=bias) for _ in sizes)

    def forward(self, x: Tensor) -> Tensor:
        if torch.is_autocast_enabled(x.device.type):
            x = x.to(torch.get_autocast_dtype(x.device.type))
        parts: tuple[Tensor, ...] = _Bands.apply(x, self.sizes)  # type: ignore[no-untyped-call]
        return torch.cat([conv(part) for conv, part in zip(self.bands, parts, strict=True)], dim=2)


class _Bands(torch.autograd.Function):
    """Rows of an image (B, C, rows, T) in bands of so many, each with the row beyond either edge, zeros outside.

    Slices would do the same, but the gradient of each is as large as the image: that took a sixth of a step.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, sizes: list[int]) -> tuple[Tensor, ...]:
        ctx.sizes = sizes
        padded = functional.pad(x, (0, 0, 1, 1))
        ends = itertools.accumulate(sizes)
        return tuple(padded[:, :, end - size : end + 2].clone() for size, end in zip(sizes, ends, strict=True))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        inner = torch.cat([gradient[:, :, 1:-1] for gradient in gradients], dim=2)
        for end, (above, below) in zip(itertools.accumulate(ctx.sizes), itertools.pairwise(gradients), strict=False):
            inner[:, :, end - 1] += below[:, :, 0]
            inner[:, :, end] += above[:, :, -1]
        return inner, None


def _blocks(config: PatchUNetConfig, size: tuple[int, int], count: int, latent: int = 0) -> nn.ModuleList:
    return nn.ModuleList(_Block(config, *size, latent, GAIN) for _ in range(count))


class _Block(nn.Module):
    """x + gain·TDF(act(FiLM(norm(conv(x)), z))); without a latent there is no FiLM, without a gain it is 1."""

    def __init__(
        self, config: PatchUNetConfig, width: int, rows: int, latent: int = 0, gain: float | None = None
    ) -> None:
        super().__init__()
        self.gain = None if gain is None else nn.Parameter(torch.full((width, 1, 1), gain))
        self.sizes = band_sizes(rows, config.bands)
        self.conv = _conv(width, width, rows, config.bands, bias=False)
        self.norm = nn.GroupNorm(width if config.per_channel else 1, width, EPSILON)
        self.film = nn.Linear(latent, 2 * width * config.bands) if latent else None
        if self.film is not None:
            nn.init.normal_(self.film.weight, std=0.1)
            nn.init.zeros_(self.film.bias)
        narrow = max(8, rows // config.squeeze)
        self.dense = nn.Linear(rows, narrow)
        self.spread = nn.Linear(narrow, rows)
        nn.init.zeros_(self.spread.weight)
        nn.init.zeros_(self.spread.bias)

    def forward(self, x: Tensor, z: Tensor | None = None) -> Tensor:
        y = self.norm(self.conv(x))
        if z is not None:
            scale, shift = self._film(z).chunk(2, dim=1)
            y = torch.addcmul(shift, y, 1.0 + scale)
        y = functional.leaky_relu(y, SLOPE)
        dense = functional.leaky_relu(_dense(y, self.dense), SLOPE)
        y = y + _dense(dense, self.spread)
        return x + y if self.gain is None else torch.addcmul(x, y, self.gain.to(y.dtype))

    def _film(self, z: Tensor) -> Tensor:
        """Scales, then shifts, of every channel: (B, 2·width, rows, 1), or one for all rows where there is one band."""
        assert self.film is not None
        film: Tensor = self.film(z)
        bands = film.reshape(len(film), -1, len(self.sizes)).chunk(len(self.sizes), dim=2)
        if len(bands) > 1:
            bands = tuple(band.expand(-1, -1, size) for band, size in zip(bands, self.sizes, strict=True))
        return torch.cat(bands, dim=2)[..., None]


class _Attention(nn.Module):
    """A layer of a transformer over all positions of an image, norms first. It begins as one that changes nothing."""

    def __init__(self, width: int, rows: int, columns: int) -> None:
        super().__init__()
        self.heads = attention_heads(width)
        self.place = nn.Parameter(torch.zeros(width, rows, columns))
        self.norm1 = nn.LayerNorm(width, EPSILON)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.norm2 = nn.LayerNorm(width, EPSILON)
        self.wide = nn.Linear(width, 4 * width)
        self.narrow = nn.Linear(4 * width, width)
        for last in (self.out, self.narrow):
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)

    def forward(self, x: Tensor) -> Tensor:
        batch, width, rows, columns = x.shape
        y: Tensor = x.flatten(2).transpose(1, 2)
        placed = y + self.place[..., -columns:].flatten(1).T
        three = self.qkv(self.norm1(placed)).reshape(batch, rows * columns, 3, self.heads, width // self.heads)
        query, key, value = three.permute(2, 0, 3, 1, 4)
        heard = functional.scaled_dot_product_attention(query, key, value)
        y = y + self.out(heard.transpose(1, 2).reshape(batch, rows * columns, width))
        y = y + self.narrow(functional.gelu(self.wide(self.norm2(y))))
        return y.transpose(1, 2).reshape(x.shape)


def _dense(x: Tensor, layer: nn.Linear) -> Tensor:
    """``layer`` over the frequencies of (B, C, F, T). Its bias is of the product's type: under autocast a sum of two
    types costs more than the product."""
    product = torch.einsum("bcft,gf->bcgt", x, layer.weight)
    return product + layer.bias[:, None].to(product.dtype)

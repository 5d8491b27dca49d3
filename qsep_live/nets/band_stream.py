"""BandStream: a causal Separator that keeps its state from frame to frame, so that live no sound is read twice.

- Bands of bins, narrow where the notes are low, become a row of features each (band-split; Luo, Yu 2023). What follows
  is shared by all bands: 42 rows in one matrix product.
- Time is a gated linear recurrence in each band, h = a·h + (1 − a)·u with a from the newest frame alone (minGRU; Feng
  et al. 2024): whole windows train in products, and one frame more costs one frame.
- Bands hear each other in a dense layer across them (mixer; Tolstikhin et al. 2021).
- The level that the input is divided by, and every norm, look back only.
- z scales and shifts (FiLM) the last blocks alone. What comes before is done once for any number of latents.
- One trunk answers for several looks. With a look of L frames the gains of frame t are told when frame t + L has been
  heard; −1 tells a frame that is yet to come.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from qsep_live.dsp.grid import BINS
from qsep_live.nets.inference_weights import (
    STREAM_FLOOR,
    STREAM_LEVEL_FLOOR,
    STREAM_LEVEL_FRAMES,
    STREAM_NORM,
    STREAM_SLOPE,
    band_table,
)
from qsep_live.nets.separator import latents_apart


@dataclass(frozen=True)
class BandStreamConfig:
    """Hyperparameters.

    Attributes
    ----------
    width
        Features of a band.
    shared, steered
        Blocks before z, and blocks that z scales and shifts.
    wider
        How much wider than ``width`` the dense layer within a band is.
    looks
        Frames after the one that gains are for which have been heard, of each head; negative ones are to come.
    channels
        1: hears the middle. 2: hears the middle and the side.
    latent
        Size of z.
    input_power
        Exponent on the input magnitudes.
    """

    width: int = 64
    shared: int = 4
    steered: int = 2
    wider: int = 2
    looks: tuple[int, ...] = (-1, 0, 1, 3, 8)
    channels: int = 2
    latent: int = 32
    input_power: float = 0.5


State = dict[str, Tensor]
"""What is remembered from frame to frame, by name; empty before the first."""


class BandStream(nn.Module):
    """Magnitude (B, channels, F, T) and z (B, latent) → mask (B, 1, F, T) in [0, 1]. F = 512, any T.

    z may be (B·K, latent), K latents for each window in turn: the masks are (B·K, 1, F, T) then.
    """

    def __init__(self, config: BandStreamConfig = BandStreamConfig()) -> None:
        super().__init__()
        self.config = config
        width, bands = config.width, sum(count for _, count in band_table())
        self.scale = nn.Parameter(torch.ones(config.channels, BINS))
        self.shift = nn.Parameter(torch.zeros(config.channels, BINS))
        self.enter = nn.ParameterList(
            _uniform((count, config.channels * size, width), config.channels * size) for size, count in band_table()
        )
        self.place = nn.Parameter(torch.zeros(bands, width))
        self.shared = nn.ModuleList(_Block(config, bands) for _ in range(config.shared))
        self.steered = nn.ModuleList(_Block(config, bands, steered=True) for _ in range(config.steered))
        self.now = nn.ModuleList(nn.Linear(width, 2 * width) for _ in config.looks)
        self.then = nn.ModuleList(nn.Linear(width, 2 * width) for _ in config.looks)
        self.leave = nn.ParameterList(_uniform((count, 2 * width, size), 2 * width) for size, count in band_table())
        self.bias = nn.Parameter(torch.zeros(BINS))

    def forward(self, magnitude: Tensor, z: Tensor, look: int = 0) -> Tensor:
        """Masks of a window that begins in silence. The last ``look`` frames have the newest mask there is."""
        mask, _ = self.stream(magnitude, z, look, {})
        frames = magnitude.shape[-1]
        if look > 0:
            mask = functional.pad(mask[..., look:], (0, look, 0, 0), mode="replicate")
        elif look < 0:
            mask = functional.pad(mask, (-look, 0, 0, 0), mode="replicate")[..., :frames]
        return mask

    def stream(self, magnitude: Tensor, z: Tensor, look: int, state: State) -> tuple[Tensor, State]:
        """Masks of frames t − look as frames t come in, and the state after them.

        Whatever the frames are cut into, the masks are the same.
        """
        if look not in self.config.looks:
            raise ValueError(f"a look of {look} frames; there are {self.config.looks}")
        after: State = {}
        # Time first: a recurrence then walks over whole slices of memory.
        x = torch.pow(magnitude + STREAM_FLOOR, self.config.input_power).permute(3, 0, 1, 2)
        x = self._levelled(x, state, after) * self.scale + self.shift
        x = self._enter(x)
        entered = x
        for index, block in enumerate(self.shared):
            x = block(x, None, f"shared.{index}", state, after)
        batch = x.shape[1]
        if len(z) != batch:
            x = latents_apart(x.transpose(0, 1), z).transpose(0, 1)
        for index, block in enumerate(self.steered):
            x = block(x, z, f"steered.{index}", state, after)
        then = self._delayed(entered, look, state, after)
        head = self.config.looks.index(look)
        told = self.then[head](then)
        if len(z) != batch:
            told = latents_apart(told.transpose(0, 1), z).transpose(0, 1)
        y = functional.leaky_relu(self.now[head](x) + told, STREAM_SLOPE)
        return torch.sigmoid(self._leave(y).permute(1, 2, 0)[:, None]), after

    def _levelled(self, x: Tensor, state: State, after: State) -> Tensor:
        """Divided by the middle's level over the last second, so that quiet and loud music are the same music."""
        level = x[:, :, 0].float().mean(dim=2)
        keep = torch.full_like(level, 1.0 - 1.0 / STREAM_LEVEL_FRAMES)
        before = state.get("level", level.new_zeros(level.shape[1:]))
        weight = state.get("weight", level.new_zeros(level.shape[1:]))
        total = scan(keep, level / STREAM_LEVEL_FRAMES, before)
        weights = scan(keep, torch.full_like(level, 1.0 / STREAM_LEVEL_FRAMES), weight)
        after["level"], after["weight"] = total[-1].detach(), weights[-1].detach()
        return x / ((total / weights)[:, :, None, None].to(x.dtype) + STREAM_LEVEL_FLOOR)

    def _enter(self, x: Tensor) -> Tensor:
        pieces, start = [], 0
        for (size, count), weight in zip(band_table(), self.enter, strict=True):
            piece = x[..., start : start + size * count].reshape(*x.shape[:3], count, size)
            pieces.append(torch.einsum("tbcks,kcsd->tbkd", piece, weight.reshape(count, x.shape[2], size, -1)))
            start += size * count
        return torch.cat(pieces, dim=2) + self.place

    def _leave(self, y: Tensor) -> Tensor:
        pieces, start = [], 0
        for (_, count), weight in zip(band_table(), self.leave, strict=True):
            pieces.append(torch.einsum("tbkd,kds->tbks", y[:, :, start : start + count], weight).flatten(2))
            start += count
        return torch.cat(pieces, dim=2) + self.bias

    def _delayed(self, entered: Tensor, look: int, state: State, after: State) -> Tensor:
        """Features as they came in, ``look`` frames ago."""
        most = max(0, *self.config.looks)
        past = state.get("entered", entered.new_zeros(most, *entered.shape[1:]))
        both = torch.cat([past.to(entered.dtype), entered])
        after["entered"] = both[len(both) - most :].detach()
        delay = max(0, look)
        return both[most - delay : len(both) - delay]


class _Block(nn.Module):
    """x + recurrence(x), then across bands, then within each band; with a latent each is scaled and shifted by z."""

    def __init__(self, config: BandStreamConfig, bands: int, *, steered: bool = False) -> None:
        super().__init__()
        width = config.width
        self.norm1 = nn.LayerNorm(width, STREAM_NORM)
        self.mix = nn.Parameter(torch.zeros(width))
        self.candidate = nn.Linear(width, width)
        self.gate = nn.Linear(width, width)
        self.keep = nn.Linear(width, width)
        self.out = nn.Linear(width, width)
        self.norm2 = nn.LayerNorm(width, STREAM_NORM)
        self.across = nn.Parameter(torch.zeros(bands, bands))
        self.norm3 = nn.LayerNorm(width, STREAM_NORM)
        self.wide = nn.Linear(width, config.wider * width)
        self.narrow = nn.Linear(config.wider * width, width)
        self.film1 = nn.Linear(config.latent, 2 * width * bands) if steered else None
        self.film3 = nn.Linear(config.latent, 2 * width * bands) if steered else None
        # Half of the features forget within two frames, the slowest in some seconds.
        nn.init.uniform_(self.keep.bias, 0.0, 6.0)
        nn.init.normal_(self.across, std=0.2 / bands**0.5)
        for film in (self.film1, self.film3):
            if film is not None:
                nn.init.normal_(film.weight, std=0.1)
                nn.init.zeros_(film.bias)

    def forward(self, x: Tensor, z: Tensor | None, name: str, state: State, after: State) -> Tensor:
        y = self._steered(self.norm1(x), z, self.film1)
        first = state.get(f"{name}.before", y.new_zeros(y.shape[1:]))
        before = torch.cat([first[None].to(y.dtype), y[:-1]])
        after[f"{name}.before"] = y[-1].detach()
        y = torch.addcmul(y, before - y, self.mix.to(y.dtype))
        keep = torch.sigmoid(self.keep(y)).float()
        fresh = self.candidate(y).float() * (1.0 - keep)
        memory = state.get(f"{name}.memory", fresh.new_zeros(fresh.shape[1:]))
        heard = scan(keep, fresh, memory)
        after[f"{name}.memory"] = heard[-1].detach()
        x = x + self.out(heard.to(y.dtype) * functional.silu(self.gate(y)))
        x = x + torch.matmul(self.across.to(x.dtype), self.norm2(x))
        y = self._steered(self.norm3(x), z, self.film3)
        return cast(Tensor, x + self.narrow(functional.leaky_relu(self.wide(y), STREAM_SLOPE)))

    @staticmethod
    def _steered(x: Tensor, z: Tensor | None, film: nn.Linear | None) -> Tensor:
        if z is None or film is None:
            return x
        scale, shift = film(z).view(len(z), 2, *x.shape[2:]).to(x.dtype).unbind(1)
        return torch.addcmul(shift, x, 1.0 + scale)


def scan(keep: Tensor, fresh: Tensor, before: Tensor) -> Tensor:
    """h[t] = keep[t]·h[t−1] + fresh[t] along the first axis, h[−1] = ``before``; all float32."""
    return cast(Tensor, _Scan.apply(keep, fresh, before))  # type: ignore[no-untyped-call]


class _Scan(torch.autograd.Function):
    """One fused multiply-add a frame, forwards and backwards; autograd's own would keep a graph of each."""

    @staticmethod
    def forward(ctx: Any, keep: Tensor, fresh: Tensor, before: Tensor) -> Tensor:
        out = torch.empty_like(fresh, memory_format=torch.contiguous_format)
        last = before
        for each, more, place in zip(keep, fresh, out, strict=True):
            torch.addcmul(more, each, last, out=place)
            last = place
        ctx.save_for_backward(keep, out, before)
        return out

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        keep, out, before = ctx.saved_tensors
        fresh = torch.empty_like(out)
        fresh[-1] = gradient[-1]
        for t in range(len(out) - 2, -1, -1):
            torch.addcmul(gradient[t], keep[t + 1], fresh[t + 1], out=fresh[t])
        kept = fresh * torch.cat([before[None], out[:-1]])
        return kept, fresh, fresh[0] * keep[0] if ctx.needs_input_grad[2] else None


def _uniform(shape: tuple[int, ...], heard: int) -> nn.Parameter:
    bound = heard**-0.5
    return nn.Parameter(torch.empty(shape).uniform_(-bound, bound))

"""Query-net: a few seconds of sound to a Gaussian over the latent space (paper §3.2, §4.2)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from qsep_live.dsp.grid import BINS


@dataclass(frozen=True)
class QueryNetConfig:
    """Hyperparameters of the Query-net.

    The paper gives filters (4×4), channels, GRU units and latent size; the strides stand in a figure that is not
    in the text. Here every layer halves frequency (512 → 8), and the first four halve time, so that the GRU takes
    16 steps over three seconds.
    """

    channels: tuple[int, ...] = (32, 32, 64, 64, 128, 128)
    time_strides: tuple[int, ...] = (2, 2, 2, 2, 1, 1)
    gru_units: int = 128
    latent: int = 32
    input_power: float = 1.0


class QueryNet(nn.Module):
    """Magnitude (B, 1, F, T) → mean and log-variance of z, each (B, latent)."""

    def __init__(self, config: QueryNetConfig = QueryNetConfig()) -> None:
        super().__init__()
        self.config = config
        layers: list[nn.Module] = []
        before = 1
        for width, stride in zip(config.channels, config.time_strides, strict=True):
            padding = (1, 1) if stride == 2 else (1, "same")
            layers += [
                _TimeSameConv(before, width) if padding[1] == "same" else nn.Conv2d(before, width, 4, 2, 1),
                nn.InstanceNorm2d(width),
                nn.ReLU(),
            ]
            before = width
        self.conv = nn.Sequential(*layers)
        bins = BINS >> len(config.channels)
        self.gru = nn.GRU(before * bins, config.gru_units, batch_first=True)
        self.head = nn.Linear(config.gru_units, 2 * config.latent)

    def forward(self, magnitude: Tensor) -> tuple[Tensor, Tensor]:
        x = self.conv(compress(magnitude, self.config.input_power))
        x = x.flatten(1, 2).transpose(1, 2)
        steps, _ = self.gru(x)
        mu, logvar = self.head(steps[:, -1]).chunk(2, dim=1)
        return mu, logvar


class _TimeSameConv(nn.Conv2d):
    """4×4 convolution, stride 2 over frequency and 1 over time, that keeps the number of frames."""

    def __init__(self, before: int, width: int) -> None:
        super().__init__(before, width, 4, stride=(2, 1), padding=(1, 2))

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x)[..., :-1]


def compress(magnitude: Tensor, power: float) -> Tensor:
    """Magnitudes as the networks take them: as they are (paper), or raised to ``power`` with a floor."""
    return magnitude if power == 1.0 else torch.pow(magnitude + 1e-4, power)

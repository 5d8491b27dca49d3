"""The network that writes mel-spectrograms frame after frame: two LSTM layers, two convolutions, a dense output.

What is predicted is the distribution of the next frame, a mixture of Gaussians, not one frame: the mean of all
music that may follow is a hum. The frame is the last one, each band times what it keeps from frame to frame (below
1), plus something bounded. So nothing that is generated can run away, whatever the weights are.

Every clip is seen as its bands' deviations from their own mean, in their own standard deviations (Kim et al. 2022,
"Reversible Instance Normalization"): timbre and level belong to the clip that the music goes on from, and what the
network learns is how music moves.

Threading: the thread that owns the module.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from qsep_live.compose.mel import BANDS

State = tuple[Tensor, ...]
QUIET, LOUD = -5.0, 1.0
"""Natural logarithms of the least and greatest standard deviation of a component, in that of AR(1) residuals."""


@dataclass(frozen=True)
class MelConfig:
    """Sizes; the defaults are the document's.

    Attributes
    ----------
    units
        Of each of the two LSTM layers.
    wide, narrow
        Channels of the two convolutions.
    kernel
        Frames that each convolution sees: the newest, and those before it.
    components
        Gaussians of the mixture.
    """

    units: int = 128
    wide: int = 64
    narrow: int = 32
    kernel: int = 3
    components: int = 4


class Mixture(NamedTuple):
    """Distribution of the next frame's innovation: what is not the last frame times `MelNet.kept`, decorrelated.

    Attributes
    ----------
    logits
        (batch, time, components)
    means, log_deviations
        (batch, time, components, BANDS)
    """

    logits: Tensor
    means: Tensor
    log_deviations: Tensor


class MelNet(nn.Module):
    """Frames to the distribution of the next. A dropout of 0 until a trainer says otherwise."""

    kept: Tensor
    basis: Tensor
    scale: Tensor
    clip_mean: Tensor
    clip_deviation: Tensor
    clip_loudest: Tensor

    def __init__(self, config: MelConfig) -> None:
        super().__init__()
        self.config = c = config
        self.first = nn.LSTM(BANDS, c.units, batch_first=True)
        self.second = nn.LSTM(c.units, c.units, batch_first=True)
        self.wide = nn.Conv1d(c.units, c.wide, c.kernel)
        self.narrow = nn.Conv1d(c.wide, c.narrow, c.kernel)
        self.dense = nn.Linear(c.narrow, c.components * (1 + 2 * BANDS))
        self.dropout = nn.Dropout(0.0)
        # Measured on the training set by `fit_buffers`.
        self.register_buffer("kept", torch.full((BANDS,), 0.9))
        self.register_buffer("basis", torch.eye(BANDS))
        self.register_buffer("scale", torch.ones(BANDS))
        self.register_buffer("clip_mean", torch.full((BANDS,), -45.0))
        self.register_buffer("clip_deviation", torch.full((BANDS,), 10.0))
        self.register_buffer("clip_loudest", torch.tensor([30.0]))

    def start(self, batch: int) -> State:
        """The state before the first frame."""
        c, like = self.config, self.kept
        sizes = ((1, batch, c.units),) * 4 + ((batch, c.units, c.kernel - 1), (batch, c.wide, c.kernel - 1))
        return tuple(like.new_zeros(size) for size in sizes)

    def forward(self, frames: Tensor, state: State) -> tuple[Mixture, State]:
        """What may follow each of ``frames`` (batch, time, BANDS), normalised; and the state after the last."""
        h1, c1, h2, c2, before_wide, before_narrow = state
        hidden, (h1, c1) = self.first(frames, (h1, c1))
        hidden, (h2, c2) = self.second(self.dropout(hidden), (h2, c2))
        hidden, before_wide = self._causal(self.wide, self.dropout(hidden).transpose(1, 2), before_wide)
        hidden, before_narrow = self._causal(self.narrow, self.dropout(hidden), before_narrow)
        out = self.dense(self.dropout(hidden).transpose(1, 2))
        logits, rest = out.split([self.config.components, out.shape[2] - self.config.components], dim=2)
        means, spread = rest.unflatten(2, (2, self.config.components, BANDS)).unbind(2)
        middle, half = 0.5 * (LOUD + QUIET), 0.5 * (LOUD - QUIET)
        deviations = middle + half * torch.tanh((spread - middle) / half)
        return Mixture(logits, means, deviations), (h1, c1, h2, c2, before_wide, before_narrow)

    def innovation(self, frames: Tensor, following: Tensor) -> Tensor:
        """Coordinates, as of `Mixture`, of frames that follow ``frames``; both (…, BANDS)."""
        return (following - self.kept * frames) @ self.basis / self.scale

    def following(self, frames: Tensor, innovation: Tensor) -> Tensor:
        """The frames that `innovation` is of."""
        return self.kept * frames + (innovation * self.scale) @ self.basis.T

    def expected(self, frames: Tensor, mixture: Mixture) -> Tensor:
        """Mean of the next frame, (batch, time, BANDS)."""
        weights = mixture.logits.softmax(dim=2).unsqueeze(3)
        return self.following(frames, (weights * mixture.means).sum(dim=2))

    def sample(self, frame: Tensor, mixture: Mixture, temperature: float, generator: torch.Generator) -> Tensor:
        """A frame that may follow ``frame`` (1, 1, BANDS); noise is ``temperature`` times what the network says."""
        chances = mixture.logits[0, 0].softmax(dim=0)
        chosen = int(torch.multinomial(chances, 1, generator=generator))
        noise = torch.randn(BANDS, generator=generator)
        drawn = mixture.means[0, 0, chosen] + temperature * mixture.log_deviations[0, 0, chosen].exp() * noise
        return self.following(frame, drawn.view(1, 1, BANDS))

    def _causal(self, layer: nn.Conv1d, inputs: Tensor, before: Tensor) -> tuple[Tensor, Tensor]:
        inputs = torch.cat([before, inputs], dim=2)
        return functional.relu(layer(inputs)), inputs[:, :, inputs.shape[2] - before.shape[2] :]


def log_likelihood(mixture: Mixture, innovation: Tensor) -> Tensor:
    """Natural logarithm of the density of ``innovation`` (batch, time, BANDS), (batch, time)."""
    deviations = (innovation.unsqueeze(2) - mixture.means) * torch.exp(-mixture.log_deviations)
    each = -0.5 * (deviations.square() + math.log(2.0 * math.pi)) - mixture.log_deviations
    return torch.logsumexp(mixture.logits.log_softmax(dim=2) + each.sum(dim=3), dim=2)

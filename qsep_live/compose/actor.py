"""The two networks that re-train a latent (Engel, Hoffman and Roberts 2018, "Latent Constraints: Learning to Generate
Conditionally from Unconditional Generative Models", ICLR; PAPER §B).

The actor moves a latent towards a mean pitch and a density, both given as numbers, so one actor serves every emotion.
The critic says of a latent whether it comes from real music, and what the melody that it stands for is like.

Threading: the thread that owns the module.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from qsep_live.compose.emotions import DENSITY_MIDDLE, PITCH_MIDDLE, PITCH_SPAN
from qsep_live.compose.melody import BARS

PITCHES = (58.0, 82.0)
DENSITIES = (2.0, 10.0)
"""Mean pitches (MIDI note number) and notes a bar that the actor learns to reach."""
WINDOWS = BARS - 1
"""Windows of two bars, half overlapping, whose density the critic tells."""
_CLOSED = -2.0
"""Gates begin nearly closed: an actor that has learned nothing leaves latents where they are."""


@dataclass(frozen=True)
class ActorConfig:
    """Sizes.

    Attributes
    ----------
    latent
        Dimensions of z, the VAE's.
    hidden
        Units of each of the three hidden layers.
    """

    latent: int = 256
    hidden: int = 384


class Actor(nn.Module):
    """A latent, and where it should be, to a latent."""

    def __init__(self, config: ActorConfig) -> None:
        super().__init__()
        self.config = config
        self.layers = _layers(config.latent + 2, config.hidden, 2 * config.latent)
        last = self.layers[-1]
        assert isinstance(last, nn.Linear)
        with torch.no_grad():
            last.bias[: config.latent] = _CLOSED

    def forward(self, latent: Tensor, wanted: Tensor) -> Tensor:
        """``(n, latent)``: in each dimension a blend of the latent and a new value (Engel et al. 2018, appendix).

        Parameters
        ----------
        latent : (n, latent)
        wanted : (n, 2)
            Mean pitch (MIDI note number) and notes a bar.
        """
        gate, value = self.layers(torch.cat([latent, _scaled(wanted)], dim=1)).chunk(2, dim=1)
        gate = torch.sigmoid(gate)
        moved: Tensor = (1.0 - gate) * latent + gate * value
        return moved


class Judgement(NamedTuple):
    """Of a batch of latents.

    Attributes
    ----------
    real : (n,)
        Log-odds that the latent comes from real music.
    pitch : (n,)
        Mean pitch of its melody, MIDI note number.
    density : (n, WINDOWS)
        log2 of (notes a bar + 1/4) in each window of two bars.
    misfit : (n,)
        `chords.pitch_loss` of its melody.
    similarity : (n,)
        Of its bars, see `Measures`.
    """

    real: Tensor
    pitch: Tensor
    density: Tensor
    misfit: Tensor
    similarity: Tensor


class Critic(nn.Module):
    """A latent to a `Judgement`."""

    def __init__(self, config: ActorConfig) -> None:
        super().__init__()
        self.structure = _layers(config.latent, config.hidden, 1)
        self.condition = _layers(config.latent, config.hidden, 3 + WINDOWS)

    def forward(self, latent: Tensor) -> Judgement:
        """Of latents ``(n, latent)``."""
        told = self.condition(latent)
        return Judgement(
            self.structure(latent)[:, 0],
            PITCH_MIDDLE + PITCH_SPAN * told[:, 0],
            2.0 + told[:, 3:],
            told[:, 1],
            told[:, 2],
        )


def _layers(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(inputs, hidden), nn.ReLU(),
        nn.Linear(hidden, hidden), nn.ReLU(),
        nn.Linear(hidden, hidden), nn.ReLU(),
        nn.Linear(hidden, outputs),
    )  # fmt: skip


def _scaled(wanted: Tensor) -> Tensor:
    """Both about as large as a latent's dimensions."""
    pitch, density = wanted[:, 0], wanted[:, 1]
    return torch.stack([(pitch - PITCH_MIDDLE) / PITCH_SPAN, 2.0 * torch.log2(density / DENSITY_MIDDLE)], dim=1)

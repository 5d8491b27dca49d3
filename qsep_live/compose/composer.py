"""Melodies from a latent, and latents that are moved to where an emotion is: the VAE and its actor at work.

Threading: one thread makes every call.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from qsep_live.bundled import bundled_folder
from qsep_live.compose.actor_file import load_actor
from qsep_live.compose.emotions import Reference
from qsep_live.compose.melody import Melody, melody_of
from qsep_live.compose.vae_file import load_vae
from qsep_live.latent.slerp import between

VAE_FILE, ACTOR_FILE = "melody.safetensors", "melody-actor.safetensors"


class Composer:
    """A VAE and an actor, by default those that come with qsep-live. A latent is ``(latent,)``.

    Raises
    ------
    QsepError
        A file is missing or damaged, or the two do not belong together.
    """

    def __init__(self, vae: Path | None = None, actor: Path | None = None) -> None:
        found = load_vae(vae or bundled_folder("models") / VAE_FILE)
        self.vae = found.vae
        self.actor = load_actor(actor or bundled_folder("models") / ACTOR_FILE, found.fingerprint).actor

    def draw(self, seed: int) -> Tensor:
        """A latent of the prior."""
        return torch.randn(self.vae.config.latent, generator=torch.Generator().manual_seed(seed))

    @torch.no_grad()
    def encode(self, melody: Melody) -> Tensor:
        """The mean latent of 16 bars."""
        latent: Tensor = self.vae.encode(torch.from_numpy(melody.tokens())[None])[0][0]
        return latent

    @torch.no_grad()
    def steer(self, latent: Tensor, reference: Reference, strength: float = 1.0) -> Tensor:
        """``latent`` moved so that its melody has the mean pitch and the density of ``reference``.

        ``strength`` is the share of the way that it goes, 0 to 1, on the great circle (`arc`).
        """
        wanted = torch.tensor([[reference.pitch, reference.density]])
        moved: Tensor = self.actor(latent[None], wanted)[0]
        return arc(latent, moved, strength)

    @torch.no_grad()
    def melody(self, latent: Tensor) -> Melody:
        """What the VAE writes for ``latent``: always the likeliest token."""
        return melody_of(self.vae.generate(latent[None])[0].tolist())


def arc(first: Tensor, second: Tensor, place: float) -> Tensor:
    """The latent at ``place``, 0 to 1, on the way from one to the other: slerp, total as `latent.slerp` is."""
    if place in (0.0, 1.0):
        return second if place else first
    a, b = (each.numpy().astype(np.float64) for each in (first, second))
    return torch.from_numpy(between(a, b, place).astype(np.float32))


def places(steps: int) -> tuple[float, ...]:
    """``steps`` places from 0 to 1, both included."""
    return tuple(float(place) for place in np.linspace(0.0, 1.0, steps))

"""Melodies from a latent, and latents that are moved to where an emotion is: the VAE and its actor at work.

Threading: one thread makes every call.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from qsep_live.bundled import bundled_folder
from qsep_live.compose.actor import DENSITIES, PITCHES
from qsep_live.compose.actor_file import load_actor
from qsep_live.compose.chords import certain, expected_density, expected_pitch
from qsep_live.compose.emotions import Reference
from qsep_live.compose.melody import Melody, melody_of
from qsep_live.compose.search import missed
from qsep_live.compose.vae_file import load_vae
from qsep_live.latent.slerp import between

VAE_FILE, ACTOR_FILE = "melody.safetensors", "melody-actor.safetensors"
CORRECTIONS = 2
"""How often the actor is asked again, for what its melody was heard to miss."""


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
        return arc(latent, self.move(latent[None], reference)[0], strength)

    @torch.no_grad()
    def move(self, latent: Tensor, reference: Reference, corrections: int = CORRECTIONS) -> Tensor:
        """``latent`` (n, latent), moved by the actor; of all its answers the one whose melody misses least.

        The actor is asked, its melody is heard, and it is asked again, from the same latent, for as much more or less
        as was missed: in semitones, and by the ratio of densities.
        """
        asked = torch.tensor([[reference.pitch, reference.density]]).repeat(len(latent), 1)
        best: Tensor = self.actor(latent, asked)
        if not corrections:
            return best
        lowest, highest = torch.tensor([PITCHES, DENSITIES]).T
        heard = certain(self.vae.generate(best))
        least = missed(heard, reference)
        for _ in range(corrections):
            density = expected_density(heard)[:, 0]
            asked[:, 0] += torch.where(density > 0.0, reference.pitch - expected_pitch(heard), 0.0)
            asked[:, 1] *= reference.density / density.clamp_min(DENSITIES[0] / 2)
            asked = torch.minimum(torch.maximum(asked, lowest), highest)
            answer = self.actor(latent, asked)
            heard = certain(self.vae.generate(answer))
            miss = missed(heard, reference)
            better = miss < least
            best[better], least = answer[better], torch.minimum(miss, least)
        return best

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

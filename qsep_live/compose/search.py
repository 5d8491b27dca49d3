"""What the actor is measured against: searching for a latent, one melody at a time, without having learned anything.

Threading: one thread makes every call.
"""

from __future__ import annotations

import torch
from torch import Tensor

from qsep_live.compose.chords import certain, density_loss, expected_pitch
from qsep_live.compose.emotions import Reference
from qsep_live.compose.melody import STEPS
from qsep_live.compose.vae import MusicVae


def gradient_search(vae: MusicVae, latent: Tensor, wanted: Reference, steps: int, rate: float = 0.05) -> Tensor:
    """Latents ``(n, latent)`` after ``steps`` of Adam on pitch and density of what the VAE writes for them."""
    found = latent.clone().requires_grad_(True)
    optimiser = torch.optim.Adam([found], rate)
    for _ in range(steps):
        (gradient,) = torch.autograd.grad(missed(vae.expected(found, certain=True), wanted).sum(), found)
        found.grad = gradient
        optimiser.step()
    return found.detach()


@torch.no_grad()
def random_search(
    vae: MusicVae, latent: Tensor, wanted: Reference, tries: int, generator: torch.Generator
) -> Tensor:  # fmt: skip
    """Of each latent and ``tries`` others drawn from the prior, the one whose melody misses least."""
    best, least = latent.clone(), missed(certain(vae.generate(latent)), wanted)
    for _ in range(tries):
        other = torch.randn(latent.shape, generator=generator)
        miss = missed(certain(vae.generate(other)), wanted)
        better = miss < least
        best[better], least = other[better], torch.minimum(miss, least)
    return best


def missed(shares: Tensor, wanted: Reference) -> Tensor:
    """How far melodies ``(n, 256, TOKENS)`` are from what is wanted, ``(n,)``: semitones by 3, and octaves of density,
    both squared."""
    pitch = (expected_pitch(shares) - wanted.pitch) / 3.0
    return pitch.square() + density_loss(shares, wanted.density, STEPS)

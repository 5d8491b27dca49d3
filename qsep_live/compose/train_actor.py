"""Training of the actor and the critic, together, on a VAE that stays as it is.

Each step moves latents, half of them drawn from the prior and half those of real music, towards pitches and densities
drawn at random. The VAE writes the melodies of some; the critic learns from those, and from what was written lately,
what latents stand for, and which latents are real music's own. The actor learns from the critic on all of them, and
on the few from the losses of the written melodies themselves: many steps are cheap, and none is blind.

Threading: one thread makes every call.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from qsep_live.compose.actor import DENSITIES, PITCHES, Actor, ActorConfig, Critic, Judgement
from qsep_live.compose.actor_file import save_actor
from qsep_live.compose.chords import (
    WINDOW,
    certain,
    density_loss,
    estimate_chords,
    expected_density,
    expected_pitch,
    fit_table,
    pitch_loss,
)
from qsep_live.compose.emotions import PITCH_SPAN
from qsep_live.compose.likeness import expected_similarity
from qsep_live.compose.melody import STEPS, melody_of
from qsep_live.compose.songs import Song, Windows
from qsep_live.compose.vae import MusicVae, draw
from qsep_live.errors import QsepError

_ENCODED = 64


@dataclass(frozen=True)
class ActorTraining:
    """How actor and critic are trained.

    Attributes
    ----------
    batch
        Latents a step that actor and critic see.
    written
        How many of them are written out as melodies, and as many that were not moved.
    pitch, density, windows, misfit, similarity, structure, distance
        Weights of the actor's losses: mean pitch in semitones (squared below one), density of the whole melody and of
        windows of two bars in squared octaves, notes outside of their chords, by how much bars are more or less alike
        than before, how much less than before the critic takes the latent for real music's, and how far the latent went
        in standard deviations of the prior.
    real
        Windows of real music that are encoded in advance, each in a random key.
    lately
        Written melodies that the critic goes on learning from.
    smooth
        Weight of the critic's slope at real latents, squared: a critic that tells real from moved beyond doubt says
        nothing of which way is better, and drowns all other losses (R1 of Mescheder et al. 2018, "Which Training
        Methods for GANs do actually Converge?").
    ripe
        Steps until what the critic says of pitch, density and the like counts in full: at first it knows nothing.
    clip
        Largest norm of a gradient.
    precision
        ``"bf16"`` is autocast where melodies are written, weights stay fp32: twice as fast on CPUs that have it.
    """

    batch: int = 256
    written: int = 16
    learning_rate: float = 1e-3
    pitch: float = 0.5
    density: float = 4.0
    windows: float = 0.1
    misfit: float = 0.5
    similarity: float = 3.0
    structure: float = 0.2
    distance: float = 0.3
    real: int = 4096
    lately: int = 8192
    smooth: float = 1.0
    ripe: int = 100
    clip: float = 1.0
    precision: str = "fp32"
    seed: int = 0


class Pool(NamedTuple):
    """Gaussians of real music, each ``(n, latent)``."""

    mean: Tensor
    log_variance: Tensor

    def sample(self, count: int) -> Tensor:
        """``(count, latent)``, by torch's generator."""
        index = torch.randint(len(self.mean), (count,))
        return draw(self.mean[index], self.log_variance[index], torch.randn(count, self.mean.shape[1]))


@torch.no_grad()
def encode_songs(vae: MusicVae, songs: tuple[Song, ...], seed: int, count: int) -> Pool:
    """The Gaussians of ``count`` windows of ``songs``."""
    batches = Windows(songs, seed)
    found = [vae.encode(torch.from_numpy(batches.batch(step, _ENCODED))) for step in range(-(-count // _ENCODED))]
    return Pool(torch.cat([mean for mean, _ in found]), torch.cat([log_variance for _, log_variance in found]))


class Written(NamedTuple):
    """Latents and what their melodies are like, each ``(n, ...)``; see `Judgement`."""

    latent: Tensor
    pitch: Tensor
    density: Tensor
    misfit: Tensor
    similarity: Tensor


class ActorTrainer:
    """Trains an `Actor` and a `Critic` for ``vae``, whose weights are frozen; ``begun`` is an actor to go on with."""

    def __init__(
        self, vae: MusicVae, songs: tuple[Song, ...], config: ActorConfig, training: ActorTraining,
        begun: Actor | None = None,
    ) -> None:  # fmt: skip
        self.training, self._vae = training, vae
        torch.manual_seed(training.seed)
        self.actor, self.critic = begun or Actor(config), Critic(config)
        self.actor.train().requires_grad_(True)  # one from a file is not to be trained
        self._optimisers = [
            torch.optim.Adam(each.parameters(), training.learning_rate) for each in (self.actor, self.critic)
        ]
        self._pool = encode_songs(vae, songs, training.seed, training.real)
        self._written: Written | None = None
        self.step = 0

    def train(
        self, share: Callable[[int, float], float], advance: Callable[[float, dict[str, float]], None],
        wish: Callable[[], bool] = lambda: False,
    ) -> None:  # fmt: skip
        """Step until ``share`` of steps and seconds is 1, or ``wish``; ``advance`` hears of each step.

        Raises
        ------
        QsepError
            A loss is no finite number.
        """
        began = time.monotonic()
        while (done := share(self.step, time.monotonic() - began)) < 1.0 and not wish():
            advance(done, self._step(done))

    def save(self, path: Path, vae: str) -> None:
        """Write the actor whole or not at all, for the VAE with this fingerprint. Raises QsepError."""
        card = {
            "what": "moves latents of a MusicVAE to a mean pitch and a density (Engel et al. 2018)",
            "steps": self.step,
            "training": asdict(self.training),
        }
        save_actor(self.actor, vae, path, card)

    def _step(self, share: float) -> dict[str, float]:
        training = self.training
        torch.manual_seed(training.seed * 1_000_003 + self.step)
        for optimiser in self._optimisers:
            for group in optimiser.param_groups:
                group["lr"] = training.learning_rate * (0.02 + 0.98 * 0.5 * (1.0 + math.cos(math.pi * share)))
        latent, wanted = self._drawn(training.batch), draw_wanted(training.batch)
        moved = self.actor(latent, wanted)
        few = slice(0, training.written)
        with torch.autocast("cpu", torch.bfloat16, enabled=training.precision == "bf16"):
            tokens = self._vae.generate(latent[few])
            shares = self._vae.expected(moved[few], certain=True)
        shares = shares.float()
        before = heard(latent[few], certain(tokens))
        after = heard(moved[few], shares)
        losses = self._actor_losses(latent, moved, wanted, shares, before, after)
        self._descend(0, self.actor, losses)
        self._remember(before)
        self._remember(Written(*(each.detach() for each in after)))
        told = self._critic_losses(moved.detach())
        self._descend(1, self.critic, told)
        self.step += 1
        return {key: float(value.detach()) for key, value in (losses | told).items()}

    def _drawn(self, count: int) -> Tensor:
        """Latents of the prior and of real music in turn."""
        latent = torch.randn(count, self._vae.config.latent)
        latent[1::2] = self._pool.sample(count // 2)
        return latent

    def _actor_losses(
        self, latent: Tensor, moved: Tensor, wanted: Tensor, shares: Tensor, before: Written, after: Written
    ) -> dict[str, Tensor]:
        training, few = self.training, len(shares)
        judged, untouched = self.critic(moved), self._told(latent)
        pitch, density = wanted[:, 0], wanted[:, 1]
        ripe = min(1.0, self.step / training.ripe)
        return {
            "told_pitch": ripe * training.pitch * _near(judged.pitch, pitch),
            "told_density": ripe * training.density * _octaves(judged.density.exp2().mean(dim=1), density + 0.25),
            "told_misfit": ripe * training.misfit * judged.misfit.mean(),
            "told_similarity": ripe * training.similarity * (judged.similarity - untouched.similarity).abs().mean(),
            "pitch": training.pitch * _near(after.pitch, pitch[:few]),
            "density": training.density * density_loss(shares, density[:few], STEPS).mean(),
            "windows": training.windows * density_loss(shares, density[:few]).mean(),
            "misfit": training.misfit * after.misfit.mean(),
            "similarity": training.similarity * (after.similarity - before.similarity).abs().mean(),
            "structure": training.structure * functional.softplus(untouched.real - judged.real).mean(),
            "distance": training.distance * torch.log1p((moved - latent).square()).mean(),
        }

    @torch.no_grad()
    def _told(self, latent: Tensor) -> Judgement:
        told: Judgement = self.critic(latent)
        return told

    def _remember(self, new: Written) -> None:
        if self._written is not None:
            pairs = zip(self._written, new, strict=True)
            new = Written(*(torch.cat([old, more])[-self.training.lately :] for old, more in pairs))
        self._written = new

    def _critic_losses(self, moved: Tensor) -> dict[str, Tensor]:
        assert self._written is not None
        index = torch.randint(len(self._written.latent), (len(moved),))
        known = Written(*(each[index] for each in self._written))
        judged = self.critic(known.latent)
        music = self._pool.sample(len(moved)).requires_grad_(True)
        real, false = self.critic(music).real, self.critic(moved).real
        (slope,) = torch.autograd.grad(real.sum(), music, create_graph=True)
        return {
            "critic_pitch": (judged.pitch - known.pitch).square().mean() / PITCH_SPAN**2,
            "critic_density": (judged.density - known.density).square().mean(),
            "critic_misfit": (judged.misfit - known.misfit).square().mean(),
            "critic_similarity": (judged.similarity - known.similarity).square().mean(),
            "critic_structure": functional.softplus(-real).mean() + functional.softplus(false).mean(),
            "critic_slope": self.training.smooth / 2.0 * slope.square().sum(dim=1).mean(),
        }

    def _descend(self, index: int, module: torch.nn.Module, losses: dict[str, Tensor]) -> None:
        self._optimisers[index].zero_grad(set_to_none=True)
        sum(losses.values(), torch.zeros(())).backward()  # type: ignore[no-untyped-call]
        norm = float(torch.nn.utils.clip_grad_norm_(module.parameters(), self.training.clip))
        if not math.isfinite(norm):
            raise QsepError(f"step {self.step + 1}: the gradient is not finite; try another --seed")
        self._optimisers[index].step()


def heard(latent: Tensor, shares: Tensor) -> Written:
    """What the melodies ``shares`` (n, 256, TOKENS) of ``latent`` (n, latent) are like, differentiable in both."""
    density = torch.log2(expected_density(shares, WINDOW) + 0.25)
    misfit = pitch_loss(shares, _fit(shares))
    return Written(latent, expected_pitch(shares), density, misfit, expected_similarity(shares))


def _fit(shares: Tensor) -> Tensor:
    """`fit_table` of the chords that each of the melodies ``(n, 256, TOKENS)`` asks for itself."""
    return torch.stack([fit_table(estimate_chords(melody_of(each.tolist()))) for each in shares.argmax(dim=2)])


def draw_wanted(count: int) -> Tensor:
    """Mean pitches and densities that are asked for in training, ``(count, 2)``: evenly, densities by octaves."""
    pitch = PITCHES[0] + (PITCHES[1] - PITCHES[0]) * torch.rand(count)
    low, high = np.log2(DENSITIES)
    return torch.stack([pitch, torch.exp2(low + (high - low) * torch.rand(count))], dim=1)


def _near(pitch: Tensor, wanted: Tensor) -> Tensor:
    """Semitones, squared below one."""
    return functional.smooth_l1_loss(pitch, wanted, beta=1.0)


def _octaves(density: Tensor, wanted: Tensor) -> Tensor:
    """Squared octaves; both with a quarter of a note added."""
    return torch.log2(density / wanted).square().mean()

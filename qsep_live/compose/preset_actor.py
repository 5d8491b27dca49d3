"""The actor that moves a latent, and the critic that tells it what comes of that, trained together.

The critic judges structure (is this a latent that came from sound?) and predicts the condition (what pitch and density
the Separator would let through). The Separator is asked about few latents only, but tells the slope at each as well,
which the critic learns with the values (Czarnecki et al. 2017, "Sobolev training for neural networks").

Threading: one thread.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

NOISE = 8
_WIDTH = 96
_STEPS = 40
"""Steps of the critic, then of the actor, each round."""
_BATCH = 32
_JITTER = 0.15
"""Noise on what the critic compares, in units of the latents' spread: a few dozen are soon learnt by heart."""
_SURE = 0.9
"""How sure the critic may become (Salimans et al. 2016): a surer one would outweigh the condition."""
_STRUCTURE, _BEYOND, _NEAR, _SLOPE = 0.01, 0.3, 0.05, 1.0
"""Weights against the condition's: looking real to the critic, going beyond the radius of real latents, which a critic
of so few cannot know well, leaving the start, and the critic's slopes."""


class Asked(NamedTuple):
    """What was measured at K latents."""

    latents: Tensor
    """(K, latent)."""
    condition: Tensor
    """(K, 2): pitch and density, both in octaves."""
    slope: Tensor
    """(K, 2, latent): their gradients."""


Ask = Callable[[Tensor], Asked]


class Actor(nn.Module):
    """Start latent, target pitch and density, relative to the start's, and noise → a latent, in units of the spread."""

    def __init__(self, latent: int) -> None:
        super().__init__()
        self.net = _net(latent + 2 + NOISE, latent)
        # At first it proposes the start itself, more or less.
        for parameter in self.net[-1].parameters():
            nn.init.normal_(parameter, std=0.01)

    def forward(self, start: Tensor, shift: Tensor, noise: Tensor) -> Tensor:
        moved: Tensor = self.net(torch.cat([start, shift, noise], dim=1))
        return start + moved


class Critic(nn.Module):
    """A latent → its condition (B, 2) and a logit that it came from sound (B,)."""

    def __init__(self, latent: int) -> None:
        super().__init__()
        self.condition = _net(latent, 2)
        self.structure = _net(latent, 1)

    def forward(self, latent: Tensor) -> tuple[Tensor, Tensor]:
        logit: Tensor = self.structure(latent)[:, 0]
        return self.condition(latent), logit


class ActorCritic:
    """Both, around one start latent.

    Parameters
    ----------
    start : Tensor
        (latent,).
    real : Tensor
        (N, latent): latents that came from sound.
    known : Asked
        What is known beforehand; its first is the start itself.
    shift : Tensor
        (2,): the condition that is wanted, against the start's, in octaves.
    radius : float
        How far from the nearest real latent the actor may go unpunished.
    seed : int
        Equal arguments give equal results.
    """

    def __init__(self, start: Tensor, real: Tensor, known: Asked, shift: Tensor, radius: float, seed: int) -> None:
        self._random = torch.Generator().manual_seed(seed)
        self._start, self._shift, self._known = start, shift, known
        self._centre, self._spread = real.mean(dim=0), real.std(dim=0).mean()
        self._real, self._radius = self._scaled(real), radius / float(self._spread)
        self._fake = self._real[:0]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.actor, self.critic = Actor(len(start)), Critic(len(start))
        self._actor_steps = torch.optim.Adam(self.actor.parameters(), lr=2e-3)
        self._critic_steps = torch.optim.Adam(self.critic.parameters(), lr=3e-3)

    def round(self, ask: Ask, count: int) -> Asked:
        """Train the critic on what is known and the actor on the critic, then ask what ``count`` proposals give."""
        for _ in range(_STEPS):
            self._step(self._critic_steps, self.critic_loss())
        for _ in range(_STEPS):
            self._step(self._actor_steps, self.actor_loss())
        asked = ask(self.propose(count))
        self._known = Asked(*(torch.cat(both) for both in zip(self._known, asked, strict=True)))
        self._fake = torch.cat([self._fake, self._scaled(asked.latents)])
        return asked

    def propose(self, count: int) -> Tensor:
        """(count, latent): what the actor makes of the start and the whole shift, with fresh noise."""
        with torch.no_grad():
            start = self._scaled(self._start).expand(count, -1)
            proposed = self.actor(start, self._shift.expand(count, -1), self._noise(count, NOISE))
            latents: Tensor = proposed * self._spread + self._centre
            return latents

    def critic_loss(self) -> Tensor:
        """Values and slopes of what is known, and real latents against proposals."""
        chosen = self._choice(len(self._known.latents))
        latents = self._scaled(self._known.latents[chosen]).requires_grad_()
        condition, _ = self.critic(latents)
        slopes = [torch.autograd.grad(each.sum(), latents, create_graph=True)[0] for each in condition.unbind(dim=1)]
        wanted = self._known.slope[chosen] * self._spread
        loss = functional.smooth_l1_loss(condition, self._known.condition[chosen] - self._known.condition[0])
        loss = loss + _SLOPE * (torch.stack(slopes, dim=1) - wanted).square().sum(dim=2).mean()
        if len(self._fake) == 0:
            return loss
        real, fake = (self._blurred(of[self._choice(len(of))]) for of in (self._real, self._fake))
        _, logit = self.critic(torch.cat([real, fake]))
        truth = torch.cat([torch.full((len(real),), _SURE), torch.full((len(fake),), 1.0 - _SURE)])
        return loss.add(functional.binary_cross_entropy_with_logits(logit, truth))

    def actor_loss(self) -> Tensor:
        """Half of the starts are the preset, half others that are known; any share of the shift is asked."""
        chosen = self._choice(len(self._known.latents))
        chosen[: len(chosen) // 2] = 0
        start = self._scaled(self._known.latents[chosen])
        share = 1.25 * torch.rand((len(chosen), 1), generator=self._random)
        shift = share * self._shift
        moved = self.actor(start, shift, self._noise(len(chosen), NOISE))
        condition, logit = self.critic(moved)
        wanted = self._known.condition[chosen] - self._known.condition[0] + shift
        loss = functional.smooth_l1_loss(condition, wanted, beta=0.1)
        structure, near = functional.softplus(-logit).mean(), (moved - start).square().mean()
        beyond = (torch.cdist(moved, self._real).amin(dim=1) - 0.9 * self._radius).relu().square().mean()
        return loss.add(_STRUCTURE * structure + _BEYOND * beyond + _NEAR * near)

    def _step(self, optimiser: torch.optim.Optimizer, loss: Tensor) -> None:
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()

    def _scaled(self, latents: Tensor) -> Tensor:
        return (latents - self._centre) / self._spread

    def _blurred(self, latents: Tensor) -> Tensor:
        return latents + _JITTER * self._noise(*latents.shape)

    def _noise(self, *shape: int) -> Tensor:
        return torch.randn(shape, generator=self._random)

    def _choice(self, among: int) -> Tensor:
        return torch.randint(among, (_BATCH,), generator=self._random)


def _net(inputs: int, outputs: int) -> nn.Sequential:
    # Smooth, since the critic's slope is learnt and followed.
    return nn.Sequential(
        nn.Linear(inputs, _WIDTH), nn.SiLU(), nn.Linear(_WIDTH, _WIDTH), nn.SiLU(), nn.Linear(_WIDTH, outputs)
    )

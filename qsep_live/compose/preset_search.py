"""What `preset_actor.ActorCritic` is measured against: plain search, which learns nothing from what it is told.

Threading: one thread.
"""

from __future__ import annotations

import torch
from torch import Tensor

from qsep_live.compose.preset_actor import Ask, Asked

_RATE = 0.1
"""Adam's, in units of the real latents' spread."""


class GradientSearch:
    """Adam on the squared gap to the condition ``target`` (2,), along the slopes that are told."""

    def __init__(self, start: Tensor, target: Tensor, spread: float) -> None:
        self._at, self._target = start.clone().requires_grad_(True), target
        self._optimiser = torch.optim.Adam([self._at], _RATE * spread)

    def round(self, ask: Ask, count: int) -> Asked:
        """``count`` steps, one question each."""
        found = []
        for _ in range(count):
            asked = ask(self._at.detach()[None].clone())
            self._at.grad = 2.0 * (asked.condition[0] - self._target) @ asked.slope[0]
            self._optimiser.step()
            found.append(asked)
        return Asked(*(torch.cat(each) for each in zip(*found, strict=True)))


class RandomSearch:
    """Latents around the start, in any direction and up to ``radius`` away."""

    def __init__(self, start: Tensor, radius: float, seed: int) -> None:
        self._start, self._radius = start, radius
        self._random = torch.Generator().manual_seed(seed)

    def round(self, ask: Ask, count: int) -> Asked:
        """``count`` latents at once."""
        way = torch.randn((count, len(self._start)), generator=self._random)
        far = self._radius * torch.rand((count, 1), generator=self._random)
        return ask(self._start + far * way / way.norm(dim=1, keepdim=True))

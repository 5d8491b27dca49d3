"""Adam over both networks, and the averaged weights that follow them."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from qsep_live.nets.model import Model


@dataclass(frozen=True)
class OptimiserConfig:
    """Adam (paper §3.4: β 0.5 and 0.999) and what surrounds it.

    Attributes
    ----------
    betas
        Decay of Adam's two moments.
    weight_decay
        Decoupled (AdamW); 0 is plain Adam.
    clip
        Largest norm of the gradient over all weights; infinity leaves it alone (paper).
    ema
        Decay of the averaged weights for each step; while a run is young it is (1 + n) / (10 + n).
    """

    betas: tuple[float, float] = (0.5, 0.999)
    weight_decay: float = 0.0
    clip: float = 5.0
    ema: float = 0.998

    def make(self, model: Model, rate: float) -> torch.optim.Optimizer:
        """The optimiser of both networks' weights, in the order of `weights`."""
        return torch.optim.AdamW(weights(model), rate, betas=self.betas, weight_decay=self.weight_decay)


def weights(model: Model) -> list[torch.nn.Parameter]:
    """Every weight of both networks, in an order that does not change."""
    return [parameter for module in model.modules().values() for parameter in module.parameters()]


@torch.no_grad()
def follow(averaged: Model, model: Model, decay: float) -> None:
    """Move ``averaged`` towards ``model``: w̄ ← decay·w̄ + (1 − decay)·w; buffers are copied."""
    torch._foreach_lerp_([*weights(averaged)], [*weights(model)], 1.0 - decay)
    for name, module in averaged.modules().items():
        for mine, theirs in zip(module.buffers(), model.modules()[name].buffers(), strict=True):
            mine.copy_(theirs)

"""Adam over both networks, or Muon for kernels and Adam for the rest, and the averaged weights that follow them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from qsep_live.nets.model import Model
from qsep_live.nets.optimiser_state import load_optimiser, optimiser_tensors

NARROW = 8
"""Kernels with fewer rows or columns are no matrices to speak of."""


@dataclass(frozen=True)
class OptimiserConfig:
    """Adam (paper §3.4: β 0.5 and 0.999) and what surrounds it.

    Attributes
    ----------
    betas
        Decay of Adam's two moments.
    weight_decay
        Decoupled (AdamW); 0 is plain Adam.
    muon
        Momentum of Muon (Jordan et al. 2024), which then moves the kernels: each step is the orthogonal matrix nearest
        to the momentum, as long as Adam's would be (Liu et al. 2025): one learning rate serves both. 0 is Adam alone.
    clip
        Largest norm of the gradient over all weights; infinity leaves it alone (paper).
    ema
        Decay of the averaged weights for each step; while a run is young it is (1 + n) / (10 + n).
    """

    betas: tuple[float, float] = (0.5, 0.999)
    weight_decay: float = 0.0
    muon: float = 0.0
    clip: float = 5.0
    ema: float = 0.998

    def make(self, model: Model, rate: float) -> Optimiser:
        """The optimiser of both networks' weights, in the order of `weights`."""
        return Optimiser(self, weights(model), rate)


class Optimiser:
    """What moves the weights.

    Parameters
    ----------
    config
    given
        Weights, in an order that does not change.
    rate
        Learning rate.
    """

    def __init__(self, config: OptimiserConfig, given: list[nn.Parameter], rate: float) -> None:
        self._given = given
        kernels = [each for each in given if _is_kernel(each)] if config.muon else []
        theirs = {id(each) for each in kernels}
        # Muon knows matrices only: a kernel (out, in, height, width) is one with a row for each output, in its memory.
        self._matrices = [(each, nn.Parameter(each.detach().view(len(each), -1))) for each in kernels]
        rest = [each for each in given if id(each) not in theirs]
        self._parts: dict[str, torch.optim.Optimizer] = {
            "adam": torch.optim.AdamW(rest, rate, betas=config.betas, weight_decay=config.weight_decay)
        }
        if self._matrices:
            self._parts["muon"] = torch.optim.Muon(
                [matrix for _, matrix in self._matrices],
                rate,
                weight_decay=config.weight_decay,
                momentum=config.muon,
                adjust_lr_fn="match_rms_adamw",
            )

    def step(self, rate: float) -> None:
        """Move the weights along their gradients at a learning rate of ``rate``."""
        for kernel, matrix in self._matrices:
            matrix.grad = None if kernel.grad is None else kernel.grad.flatten(1)
        for part in self._parts.values():
            for group in part.param_groups:
                group["lr"] = rate
            part.step()

    def forget(self) -> None:
        """Drop the gradients."""
        for each in self._given:
            each.grad = None

    def tensors(self) -> dict[str, Tensor]:
        """The moments, by name."""
        return {
            f"{name}.{key}": value
            for name, part in self._parts.items()
            for key, value in optimiser_tensors(part).items()
        }

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Put back what `tensors` gave, of a run with the same settings."""
        for name, part in self._parts.items():
            mine = {key.removeprefix(f"{name}."): value for key, value in tensors.items() if key.startswith(f"{name}.")}
            load_optimiser(part, mine)


def _is_kernel(weight: nn.Parameter) -> bool:
    return weight.ndim in (2, 4) and min(weight.shape[0], weight[0].numel()) >= NARROW


def weights(model: Model) -> list[nn.Parameter]:
    """Every weight of both networks, in an order that does not change."""
    return [parameter for module in model.modules().values() for parameter in module.parameters()]


@torch.no_grad()
def follow(averaged: Model, model: Model, decay: float) -> None:
    """Move ``averaged`` towards ``model``: w̄ ← decay·w̄ + (1 − decay)·w; buffers are copied."""
    torch._foreach_lerp_([*weights(averaged)], [*weights(model)], 1.0 - decay)
    for name, module in averaged.modules().items():
        for mine, theirs in zip(module.buffers(), model.modules()[name].buffers(), strict=True):
            mine.copy_(theirs)

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from qsep_live.dsp.grid import BINS, FRAMES
from qsep_live.nets.model import Model
from qsep_live.training.losses import LossConfig, objective


def pair(seed: int = 0, batch: int = 2) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    target = torch.rand(batch, 1, BINS, FRAMES, generator=generator)
    return target + torch.rand(batch, 1, BINS, FRAMES, generator=generator), target


def test_losses_are_finite_and_every_weight_learns(model: Model) -> None:
    losses = objective(model, *pair(), LossConfig(), 0)
    for value in (losses.total.item(), losses.reconstruction, losses.kl, losses.latent):
        assert math.isfinite(value)
        assert value > 0
    losses.total.backward()
    for name, module in model.modules().items():
        for key, parameter in module.named_parameters():
            assert parameter.grad is not None, f"{name}.{key}"
            assert parameter.grad.isfinite().all(), f"{name}.{key}"
    moved = [p.grad.abs().max() > 0 for m in model.modules().values() for p in m.parameters() if p.grad is not None]
    # A bias before an instance norm has no effect; weights all do.
    assert sum(moved) > 0.6 * len(moved)
    weights = [p for m in model.modules().values() for k, p in m.named_parameters() if k.endswith("weight")]
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in weights)


def test_the_total_is_the_weighted_sum(model: Model) -> None:
    torch.manual_seed(0)
    config = LossConfig(reconstruction=3.0, kl=0.2, latent=0.7, latent_every=4)
    losses = objective(model, *pair(), config, 8)
    expected = 3.0 * losses.reconstruction + 0.2 * losses.kl + 0.7 * 4 * losses.latent
    assert losses.total.item() == pytest.approx(expected, rel=1e-5)


def test_the_latent_term_is_taken_on_every_nth_step(model: Model) -> None:
    taken = [objective(model, *pair(batch=1), LossConfig(latent_every=3), step).latent > 0 for step in range(6)]
    assert taken == [True, False, False, True, False, False]


class Fixed(torch.nn.Module):
    """A network that gives what it was told."""

    def __init__(self, *values: Tensor) -> None:
        super().__init__()
        self.values = values

    def forward(self, *_: Tensor) -> Tensor | tuple[Tensor, ...]:
        return self.values if len(self.values) > 1 else self.values[0]


def test_each_term_is_the_papers() -> None:
    mixture, target = pair()
    mu, logvar = torch.full((2, 32), 0.5), torch.full((2, 32), math.log(2.0))
    mask = torch.full_like(mixture, 0.25)
    model = Model(Fixed(mask), Fixed(mu, logvar))  # type: ignore[arg-type]
    torch.manual_seed(3)
    losses = objective(model, mixture, target, LossConfig(), 0)
    assert losses.reconstruction == pytest.approx((target - 0.25 * mixture).abs().mean().item(), rel=1e-5)
    assert losses.kl == pytest.approx(32 * 0.5 * (0.25 + 2.0 - 1.0 - math.log(2.0)), rel=1e-5)
    torch.manual_seed(3)
    torch.randn_like(mu)
    assert losses.latent == pytest.approx((torch.randn_like(mu) - mu).abs().mean().item(), rel=1e-5)


def test_a_standard_normal_posterior_costs_nothing() -> None:
    mixture, target = pair()
    model = Model(Fixed(target / mixture), Fixed(torch.zeros(2, 32), torch.zeros(2, 32)))  # type: ignore[arg-type]
    losses = objective(model, mixture, target, LossConfig(latent_every=2), 1)
    assert losses.kl == 0.0
    assert losses.reconstruction == pytest.approx(0.0, abs=1e-6)

"""What moves the weights: Adam as torch has it, Muon for kernels."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from qsep_live.training.optimiser import Optimiser, OptimiserConfig


def graded(*shape: int) -> nn.Parameter:
    weight = nn.Parameter(torch.randn(shape))
    weight.grad = torch.randn(shape)
    return weight


def test_without_muon_it_is_adam() -> None:
    torch.manual_seed(0)
    mine = [graded(16, 8, 3, 3), graded(16)]
    theirs = [nn.Parameter(each.detach().clone()) for each in mine]
    config = OptimiserConfig(weight_decay=0.1)
    ours, adam = Optimiser(config, mine, 1.0), torch.optim.AdamW(theirs, 1e-2, config.betas, weight_decay=0.1)
    for _ in range(3):
        for each, other in zip(mine, theirs, strict=True):
            each.grad = torch.randn_like(each)
            other.grad = each.grad.clone()
        ours.step(1e-2)
        adam.step()
    for each, other in zip(mine, theirs, strict=True):
        assert torch.equal(each, other)


@settings(max_examples=20, deadline=None)
@given(st.integers(8, 40), st.integers(8, 40), st.sampled_from([(), (3, 3), (1, 2)]), st.floats(1e-6, 1e3))
def test_a_kernel_moves_by_an_orthogonal_matrix_as_far_as_adam_would(
    outputs: int, inputs: int, size: tuple[int, ...], scale: float
) -> None:
    """However large its gradient is: every direction moves by about as much (Newton-Schulz: 0.7 to 1.2)."""
    torch.manual_seed(outputs * 100 + inputs)
    kernel = graded(outputs, inputs, *size)
    before, kernel.grad = kernel.detach().clone(), scale * torch.randn(kernel.shape)
    Optimiser(OptimiserConfig(muon=0.95), [kernel, graded(8)], 1.0).step(0.1)
    moved = (before - kernel.detach()).flatten(1)
    unit = 0.1 * 0.2 * max(moved.shape) ** 0.5
    values = torch.linalg.svdvals(moved) / unit
    assert 0.65 < values.median() < 1.25
    assert values.max() < 1.4
    assert torch.sum(moved * kernel.grad.flatten(1)) > 0.0, "down the gradient"


def test_what_is_no_matrix_or_has_no_gradient() -> None:
    torch.manual_seed(0)
    vector, narrow, frozen = graded(64), graded(4, 64), nn.Parameter(torch.randn(16, 16), requires_grad=False)
    before = [each.detach().clone() for each in (vector, narrow, frozen)]
    optimiser = Optimiser(OptimiserConfig(muon=0.95, betas=(0.0, 0.0)), [vector, narrow, frozen], 1.0)
    optimiser.step(0.1)
    for weight, old in zip((vector, narrow), before, strict=False):
        assert torch.allclose(old - weight, 0.1 * weight.grad.sign(), atol=1e-4), "Adam's first step"
    assert torch.equal(frozen, before[2])
    optimiser.forget()
    assert vector.grad is None

"""The paper's objective (§3.4): 10·L_R + 0.01·L_KL + 0.5·L_latent."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from qsep_live.nets.model import Model


@dataclass(frozen=True)
class LossConfig:
    """Weights of the three terms; L_R and L_latent are means over elements, L_KL sums over the latent.

    Attributes
    ----------
    latent_every
        Latent regression costs a second pass through both networks: it is taken on every n-th step, and
        weighted n-fold there.
    """

    reconstruction: float = 10.0
    kl: float = 0.01
    latent: float = 0.5
    latent_every: int = 1


@dataclass(frozen=True)
class Losses:
    """The terms of one step, unweighted, and their weighted total (a tensor to differentiate)."""

    total: Tensor
    reconstruction: float
    kl: float
    latent: float


def objective(model: Model, mixture: Tensor, target: Tensor, config: LossConfig, step: int) -> Losses:
    """Losses of one batch of magnitudes, each (B, 1, F, T)."""
    mu, logvar = model.query_net(target)
    z = mu + torch.randn_like(mu) * torch.exp(0.5 * logvar)
    reconstruction = (target - mixture * model.separator(mixture, z)).abs().mean()
    kl = 0.5 * (mu.square() + logvar.exp() - 1.0 - logvar).sum(dim=1).mean()
    total = config.reconstruction * reconstruction + config.kl * kl
    latent = torch.zeros(())
    if step % config.latent_every == 0:
        drawn = torch.randn_like(mu)
        found, _ = model.query_net(mixture * model.separator(mixture, drawn))
        latent = (drawn - found).abs().mean()
        total = total + config.latent * config.latent_every * latent
    return Losses(total, reconstruction.item(), kl.item(), latent.item())

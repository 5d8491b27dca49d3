"""Named recipes: the paper's settings, and those that made the shipped model."""

from __future__ import annotations

from dataclasses import dataclass

from qsep_live.nets.query_net import QueryNetConfig
from qsep_live.nets.separator import SeparatorConfig
from qsep_live.training.losses import LossConfig
from qsep_live.training.mixing import MixingConfig


@dataclass(frozen=True)
class Recipe:
    """Everything about a run but its data and its time."""

    separator: SeparatorConfig
    query_net: QueryNetConfig
    losses: LossConfig
    mixing: MixingConfig
    batch: int
    learning_rate: float


RECIPES = {
    "paper": Recipe(SeparatorConfig(), QueryNetConfig(), LossConfig(), MixingConfig(), batch=5, learning_rate=2e-4),
    "paper-short": Recipe(
        SeparatorConfig(),
        QueryNetConfig(),
        LossConfig(latent_every=4),
        MixingConfig(keep=0.75, single_target=0.6, coherent=0.3),
        batch=8,
        learning_rate=1e-3,
    ),
    "shipped": Recipe(
        SeparatorConfig(input_power=0.5, final_adain=False, adain_offset=True),
        QueryNetConfig(input_power=0.5),
        LossConfig(latent_every=8),
        MixingConfig(keep=0.75, single_target=0.6, coherent=0.3),
        batch=8,
        learning_rate=1e-3,
    ),
}

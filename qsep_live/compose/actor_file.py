"""An actor in a safetensors file; it belongs to the one VAE whose latents it moves."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import torch

from qsep_live.compose.actor import Actor, ActorConfig
from qsep_live.compose.network_file import load_network, save_network
from qsep_live.errors import QsepError

NETWORK = "melody_actor"
_LARGEST = 4096
_VAE = "vae"


@dataclass
class ActorFile:
    """The network and its card."""

    actor: Actor
    card: dict[str, Any] = field(default_factory=dict)


def save_actor(
    actor: Actor, vae: str, path: Path, card: dict[str, Any], dtype: torch.dtype = torch.float16
) -> str:  # fmt: skip
    """Write ``path`` whole or not at all; ``vae`` is the fingerprint of the VAE. Returns its own. Raises QsepError."""
    return save_network(actor, NETWORK, {**asdict(actor.config), _VAE: vae}, path, card, dtype)


def load_actor(path: Path, vae: str) -> ActorFile:
    """Read what `save_actor` wrote.

    Raises
    ------
    QsepError
        The file is missing or damaged, or the actor belongs to another VAE than the one with fingerprint ``vae``.
    """
    belongs = []

    def build(values: dict[str, Any]) -> Actor:
        belongs.append(values.pop(_VAE, None))
        if values.keys() != {each.name for each in fields(ActorConfig)}:
            raise ValueError("unknown hyperparameters")
        if not all(type(value) is int and 0 < value <= _LARGEST for value in values.values()):
            raise ValueError(f"sizes must be whole numbers up to {_LARGEST}")
        return Actor(ActorConfig(**values))

    found = load_network(path, NETWORK, "actor", build)
    if belongs != [vae]:
        raise QsepError(f"{path}: this actor belongs to another VAE; train one for this VAE, or give both files")
    return ActorFile(found.network, found.card)

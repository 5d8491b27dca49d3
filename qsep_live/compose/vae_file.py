"""A MusicVAE in a safetensors file."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import torch

from qsep_live.compose.melody import HIGHEST, LOWEST
from qsep_live.compose.network_file import load_network, save_network
from qsep_live.compose.vae import MusicVae, VaeConfig

NETWORK = "music_vae"
_LARGEST = 4096


@dataclass
class VaeFile:
    """The network, its card, and the fingerprint that its latents belong to."""

    vae: MusicVae
    card: dict[str, Any] = field(default_factory=dict)
    fingerprint: str = ""


def save_vae(vae: MusicVae, path: Path, card: dict[str, Any], dtype: torch.dtype = torch.float16) -> str:
    """Write ``path`` whole or not at all, weights as ``dtype``; returns the fingerprint. Raises QsepError."""
    config = {**asdict(vae.config), "lowest": LOWEST, "highest": HIGHEST}
    return save_network(vae, NETWORK, config, path, card, dtype)


def load_vae(path: Path) -> VaeFile:
    """Read what `save_vae` wrote, to float32 on the CPU and in inference mode.

    Raises
    ------
    QsepError
        The file is missing, damaged, of another network or another range of pitches.
    """
    found = load_network(path, NETWORK, "MusicVAE", lambda values: MusicVae(_config(values)))
    return VaeFile(found.network, found.card, found.fingerprint)


def _config(values: dict[str, Any]) -> VaeConfig:
    if (values.pop("lowest", None), values.pop("highest", None)) != (LOWEST, HIGHEST):
        raise ValueError(f"its pitches are not {LOWEST} to {HIGHEST}")
    if values.keys() != {each.name for each in fields(VaeConfig)}:
        raise ValueError("unknown hyperparameters")
    if not all(type(value) is int and 0 < value <= _LARGEST for value in values.values()):
        raise ValueError(f"sizes must be whole numbers up to {_LARGEST}")
    return VaeConfig(**values)

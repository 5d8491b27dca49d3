"""A MusicVAE in a safetensors file, with the header that every checkpoint of qsep-live has."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import torch

from qsep_live.compose.melody import HIGHEST, LOWEST
from qsep_live.compose.vae import MusicVae, VaeConfig
from qsep_live.errors import QsepError
from qsep_live.nets.header import SCHEMA, read_header
from qsep_live.nets.inference_weights import reason
from qsep_live.nets.model import fingerprint
from qsep_live.whole_file import write_whole

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
    from safetensors.torch import save

    tensors = {f"{NETWORK}.{key}": value.detach().cpu().to(dtype) for key, value in vae.state_dict().items()}
    tensors = {key: value.contiguous() for key, value in tensors.items()}
    config = {NETWORK: {**asdict(vae.config), "lowest": LOWEST, "highest": HIGHEST}}
    mark = fingerprint(config, tensors)
    header = {"schema": SCHEMA, "config": config, "fingerprint": mark, "card": card}
    write_whole(path, save(tensors, {"qsep_live": json.dumps(header)}))
    return mark


def load_vae(path: Path) -> VaeFile:
    """Read what `save_vae` wrote, to float32 on the CPU and in inference mode.

    Raises
    ------
    QsepError
        The file is missing, damaged, of another network or another range of pitches.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    header = read_header(path)
    try:
        tensors = load(path.read_bytes())
        if fingerprint(header["config"], tensors) != header.get("fingerprint"):
            raise ValueError("weights do not match the fingerprint; the file was altered or damaged")
        # On the meta device sizes cost nothing, so a file cannot ask for more memory than it brings.
        with torch.device("meta"):
            vae = MusicVae(_config(header["config"]))
        weights = {key.removeprefix(f"{NETWORK}."): value.float() for key, value in tensors.items()}
        if not all(bool(torch.isfinite(value).all()) for value in weights.values()):
            raise ValueError("the weights hold NaN or infinity")
        vae.load_state_dict(weights, assign=True)
    except OSError as error:
        raise QsepError(f"{path}: {error.strerror or error}") from None
    except (SafetensorError, KeyError, RuntimeError, TypeError, ValueError) as error:
        raise QsepError(f"{path}: no usable MusicVAE ({reason(error)}); train or fetch it again") from None
    card = header.get("card")
    return VaeFile(vae.eval().requires_grad_(False), card if isinstance(card, dict) else {}, header["fingerprint"])


def _config(config: dict[str, Any]) -> VaeConfig:
    values = config.get(NETWORK)
    if not isinstance(values, dict):
        raise ValueError(f"it holds {', '.join(sorted(config)) or 'nothing'}")
    values = dict(values)
    if (values.pop("lowest", None), values.pop("highest", None)) != (LOWEST, HIGHEST):
        raise ValueError(f"its pitches are not {LOWEST} to {HIGHEST}")
    if values.keys() != {each.name for each in fields(VaeConfig)}:
        raise ValueError("unknown hyperparameters")
    if not all(type(value) is int and 0 < value <= _LARGEST for value in values.values()):
        raise ValueError(f"sizes must be whole numbers up to {_LARGEST}")
    return VaeConfig(**values)

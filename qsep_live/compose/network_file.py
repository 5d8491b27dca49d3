"""A network of this room in a safetensors file, with the header that every checkpoint of qsep-live has."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from torch import nn

from qsep_live.errors import QsepError
from qsep_live.nets.header import SCHEMA, read_header
from qsep_live.nets.inference_weights import reason
from qsep_live.nets.model import fingerprint
from qsep_live.whole_file import write_whole

Network = TypeVar("Network", bound=nn.Module)


@dataclass
class NetworkFile(Generic[Network]):
    """The network, its card, and the fingerprint of its hyperparameters and weights."""

    network: Network
    card: dict[str, Any] = field(default_factory=dict)
    fingerprint: str = ""


def save_network(
    network: nn.Module, kind: str, config: Mapping[str, Any], path: Path, card: Mapping[str, Any],
    dtype: torch.dtype = torch.float16,
) -> str:  # fmt: skip
    """Write ``path`` whole or not at all, weights as ``dtype``; returns the fingerprint. Raises QsepError.

    ``kind`` is the name of the network in the header; `load_network` asks for it.
    """
    from safetensors.torch import save

    tensors = {f"{kind}.{key}": value.detach().cpu().to(dtype) for key, value in network.state_dict().items()}
    tensors = {key: value.contiguous() for key, value in tensors.items()}
    stored = {kind: dict(config)}
    mark = fingerprint(stored, tensors)
    header = {"schema": SCHEMA, "config": stored, "fingerprint": mark, "card": dict(card)}
    write_whole(path, save(tensors, {"qsep_live": json.dumps(header)}))
    return mark


def load_network(
    path: Path, kind: str, what: str, build: Callable[[dict[str, Any]], Network]
) -> NetworkFile[Network]:  # fmt: skip
    """Read what `save_network` wrote, to float32 on the CPU and in inference mode.

    Parameters
    ----------
    what
        What a person calls the network.
    build
        Makes a fresh network of the stored hyperparameters; a ValueError says what is wrong with them.

    Raises
    ------
    QsepError
        The file is missing, damaged, or of another network.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    header = read_header(path)
    try:
        config = header["config"]
        tensors = load(path.read_bytes())
        if fingerprint(config, tensors) != header.get("fingerprint"):
            raise ValueError("weights do not match the fingerprint; the file was altered or damaged")
        if not isinstance(config.get(kind), dict):
            raise ValueError(f"it holds {', '.join(sorted(config)) or 'nothing'}")
        # On the meta device sizes cost nothing, so a file cannot ask for more memory than it brings.
        with torch.device("meta"):
            network = build(dict(config[kind]))
        weights = {key.removeprefix(f"{kind}."): value.float() for key, value in tensors.items()}
        if not all(bool(torch.isfinite(value).all()) for value in weights.values()):
            raise ValueError("the weights hold NaN or infinity")
        network.load_state_dict(weights, assign=True)
    except OSError as error:
        raise QsepError(f"{path}: {error.strerror or error}") from None
    except (SafetensorError, KeyError, RuntimeError, TypeError, ValueError) as error:
        raise QsepError(f"{path}: no usable {what} ({reason(error)}); train or fetch it again") from None
    card = header.get("card")
    network.eval().requires_grad_(False)
    return NetworkFile(network, card if isinstance(card, dict) else {}, header["fingerprint"])

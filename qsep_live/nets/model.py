"""A Separator and its Query-net together, and the safetensors file they live in.

The header's ``qsep_live`` entry is JSON: schema, every hyperparameter, a card, and the fingerprint, a SHA-256 over
hyperparameters and weights. Latents belong to one fingerprint.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from qsep_live.errors import QsepError
from qsep_live.nets.header import SCHEMA, read_header
from qsep_live.nets.query_net import QueryNet, QueryNetConfig
from qsep_live.nets.separator import Separator, SeparatorConfig


@dataclass
class Model:
    """Both networks, their card, and the fingerprint of the file they came from (empty before saving)."""

    separator: Separator
    query_net: QueryNet
    card: dict[str, Any] = field(default_factory=dict)
    fingerprint: str = ""

    def modules(self) -> dict[str, nn.Module]:
        return {"separator": self.separator, "query_net": self.query_net}

    def eval(self) -> Model:
        """Set both networks to inference; returns self."""
        for module in self.modules().values():
            module.eval().requires_grad_(False)
        return self


def save_model(model: Model, path: Path, dtype: torch.dtype = torch.float16) -> str:
    """Write ``path`` atomically, weights as ``dtype``; returns the fingerprint."""
    from safetensors.torch import save_file

    tensors = {
        f"{name}.{key}": value.detach().cpu().to(dtype).contiguous()
        for name, module in model.modules().items()
        for key, value in module.state_dict().items()
    }
    config = {"separator": asdict(model.separator.config), "query_net": asdict(model.query_net.config)}
    header = {
        "schema": SCHEMA,
        "config": config,
        "fingerprint": fingerprint(config, tensors),
        "card": model.card,
    }
    partial = path.with_name(f".{path.name}.part")
    try:
        save_file(tensors, partial, {"qsep_live": json.dumps(header)})
        partial.chmod(0o644)  # safetensors makes it readable by its owner alone
        partial.replace(path)
    except OSError as error:
        raise QsepError(f"{path}: could not be written: {error.strerror or error}") from None
    finally:
        partial.unlink(missing_ok=True)
    return str(header["fingerprint"])


def fingerprint(config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> str:
    """32 hex digits that change with any hyperparameter or weight."""
    digest = hashlib.sha256(json.dumps(config, sort_keys=True).encode())
    for key in sorted(tensors):
        tensor = tensors[key]
        digest.update(f"{key} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:32]


def load_model(path: Path) -> Model:
    """Read a checkpoint to float32 networks on the CPU, in inference mode.

    Raises
    ------
    QsepError
        The file is missing, truncated, hostile, or its weights do not match its hyperparameters or fingerprint.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    header = read_header(path)
    try:
        tensors = load(path.read_bytes())
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        reason = str(error).splitlines()[0]
        raise QsepError(f"{path}: damaged checkpoint ({reason[:80]}); fetch or train it again") from None
    config = header["config"]
    if fingerprint(config, tensors) != header.get("fingerprint"):
        raise QsepError(f"{path}: weights do not match the fingerprint; the file was altered or damaged")
    try:
        separator = Separator(SeparatorConfig(**_tuples(config["separator"])))
        query_net = QueryNet(QueryNetConfig(**_tuples(config["query_net"])))
        model = Model(separator, query_net, header.get("card", {}), header["fingerprint"])
        for name, module in model.modules().items():
            own = {k.removeprefix(f"{name}."): v.float() for k, v in tensors.items() if k.startswith(f"{name}.")}
            module.load_state_dict(own)
    except (RuntimeError, TypeError, ValueError, KeyError) as error:
        reason = str(error).splitlines()[0]
        raise QsepError(f"{path}: weights and hyperparameters do not fit together ({reason[:80]})") from None
    if not all(torch.isfinite(tensor).all() for tensor in tensors.values()):
        raise QsepError(f"{path}: the weights hold NaN or infinity; train or fetch the checkpoint again")
    return model.eval()


def _tuples(config: Mapping[str, Any]) -> dict[str, Any]:
    sizes = [v for value in config.values() for v in (value if isinstance(value, list) else [value])]
    if any(isinstance(size, int) and not 0 <= size <= 4096 for size in sizes):
        raise ValueError("a hyperparameter is out of range")
    return {key: tuple(value) if isinstance(value, list) else value for key, value in config.items()}

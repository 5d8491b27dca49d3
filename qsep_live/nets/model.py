"""A Separator and its Query-net together, and the safetensors file they live in.

The header's ``qsep_live`` entry is JSON: schema, every hyperparameter, a card, and the fingerprint, a SHA-256 over
hyperparameters and weights. Latents belong to one fingerprint.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from qsep_live.errors import QsepError
from qsep_live.nets.band_stream import BandStream, BandStreamConfig
from qsep_live.nets.header import SCHEMA
from qsep_live.nets.inference_weights import (
    PATCHES,
    STREAM,
    digest,
    read_weights,
    reason,
    require_shapes,
    separator_shapes,
)
from qsep_live.nets.patch_unet import PatchUNet, PatchUNetConfig
from qsep_live.nets.query_net import QueryNet, QueryNetConfig
from qsep_live.nets.separator import Separator, SeparatorConfig
from qsep_live.whole_file import write_whole

_TYPES = {torch.float16: "F16", torch.bfloat16: "BF16", torch.float32: "F32"}
_Config = TypeVar("_Config", SeparatorConfig, PatchUNetConfig, BandStreamConfig, QueryNetConfig)
AnySeparator = Separator | PatchUNet | BandStream
AnyConfig = SeparatorConfig | PatchUNetConfig | BandStreamConfig
_KINDS: dict[str, type[PatchUNetConfig] | type[BandStreamConfig]] = {PATCHES: PatchUNetConfig, STREAM: BandStreamConfig}
"""By the ``kind`` in a header; a `Separator` has none."""


@dataclass
class Model:
    """Both networks, their card, and the fingerprint of the file they came from (empty before saving)."""

    separator: AnySeparator
    query_net: QueryNet
    card: dict[str, Any] = field(default_factory=dict)
    fingerprint: str = ""

    @property
    def channels(self) -> int:
        """What the Separator hears: 1, the middle; 2, the middle and the side."""
        return getattr(self.separator.config, "channels", 1)

    def modules(self) -> dict[str, nn.Module]:
        return {"separator": self.separator, "query_net": self.query_net}

    def eval(self) -> Model:
        """Set both networks to inference; returns self."""
        for module in self.modules().values():
            module.eval().requires_grad_(False)
        return self


def save_model(model: Model, path: Path, dtype: torch.dtype = torch.float16) -> str:
    """Write ``path`` atomically, weights as ``dtype``; returns the fingerprint."""
    from safetensors.torch import save

    tensors = {
        f"{name}.{key}": value.detach().cpu().to(dtype).contiguous()
        for name, module in model.modules().items()
        for key, value in module.state_dict().items()
    }
    config = configuration(model)
    header = {
        "schema": SCHEMA,
        "config": config,
        "fingerprint": fingerprint(config, tensors),
        "card": model.card,
    }
    # Not save_file: its error for a full disk is no OSError, and its file is readable by its owner alone.
    write_whole(path, save(tensors, {"qsep_live": json.dumps(header)}))
    return str(header["fingerprint"])


def configuration(model: Model) -> dict[str, dict[str, Any]]:
    """The hyperparameters of both networks as the header has them."""
    separator = asdict(model.separator.config)
    for kind, config in _KINDS.items():
        if isinstance(model.separator.config, config):
            separator["kind"] = kind
    return {"separator": separator, "query_net": asdict(model.query_net.config)}


def build_separator(config: AnyConfig) -> AnySeparator:
    """A fresh Separator of the class that its hyperparameters are of."""
    if isinstance(config, BandStreamConfig):
        return BandStream(config)
    return PatchUNet(config) if isinstance(config, PatchUNetConfig) else Separator(config)


def fingerprint(config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> str:
    """32 hex digits that change with any hyperparameter or weight."""
    return digest(
        config,
        {
            key: (_TYPES[tensor.dtype], tuple(tensor.shape), tensor.contiguous().view(torch.uint8).numpy().tobytes())
            for key, tensor in tensors.items()
        },
    )


def load_model(path: Path) -> Model:
    """Read a checkpoint to float32 networks on the CPU, in inference mode.

    Raises
    ------
    QsepError
        The file is missing, truncated, hostile, or its weights do not match its hyperparameters or fingerprint.
    """
    weights = read_weights(path)
    try:
        require_shapes(weights.of("separator"), separator_shapes(weights.config["separator"]))
        # On the meta device sizes cost nothing, so a file cannot ask for more memory than it brings.
        with torch.device("meta"):
            separator = build_separator(_separator_config(weights.config["separator"]))
            query_net = QueryNet(_config(QueryNetConfig, weights.config["query_net"]))
        if separator.config.latent != query_net.config.latent:
            raise ValueError("the networks differ in the size of the latent")
        model = Model(separator, query_net, weights.card, weights.fingerprint)
        modules = model.modules()
        if stray := sorted(key for key in weights.tensors if key.partition(".")[0] not in modules):
            raise ValueError(f"{stray[0]} belongs to neither network")
        for name, module in modules.items():
            tensors = {key: torch.from_numpy(value) for key, value in weights.of(name).items()}
            module.load_state_dict(tensors, assign=True)
    except (RuntimeError, TypeError, ValueError) as error:
        raise QsepError(f"{path}: weights and hyperparameters do not fit together ({reason(error)})") from None
    return model.eval()


def _separator_config(values: Mapping[str, Any]) -> AnyConfig:
    plain = {key: value for key, value in values.items() if key != "kind"}
    if values.get("kind") == PATCHES:
        return _config(PatchUNetConfig, plain)
    if values.get("kind") == STREAM:
        return _config(BandStreamConfig, plain)
    return _config(SeparatorConfig, values)


def _config(kind: type[_Config], values: Mapping[str, Any]) -> _Config:
    """Hyperparameters as their dataclass, each of the type of its default."""
    read: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
    config = replace(kind(), **read)
    for known in fields(config):
        value, wanted = read.get(known.name, known.default), type(known.default)
        if type(value) is not wanted and not (wanted is float and type(value) is int):
            raise ValueError(f"{known.name} is {value!r}, must be of type {wanted.__name__}")
    return config

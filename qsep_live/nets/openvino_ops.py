"""OpenVINO's operations as the graphs of both networks use them: numpy weights in, nodes out."""

from __future__ import annotations

import sys
from functools import cache
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
SLOPE = 0.2
"""Of every leaky ReLU, in both networks."""
EPSILON = 1e-5
"""Added to variances."""


def import_openvino() -> tuple[Any, Any]:
    """The modules openvino and its operations.

    At each import openvino would report to its maker over the network; it does not where that module is missing.
    """
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    return import_module("openvino"), import_module("openvino.opset13")


@cache
def openvino_core() -> Any:
    """The process's ``Core``, made once and never let go.

    Each that is made gives its thread another stack for signals, and each that is let go takes back the one it had
    found: of two that do not go in reverse order the second puts back one that is gone, and the next signal, a Ctrl-C,
    ends the process with a segmentation fault.
    """
    return import_openvino()[0].Core()


def constant(array: Any) -> Any:
    """A node of float32 numbers."""
    _, op = import_openvino()
    return op.constant(np.ascontiguousarray(array, np.float32))


def per_channel(array: Array) -> Any:
    """Numbers (channels,) that broadcast over an image's bins and frames."""
    return constant(array[None, :, None, None])


def conv(x: Any, kernel: Array, stride: tuple[int, int], before: tuple[int, int], after: tuple[int, int]) -> Any:
    """A convolution of ``x`` (1, channels, bins, frames), padded by so many zeros before and after each axis."""
    _, op = import_openvino()
    return op.convolution(x, constant(kernel), list(stride), list(before), list(after), [1, 1])


def leaky(x: Any) -> Any:
    """Leaky ReLU."""
    _, op = import_openvino()
    return op.prelu(x, constant([SLOPE]))


def compress(x: Any, floor: float, power: float) -> Any:
    """(x + floor) to a power; the root has an instruction of its own."""
    _, op = import_openvino()
    x = op.add(x, constant(floor))
    return op.sqrt(x) if power == 0.5 else op.power(x, constant(power))

"""The paper's Separator as an OpenVINO graph, built from numpy weights.

The graph computes what `Separator.forward` does, with less work:

- biases before an instance norm are left out, for the norm takes the mean away;
- z planes are folded: three rows of the convolution of constant planes hold every border case, and only how they
  differ from the middle is added;
- the last layer, 32 channels to 1, is a poor fit for vector units as a transposed convolution. Its outputs in a tile
  of 4×4 are 16 channels of an ordinary convolution with stride (2, 4), and depth-to-space lays the tiles out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from qsep_live.dsp.grid import BINS, FRAMES
from qsep_live.nets.openvino_ops import EPSILON, Array, compress, constant, conv, import_openvino, leaky, per_channel

FLOOR = 1e-4
"""Added to magnitudes before the power."""


def build_unet(weights: Mapping[str, Array], config: Mapping[str, Any], latents: int = 1, length: int = FRAMES) -> Any:
    """An ``openvino.Model`` of a `Separator`.

    Magnitude (1, BINS, length) and z (latents, latent) to masks (latents, BINS, length), float32. z is in the network's
    input, so nothing but the first convolution of the magnitudes is shared between latents.
    """
    ov, op = import_openvino()
    input_power = config["input_power"]
    levels = sum(key.startswith("decoder.") and key.endswith(".weight") for key in weights)
    first = weights["first.weight"]
    latent = first.shape[1] - 1
    magnitude = op.parameter([1, BINS, length], np.float32, "magnitude")
    z = op.parameter([latents, latent], np.float32, "z")
    z_image = op.reshape(z, [latents, latent, 1, 1], False)

    def linear(name: str) -> Any:
        y = conv(z_image, weights[f"{name}.weight"][:, :, None, None], (1, 1), (0, 0), (0, 0))
        bias = weights.get(f"{name}.bias")
        return y if bias is None else op.add(y, per_channel(bias))

    def norm(x: Any) -> Any:
        return op.mvn(x, [2, 3], True, EPSILON, "INSIDE_SQRT")

    def adain(x: Any, level: int) -> Any:
        return op.add(op.multiply(norm(x), linear(f"adain.{level}.scale")), linear(f"adain.{level}.shift"))

    x = op.reshape(magnitude, [1, 1, BINS, length], False)
    if input_power != 1.0:
        x = compress(x, FLOOR, input_power)
    x = conv(x, first[:, :1], (2, 1), (1, 2), (1, 1))
    planes = op.broadcast(z_image, [latents, latent, 6, length])
    rows = conv(planes, first[:, 1:], (2, 1), (1, 2), (1, 1))
    top, middle, bottom = op.split(rows, 2, 3).outputs()
    inside = op.slice(middle, [2], [3], [1], [3])
    edge = np.zeros((1, 1, BINS // 2, 1), np.float32)
    edge[0, 0, 0] = 1.0
    x = op.add(x, op.subtract(middle, inside))
    x = op.add(x, op.multiply(op.subtract(top, middle), constant(edge)))
    x = op.add(x, op.multiply(op.subtract(bottom, middle), constant(edge[:, :, ::-1])))
    skips = [leaky(norm(x))]
    for level in range(levels - 1):
        skips.append(leaky(norm(conv(skips[-1], weights[f"encoder.{level}.weight"], (2, 2), (1, 1), (1, 1)))))

    x = skips.pop()
    for level in range(levels):
        if level:
            x = op.concat([x, skips.pop()], 1)
        kernel = weights[f"decoder.{level}.weight"]
        if level < levels - 1:
            x = leaky(adain(_deconv(op, x, constant(kernel), [2, 2]), level))
        elif f"adain.{level}.scale.weight" in weights:
            # The norm is over one frame more than the mask has, as in training.
            x = op.slice(adain(_deconv(op, x, constant(kernel), [2, 1]), level), [0], [length], [1], [3])
        else:
            x = conv(x, tiled_kernel(kernel), (2, 4), (1, 2), (1, 1))
            x = op.add(x, constant(weights[f"decoder.{level}.bias"].reshape(1, 1, 1, 1)))
            x = op.depth_to_space(x, "depth_first", 4)
    return ov.Model([op.reshape(op.sigmoid(x), [latents, BINS, length], False)], [magnitude, z])


def tiled_kernel(kernel: Array) -> Array:
    """A convolution of stride (2, 4) whose 16 channels are 4×4 tiles of the last layer's output.

    Parameters
    ----------
    kernel
        (channels, 1, 4, 4), of a transposed convolution with stride (2, 1) and padding 1.

    Returns
    -------
    ndarray
        (16, channels, 4, 7), for padding (1, 1) along bins and (2, 1) along frames.
    """
    tiled = np.zeros((4, 4, kernel.shape[0], 4, 7), np.float32)
    for row, column, tap_row, tap_column in np.ndindex(4, 4, 4, 7):
        # The deconvolution's tap that leads from this input of the tile to this output.
        source_row = row + 1 - 2 * (tap_row - 1)
        source_column = column + 1 - (tap_column - 2)
        if 0 <= source_row < 4 and 0 <= source_column < 4:
            tiled[row, column, :, tap_row, tap_column] = kernel[:, 0, source_row, source_column]
    return tiled.reshape(16, -1, 4, 7)


def _deconv(op: Any, x: Any, kernel: Any, stride: list[int]) -> Any:
    return op.convolution_backprop_data(x, kernel, stride, pads_begin=[1, 1], pads_end=[1, 1], dilations=[1, 1])

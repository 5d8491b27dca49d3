"""PatchUNet as an OpenVINO graph, built from numpy weights.

The graph computes what `PatchUNet.forward` does, with less work:

- a norm's own scale and shift and the ones that z asks for are one pair of numbers a channel, and the pairs of a block
  come from one small matrix product;
- the dense layers over frequency are matrix products of a constant with the image as it lies, channel by channel:
  nothing is transposed;
- the window's level and the scale of each bin are one column of factors; the stem's bias and its place are one image;
- of several latents, what comes before the first FiLM is done once, its convolution and norm included;
- patches are folded by one transposition, and laid out again by depth-to-space. (A convolution of stride 4 over the
  unfolded image is the same sum, but has two channels at a time for vector units to work on, and takes longer.)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from qsep_live.dsp.grid import BINS, FRAMES
from qsep_live.nets.openvino_ops import EPSILON, Array, compress, constant, conv, import_openvino, leaky, per_channel

FLOOR = 1e-5
"""Added to magnitudes before the power, as in `patch_unet`, which would import torch."""
LEVEL_FLOOR = 1e-3
"""Added to the level that a window is divided by, as in `patch_unet`."""


def build_patch_unet(weights: Mapping[str, Array], config: Mapping[str, Any], latents: int = 1) -> Any:
    """An ``openvino.Model`` of a `PatchUNet`.

    Magnitude (channels, BINS, FRAMES) and z (latents, latent) to masks (latents, BINS, FRAMES), float32.

    Parameters
    ----------
    weights
        By name, as `separator_shapes` says.
    config
        Hyperparameters, as a checkpoint's header has them.
    """
    ov, op = import_openvino()
    magnitude = op.parameter([config["channels"], BINS, FRAMES], np.float32, "magnitude")
    z = op.parameter([latents, config["latent"]], np.float32, "z")
    last = len(config["widths"]) - 1
    more = range(config.get("depth", 1) - 1)

    x = _stem(magnitude, weights, config)
    skips = []
    for level in range(last + 1):
        x = _block(x, weights, f"encoder.{level}")
        for k in more if level else ():
            x = _block(x, weights, f"encoder_more.{level}.{k}")
        if level < last:
            skips.append(x)
            x = conv(x, weights[f"down.{level}.weight"], (2, 2), (0, 0), (0, 0))
            x = op.add(x, per_channel(weights[f"down.{level}.bias"]))
    for level in range(last + 1):
        if level:
            kernel = constant(weights[f"up.{level - 1}.weight"])
            x = op.convolution_backprop_data(x, kernel, [2, 2], pads_begin=[0, 0], pads_end=[0, 0], dilations=[1, 1])
            x = op.add(op.add(x, per_channel(weights[f"up.{level - 1}.bias"])), skips.pop())
        x = _block(x, weights, f"decoder.{level}", z)
        for k in more if level < last else ():
            x = _block(x, weights, f"decoder_more.{level}.{k}", z)
    x = conv(x, weights["head.weight"], (1, 1), (1, 1), (1, 1))
    x = op.sigmoid(op.add(x, per_channel(weights["head.bias"])))
    return ov.Model([_unfolded(x, latents, *config["patch"])], [magnitude, z])


def _stem(magnitude: Any, weights: Mapping[str, Array], config: Mapping[str, Any]) -> Any:
    """Magnitude (channels, BINS, FRAMES) to the first features, (1, width, BINS/bins, FRAMES/frames)."""
    _, op = import_openvino()
    channels, (bins, frames) = config["channels"], config["patch"]
    x = compress(magnitude, FLOOR, config["input_power"])
    middle = op.slice(op.reduce_mean(x, [1, 2], True), [0], [1], [1], [0])
    factors = op.divide(constant(weights["scale"][None]), op.add(middle, constant(LEVEL_FLOOR)))
    x = op.add(op.multiply(x, factors), constant(weights["shift"][None]))
    x = op.reshape(x, [channels, BINS // bins, bins, FRAMES // frames, frames], False)
    x = op.transpose(x, [0, 2, 4, 1, 3])
    x = op.reshape(x, [1, channels * bins * frames, BINS // bins, FRAMES // frames], False)
    x = conv(x, weights["stem.weight"], (1, 1), (1, 1), (1, 1))
    return leaky(op.add(x, constant((weights["place"] + weights["stem.bias"][:, None, None])[None])))


def _unfolded(x: Any, latents: int, bins: int, frames: int) -> Any:
    """(latents, bins·frames, F/bins, T/frames) to (latents, BINS, FRAMES)."""
    _, op = import_openvino()
    if bins == frames:
        x = op.depth_to_space(x, "depth_first", bins)
    else:
        x = op.reshape(x, [latents, bins, frames, BINS // bins, FRAMES // frames], False)
        x = op.transpose(x, [0, 3, 1, 4, 2])
    return op.reshape(x, [latents, BINS, FRAMES], False)


def _block(x: Any, weights: Mapping[str, Array], name: str, z: Any = None) -> Any:
    """x + gain·TDF(act(FiLM(norm(conv(x)), z))); without z there is no FiLM, where no gain is named it is 1."""
    _, op = import_openvino()
    y = op.mvn(conv(x, weights[f"{name}.conv.weight"], (1, 1), (1, 1), (1, 1)), [1, 2, 3], True, EPSILON, "INSIDE_SQRT")
    gain, bias = weights[f"{name}.norm.weight"], weights[f"{name}.norm.bias"]
    if z is None:
        scale, shift = per_channel(gain), per_channel(bias)
    else:
        scale, shift = _film(z, gain, bias, weights[f"{name}.film.weight"], weights[f"{name}.film.bias"])
    y = leaky(op.add(op.multiply(y, scale), shift))
    dense = op.matmul(constant(weights[f"{name}.dense.weight"][None, None]), y, False, False)
    dense = leaky(op.add(dense, constant(weights[f"{name}.dense.bias"][None, None, :, None])))
    spread = op.matmul(constant(weights[f"{name}.spread.weight"][None, None]), dense, False, False)
    spread = op.add(spread, constant(weights[f"{name}.spread.bias"][None, None, :, None]))
    if (factor := weights.get(f"{name}.gain")) is not None:
        return op.add(x, op.multiply(op.add(y, spread), constant(factor[None])))
    return op.add(op.add(x, y), spread)


def _film(z: Any, gain: Array, bias: Array, kernel: Array, offset: Array) -> tuple[Any, Any]:
    """Scale and shift of normed features: (gain·n + bias)·(1 + s) + t, with s and t linear in z, in one step."""
    _, op = import_openvino()
    width = len(gain)
    kernels = np.concatenate([kernel[:width] * gain[:, None], kernel[:width] * bias[:, None] + kernel[width:]])
    offsets = np.concatenate([(1.0 + offset[:width]) * gain, (1.0 + offset[:width]) * bias + offset[width:]])
    both = op.add(op.matmul(z, constant(kernels), False, True), constant(offsets[None]))
    scale, shift = op.split(both, 1, 2).outputs()
    return op.reshape(scale, [-1, width, 1, 1], False), op.reshape(shift, [-1, width, 1, 1], False)

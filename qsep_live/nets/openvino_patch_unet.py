"""PatchUNet as an OpenVINO graph, built from numpy weights.

The graph computes what `PatchUNet.forward` does, with less work:

- a norm's own scale and shift and the ones that z asks for are one pair of numbers a channel, and the pairs of a block
  come from one small matrix product;
- the dense layers over frequency are matrix products of a constant with the image as it lies, channel by channel:
  nothing is transposed;
- the window's level and the scale of each bin are one column of factors; the stem's bias and its place are one image;
- bands with kernels of their own are slices with one row more at either side, and put together again;
- of several latents, what comes before the first FiLM is done once, its convolution and norm included;
- patches are folded by one transposition, and laid out again by depth-to-space. (A convolution of stride 4 over the
  unfolded image is the same sum, but has two channels at a time for vector units to work on, and takes longer.)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from qsep_live.dsp.grid import BINS, FRAMES
from qsep_live.nets.inference_weights import attention_heads, band_names, band_sizes
from qsep_live.nets.openvino_ops import EPSILON, Array, compress, constant, conv, import_openvino, leaky, per_channel

FLOOR = 1e-5
"""Added to magnitudes before the power, as in `patch_unet`, which would import torch."""
LEVEL_FLOOR = 1e-3
"""Added to the level that a window is divided by, as in `patch_unet`."""


def build_patch_unet(
    weights: Mapping[str, Array], config: Mapping[str, Any], latents: int = 1, length: int = FRAMES
) -> Any:
    """An ``openvino.Model`` of a `PatchUNet`.

    Magnitude (channels, BINS, length) and z (latents, latent) to masks (latents, BINS, length), float32.

    Parameters
    ----------
    weights
        By name, as `separator_shapes` says.
    config
        Hyperparameters, as a checkpoint's header has them.
    length
        Frames in a window.
    """
    ov, op = import_openvino()
    magnitude = op.parameter([config["channels"], BINS, length], np.float32, "magnitude")
    z = op.parameter([latents, config["latent"]], np.float32, "z")
    last = len(config["widths"]) - 1
    more, bands = range(config.get("depth", 1) - 1), config.get("bands", 1)
    axes = [2, 3] if config.get("per_channel", False) else [1, 2, 3]
    half = [size // 2 for size in config["patch"]]

    heard = _heard(magnitude, weights, config)
    x = _convolved(_folded(heard, *config["patch"]), weights, "stem", bands, weights["place"])
    if fine := config.get("fine", 0):
        detail = _folded(heard, *half)
        detail = leaky(_convolved(detail, weights, "fine.stem", bands, weights["fine.place"]))
        x = op.add(x, conv(detail, weights["fine.down.weight"], (2, 2), (0, 0), (0, 0)))
    x = leaky(x)
    skips = []
    for level in range(last + 1):
        x = _block(x, weights, f"encoder.{level}", bands, axes)
        for k in more if level else ():
            x = _block(x, weights, f"encoder_more.{level}.{k}", bands, axes)
        if level < last:
            skips.append(x)
            x = conv(x, weights[f"down.{level}.weight"], (2, 2), (0, 0), (0, 0))
            x = op.add(x, per_channel(weights[f"down.{level}.bias"]))
    for layer in range(config.get("attention", 0)):
        x = _attention(x, weights, f"attention.{layer}")
    for level in range(last + 1):
        if level:
            x = op.add(_doubled(x, weights, f"up.{level - 1}"), skips.pop())
        x = _block(x, weights, f"decoder.{level}", bands, axes, z)
        for k in more if level < last else ():
            x = _block(x, weights, f"decoder_more.{level}.{k}", bands, axes, z)
    logits = _unfolded(_convolved(x, weights, "head", bands), latents, *config["patch"])
    if fine:
        x = op.add(_doubled(x, weights, "fine.up"), detail)
        x = _convolved(_block(x, weights, "fine.block", bands, axes, z), weights, "fine.head", bands)
        logits = op.add(logits, _unfolded(x, latents, *half))
    return ov.Model([op.sigmoid(logits)], [magnitude, z])


def _heard(magnitude: Any, weights: Mapping[str, Array], config: Mapping[str, Any]) -> Any:
    """Magnitude (channels, BINS, length) as the network hears it: compressed, at one level, each bin to its scale."""
    _, op = import_openvino()
    x = compress(magnitude, FLOOR, config["input_power"])
    middle = op.slice(op.reduce_mean(x, [1, 2], True), [0], [1], [1], [0])
    factors = op.divide(constant(weights["scale"][None]), op.add(middle, constant(LEVEL_FLOOR)))
    return op.add(op.multiply(x, factors), constant(weights["shift"][None]))


def _folded(x: Any, bins: int, frames: int) -> Any:
    """(channels, BINS, length) to (1, channels·bins·frames, BINS/bins, length/frames)."""
    _, op = import_openvino()
    columns = int(x.get_output_shape(0)[2]) // frames
    x = op.reshape(x, [-1, BINS // bins, bins, columns, frames], False)
    x = op.transpose(x, [0, 2, 4, 1, 3])
    return op.reshape(x, [1, -1, BINS // bins, columns], False)


def _doubled(x: Any, weights: Mapping[str, Array], name: str) -> Any:
    """Twice as high and as long, by a transposed convolution."""
    _, op = import_openvino()
    kernel = constant(weights[f"{name}.weight"])
    x = op.convolution_backprop_data(x, kernel, [2, 2], pads_begin=[0, 0], pads_end=[0, 0], dilations=[1, 1])
    return op.add(x, per_channel(weights[f"{name}.bias"]))


def _unfolded(x: Any, latents: int, bins: int, frames: int) -> Any:
    """(latents, bins·frames, BINS/bins, length/frames) to (latents, BINS, length)."""
    _, op = import_openvino()
    columns = int(x.get_output_shape(0)[3])
    if bins == frames:
        x = op.depth_to_space(x, "depth_first", bins)
    else:
        x = op.reshape(x, [latents, bins, frames, BINS // bins, columns], False)
        x = op.transpose(x, [0, 3, 1, 4, 2])
    return op.reshape(x, [latents, BINS, columns * frames], False)


def _convolved(x: Any, weights: Mapping[str, Array], name: str, bands: int, place: Array | None = None) -> Any:
    """3×3 convolution of each band, plus its bias and what belongs to a place (channels, rows, 1)."""
    _, op = import_openvino()
    rows = int(x.get_output_shape(0)[2])
    parts, low = [], 0
    for each, size in zip(band_names(name, bands), band_sizes(rows, bands), strict=True):
        high, top, bottom = low + size, int(low == 0), int(low + size == rows)
        # Zeros at the image's own edges alone; elsewhere the next band's row.
        part = x if bands == 1 else op.slice(x, [low - 1 + top], [high + 1 - bottom], [1], [2])
        part = conv(part, weights[f"{each}.weight"], (1, 1), (top, 1), (bottom, 1))
        bias = weights.get(f"{each}.bias")
        if bias is not None:
            added = bias[None, :, None, None] + (0.0 if place is None else place[None, :, low:high])
            part = op.add(part, constant(added))
        parts.append(part)
        low = high
    return parts[0] if bands == 1 else op.concat(parts, 2)


def _block(x: Any, weights: Mapping[str, Array], name: str, bands: int, axes: list[int], z: Any = None) -> Any:
    """x + gain·TDF(act(FiLM(norm(conv(x)), z))), the norm over ``axes``; without z there is no FiLM, where no gain is
    named it is 1."""
    _, op = import_openvino()
    rows = int(x.get_output_shape(0)[2])
    y = op.mvn(_convolved(x, weights, f"{name}.conv", bands), axes, True, EPSILON, "INSIDE_SQRT")
    gain, bias = weights[f"{name}.norm.weight"], weights[f"{name}.norm.bias"]
    if z is None:
        scale, shift = per_channel(gain), per_channel(bias)
    else:
        kernel, offset = weights[f"{name}.film.weight"], weights[f"{name}.film.bias"]
        scale, shift = _film(z, gain, bias, kernel, offset, band_sizes(rows, bands))
    y = leaky(op.add(op.multiply(y, scale), shift))
    dense = op.matmul(constant(weights[f"{name}.dense.weight"][None, None]), y, False, False)
    dense = leaky(op.add(dense, constant(weights[f"{name}.dense.bias"][None, None, :, None])))
    spread = op.matmul(constant(weights[f"{name}.spread.weight"][None, None]), dense, False, False)
    spread = op.add(spread, constant(weights[f"{name}.spread.bias"][None, None, :, None]))
    if (factor := weights.get(f"{name}.gain")) is not None:
        return op.add(x, op.multiply(op.add(y, spread), constant(factor[None])))
    return op.add(op.add(x, y), spread)


def _film(z: Any, gain: Array, bias: Array, kernel: Array, offset: Array, sizes: list[int]) -> tuple[Any, Any]:
    """Scale and shift of normed features: (gain·n + bias)·(1 + s) + t, with s and t linear in z, in one step.

    Each is (latents, width, rows, 1), or one for all rows where there is one band.
    """
    _, op = import_openvino()
    bands, width = len(sizes), len(gain)
    gain, bias, half = gain.repeat(bands), bias.repeat(bands), width * bands
    kernels = np.concatenate([kernel[:half] * gain[:, None], kernel[:half] * bias[:, None] + kernel[half:]])
    offsets = np.concatenate([(1.0 + offset[:half]) * gain, (1.0 + offset[:half]) * bias + offset[half:]])
    both = op.add(op.matmul(z, constant(kernels), False, True), constant(offsets[None]))
    both = op.reshape(both, [-1, 2 * width, bands, 1], False)
    if bands > 1:
        rows = np.repeat(np.arange(bands), sizes)
        both = op.gather(both, op.constant(rows), op.constant(2))
    scale, shift = op.split(both, 1, 2).outputs()
    return scale, shift


def _attention(x: Any, weights: Mapping[str, Array], name: str) -> Any:
    """A transformer's layer over all positions of an image (1, width, rows, columns)."""
    _, op = import_openvino()
    width, rows, columns = (int(size) for size in list(x.get_output_shape(0))[1:])
    heads, places = attention_heads(width), rows * columns

    def normed(y: Any, norm: str) -> Any:
        y = op.mvn(y, [2], True, EPSILON, "INSIDE_SQRT")
        return op.add(
            op.multiply(y, constant(weights[f"{name}.{norm}.weight"])), constant(weights[f"{name}.{norm}.bias"])
        )

    def dense(y: Any, layer: str) -> Any:
        y = op.matmul(y, constant(weights[f"{name}.{layer}.weight"]), False, True)
        return op.add(y, constant(weights[f"{name}.{layer}.bias"]))

    y = op.transpose(op.reshape(x, [1, width, places], False), [0, 2, 1])
    place = weights[f"{name}.place"][..., -columns:]
    placed = op.add(y, constant(place.reshape(width, places).T[None]))
    three = op.reshape(dense(normed(placed, "norm1"), "qkv"), [places, 3, heads, width // heads], False)
    query, key, value = op.split(op.transpose(three, [1, 2, 0, 3]), 0, 3).outputs()
    heard = op.scaled_dot_product_attention(query, key, value)
    heard = op.reshape(op.transpose(heard, [0, 2, 1, 3]), [1, places, width], False)
    y = op.add(y, dense(heard, "out"))
    y = op.add(y, dense(op.gelu(dense(normed(y, "norm2"), "wide"), "erf"), "narrow"))
    return op.reshape(op.transpose(y, [0, 2, 1]), [1, width, rows, columns], False)

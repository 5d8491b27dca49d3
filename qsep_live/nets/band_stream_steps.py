"""BandStream frame by frame in numpy: no torch in the process, no graph to compile, the same gains on every machine.

A frame is some 20 million operations in products of 42 rows; numpy's own overhead is a fifth of that. What z scales and
shifts is worked out when z changes, not at every frame.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qsep_live.dsp.grid import BINS
from qsep_live.nets.inference_weights import (
    STREAM_FLOOR,
    STREAM_LEVEL_FLOOR,
    STREAM_LEVEL_FRAMES,
    STREAM_NORM,
    STREAM_SLOPE,
    band_table,
)

Array = NDArray[np.float32]


@dataclass
class Memory:
    """What one stream of sound has left in the network. A fresh one is silence."""

    level: float = 0.0
    weight: float = 0.0
    blocks: list[tuple[Array, Array]] = field(default_factory=list)
    """Of each block: its input a frame ago, and its recurrence."""
    entered: list[Array] = field(default_factory=list)
    """Features as they came in, the newest last."""
    steered: int = 0
    """How many latents the steered blocks remember."""


class BandStreamSteps:
    """Runs a `BandStream` on the CPU. Threading: one thread at a time; any number of streams, a `Memory` each.

    Parameters
    ----------
    weights, config, fingerprint
        As a checkpoint has them.
    """

    name = "numpy cpu"

    def __init__(self, weights: Mapping[str, Array], config: Mapping[str, Any], fingerprint: str) -> None:
        self.fingerprint = fingerprint
        self.channels: int = config["channels"]
        self.looks: tuple[int, ...] = tuple(config["looks"])
        self._config, self._weights = config, weights
        self._bands = sum(count for _, count in band_table())
        self._blocks = [_Block(weights, f"shared.{index}") for index in range(config["shared"])]
        self._steered = [_Block(weights, f"steered.{index}") for index in range(config["steered"])]
        self._leave = [weights[f"leave.{group}"] for group in range(len(band_table()))]
        self._enter = [weights[f"enter.{group}"] for group in range(len(band_table()))]
        self._heads = [
            tuple(np.ascontiguousarray(weights[f"{name}.{head}.weight"].T) for name in ("now", "then"))
            for head in range(len(self.looks))
        ]
        self._head_biases = [
            weights[f"now.{head}.bias"] + weights[f"then.{head}.bias"] for head in range(len(self.looks))
        ]
        self._asked: bytes | None = None
        self._films: list[tuple[Array, ...]] = []

    def __call__(self, magnitude: Array, z: Array, memory: Memory) -> Array:
        """Gains that one more frame tells.

        Parameters
        ----------
        magnitude
            (channels, BINS) float32.
        z
            (latent,) or (latents, latent).
        memory
            Of this stream; it is moved on.

        Returns
        -------
        ndarray
            (looks, latents, BINS) in [0, 1]: of the frame ``look`` frames ago.
        """
        z = np.atleast_2d(z)
        if magnitude.shape != (self.channels, BINS) or z.shape[1:] != (self._config["latent"],):
            raise ValueError(f"shapes {magnitude.shape} and {z.shape}, must be {(self.channels, BINS)} and (n, latent)")
        if z.tobytes() != self._asked:
            self._films = [block.films(z, self._bands) for block in self._steered]
            self._asked = z.tobytes()
        self._prepare(memory, len(z))
        x = self._heard(magnitude, memory)
        memory.entered = [*memory.entered[1:], x]
        for index, block in enumerate(self._blocks):
            x, memory.blocks[index] = block(x, memory.blocks[index])
        x = np.broadcast_to(x, (len(z), *x.shape))
        for index, (block, films) in enumerate(zip(self._steered, self._films, strict=True), start=len(self._blocks)):
            x, memory.blocks[index] = block(x, memory.blocks[index], films)
        out = np.empty((len(self.looks), len(z), BINS), np.float32)
        for head, look in enumerate(self.looks):
            now, then = self._heads[head]
            y = x @ now + (memory.entered[-1 - max(0, look)] @ then + self._head_biases[head])
            out[head] = self._left(_leaky(y))
        return out

    def warm_up(self, frames: int = 1) -> None:
        """Run some frames, so that the first real one takes no longer than the others."""
        memory = Memory()
        for _ in range(max(3, min(frames, 8))):
            self(np.zeros((self.channels, BINS), np.float32), np.zeros(self._config["latent"], np.float32), memory)

    def _prepare(self, memory: Memory, latents: int) -> None:
        width = self._config["width"]
        if not memory.entered:
            empty = np.zeros((self._bands, width), np.float32)
            memory.blocks = [(empty, empty) for _ in self._blocks]
            memory.entered = [empty] * (1 + max(0, *self.looks))
        if memory.steered != latents:
            # Another number of presets: these blocks begin anew, and are warm within some frames.
            none = np.zeros((latents, self._bands, width), np.float32)
            memory.blocks[len(self._blocks) :] = [(none, none) for _ in self._steered]
            memory.steered = latents

    def _heard(self, magnitude: Array, memory: Memory) -> Array:
        """The frame over the level of the last second, in bands: (bands, width)."""
        x = np.power(magnitude + np.float32(STREAM_FLOOR), np.float32(self._config["input_power"]))
        keep = 1.0 - 1.0 / STREAM_LEVEL_FRAMES
        memory.level = keep * memory.level + float(x[0].mean()) / STREAM_LEVEL_FRAMES
        memory.weight = keep * memory.weight + 1.0 / STREAM_LEVEL_FRAMES
        x = x / np.float32(memory.level / memory.weight + STREAM_LEVEL_FLOOR)
        x = x * self._weights["scale"] + self._weights["shift"]
        pieces, start = [], 0
        for (size, count), weight in zip(band_table(), self._enter, strict=True):
            piece = x[:, start : start + size * count].reshape(self.channels, count, size).transpose(1, 0, 2)
            pieces.append((piece.reshape(count, 1, -1) @ weight)[:, 0])
            start += size * count
        return np.concatenate(pieces) + self._weights["place"]

    def _left(self, y: Array) -> Array:
        """(latents, bands, 2·width) to gains (latents, BINS)."""
        pieces, start = [], 0
        for (_, count), weight in zip(band_table(), self._leave, strict=True):
            piece = y[:, start : start + count].transpose(1, 0, 2) @ weight
            pieces.append(piece.transpose(1, 0, 2).reshape(len(y), -1))
            start += count
        return _sigmoid(np.concatenate(pieces, axis=1) + self._weights["bias"])


class _Block:
    """One block's weights, products of one input side by side."""

    def __init__(self, weights: Mapping[str, Array], name: str) -> None:
        def of(part: str) -> Array:
            return weights[f"{name}.{part}"]

        def dense(*parts: str) -> tuple[Array, Array]:
            kernels = np.concatenate([of(f"{part}.weight") for part in parts])
            return np.ascontiguousarray(kernels.T), np.concatenate([of(f"{part}.bias") for part in parts])

        self._norms = [(of(f"norm{k}.weight"), of(f"norm{k}.bias")) for k in (1, 2, 3)]
        self._mix, self._across = of("mix"), of("across")
        self._three, self._out = dense("candidate", "gate", "keep"), dense("out")
        self._wide, self._narrow = dense("wide"), dense("narrow")
        self._film = [(of(f"{part}.weight"), of(f"{part}.bias")) for part in ("film1", "film3") if _has(weights, name)]

    def films(self, z: Array, bands: int) -> tuple[Array, ...]:
        """Scale and shift of the recurrence's input and of the dense layer's, each (latents, bands, width)."""
        found: list[Array] = []
        for weight, bias in self._film:
            film = (z @ weight.T + bias).reshape(len(z), 2, bands, -1)
            found += [1.0 + film[:, 0], film[:, 1]]
        return tuple(found)

    def __call__(
        self, x: Array, memory: tuple[Array, Array], films: tuple[Array, ...] = ()
    ) -> tuple[Array, tuple[Array, Array]]:
        """(…, bands, width) and what was remembered, to the same."""
        before, state = memory
        y = _normed(x, self._norms[0])
        if films:
            y = y * films[0] + films[1]
        mixed = y + (before - y) * self._mix
        candidate, gate, keep = np.split(mixed @ self._three[0] + self._three[1], 3, axis=-1)
        keep = _sigmoid(keep)
        state = keep * state + candidate * (1.0 - keep)
        x = x + ((state * (gate * _sigmoid(gate))) @ self._out[0] + self._out[1])
        x = x + self._across @ _normed(x, self._norms[1])
        inner = _normed(x, self._norms[2])
        if films:
            inner = inner * films[2] + films[3]
        x = x + (_leaky(inner @ self._wide[0] + self._wide[1]) @ self._narrow[0] + self._narrow[1])
        return x, (y, state)


def _has(weights: Mapping[str, Array], name: str) -> bool:
    return f"{name}.film1.weight" in weights


def _normed(x: Array, norm: tuple[Array, Array]) -> Array:
    centred = x - x.mean(axis=-1, keepdims=True)
    variance = np.square(centred).mean(axis=-1, keepdims=True)
    normed: Array = centred / np.sqrt(variance + np.float32(STREAM_NORM)) * norm[0] + norm[1]
    return normed


def _leaky(x: Array) -> Array:
    leaky: Array = np.maximum(x, np.float32(STREAM_SLOPE) * x)
    return leaky


def _sigmoid(x: Array) -> Array:
    # tanh is finite at both ends, where exp would warn of an overflow.
    half = np.float32(0.5)
    sigmoid: Array = half + half * np.tanh(half * x)
    return sigmoid

"""The mask path of a network that keeps its state: each hop is heard once, and what it tells is kept.

A frame's gains are told several times, each time with more of what followed it: by the head that tells a frame before
it is heard, then by those that have heard 0, 1, 3 and 8 frames past it. The newest telling takes the older one's place:
what is published is the best that is known of each frame.
"""

from __future__ import annotations

import math
from typing import Protocol, cast

import numpy as np
from numpy.typing import NDArray

from qsep_live.dsp.grid import BINS, FRAMES, HOP, N_FFT
from qsep_live.dsp.tape import Tape
from qsep_live.engine.gain_field import GainFrames
from qsep_live.engine.mask_path import MaskPath, Separate
from qsep_live.errors import QsepError
from qsep_live.nets.band_stream_steps import Memory

Array = NDArray[np.float32]


class StreamNetwork(Protocol):
    """A network that keeps its state, `BandStreamSteps` or what stands around one."""

    @property
    def channels(self) -> int:
        """What it hears. 1: the middle. 2: the middle and the side."""

    @property
    def looks(self) -> tuple[int, ...]:
        """Frames after the one that gains are for which have been heard, of each head."""

    def __call__(self, magnitude: Array, z: Array, memory: Memory, /) -> Array:
        """A frame's magnitudes (channels, BINS) and latents (K, latent) to gains (looks, K, BINS)."""


Network = Separate | StreamNetwork


def streaming(network: Network) -> StreamNetwork | None:
    """The network, if it hears every frame once and remembers."""
    return cast(StreamNetwork, network) if getattr(network, "looks", ()) else None


def windowed(network: Network) -> Separate:
    """The network, which is known to hear whole windows."""
    return cast(Separate, network)


class StreamPath(MaskPath):
    """Hears a signal's middle and side frame by frame. Parameters are those of `MaskPath`.

    ``frames`` is how many are published. What the network tells ahead, it always tells.
    """

    def __init__(self, rate: int, network: StreamNetwork, position: int = 0, frames: int = FRAMES) -> None:
        super().__init__(rate, _Channels(network.channels), position, 0, frames)
        self._network = network
        self._memory = Memory()
        # The first frame ends a hop after the start; before that there is silence.
        self._history = Tape(network.channels, 4 * self._segment, (N_FFT - HOP) * self._factor)
        self._future = max(0, -min(network.looks))
        self._told: NDArray[np.float32] | None = None
        self._count = 0

    def push(self, heard: NDArray[np.float32]) -> None:
        """Append ``heard`` (n, 2), middle and side as `mid_side_of` gives them: finite samples."""
        self._append(heard)

    def wanted(self) -> int:
        """Samples that are missing for another frame, at the signal's rate."""
        missing = N_FFT * self._factor - len(self._history)
        return max(1, math.ceil(missing * self.rate / self._history_rate))

    def step(self, z: NDArray[np.float32], ahead: int = 0) -> GainFrames:
        """Run the network on every frame that has come in whole since the last step.

        Raises
        ------
        QsepError
            The gains are not finite; the state begins anew.
        """
        assert ahead == 0, "no step of this network is asked for frames ahead"
        latents = np.atleast_2d(z)
        told = self._told
        if told is None or told.shape[1] != len(latents) * BINS:
            told = self._told = np.zeros((self._frames + self._future, len(latents) * BINS), np.float32)
        size = N_FFT * self._factor
        while len(self._history) >= size:
            spectrum = self._rfft(self._history.view(size) * self._window)[:, :BINS]
            gains = self._network(np.abs(spectrum).astype(np.float32, copy=False), latents, self._memory)
            if not np.isfinite(np.sum(gains)):
                self._memory, self._told = Memory(), None
                raise QsepError("the model's gains are not finite; choose another --model")
            self._history.skip(HOP * self._factor)
            self._count += 1
            told[:-1] = told[1:]
            for look, each in zip(self._network.looks, gains, strict=True):
                if look < self._frames:
                    told[len(told) - 1 - self._future - look] = each.reshape(-1)
        middle = (self._count * HOP - N_FFT // 2) * self._factor
        newest = self._start + middle * self.rate / self._history_rate
        first = newest - (self._frames - 1) * self._spacing
        # The Board has room for a whole window of frames; the one to come takes the oldest's place there.
        kept = told[-FRAMES:]
        first += (len(told) - len(kept)) * self._spacing
        return GainFrames(self._position, first, self._spacing, kept.copy(), latents)


class _Channels:
    """What `MaskPath` asks of a network, where none is run by window."""

    def __init__(self, channels: int) -> None:
        self.channels = channels

    def __call__(self, magnitude: NDArray[np.float32], z: NDArray[np.float32], /) -> NDArray[np.float32]:
        raise NotImplementedError


def open_path(rate: int, network: Network, position: int = 0, ahead: int = 0, frames: int = FRAMES) -> MaskPath:
    """The mask path that a network asks for."""
    if (stream := streaming(network)) is not None:
        return StreamPath(rate, stream, position, frames)
    return MaskPath(rate, windowed(network), position, ahead, frames)

"""What a separator says of itself, and how it is called.

Everything else asks a `SeparatorSpec` in place of assuming a rate, a window or a number of latents. A separator is one
of two kinds, by what it passes to the signal path:

- *gains* (`GainSeparator`): real gains over its bins, for a latent. The own networks.
- *stems* (`StemSeparator`): the samples of each stem over its window. HTDemucs and its like. Its condition is a weight
  for each stem, which the signal path applies: the network knows nothing of it.

Another package adds a separator with one class: see `SeparatorClass`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Carrier = Literal["gains", "stems"]

ENTRY_POINTS = "qsep_live.separators"
"""Group of entry points that other packages add separators in."""


@dataclass(frozen=True)
class SeparatorSpec:
    """What the rest of the program may rely on.

    Attributes
    ----------
    name
        As ``--model`` takes it: a-z, 0-9, - and _.
    fingerprint
        Hex digits that change with any weight or hyperparameter. Latents of the own networks belong to one.
    rate
        Hz: of the sound it takes and gives.
    channels
        It takes: 1 or 2.
    carrier
        What it gives.
    stems
        Names of what it gives, in its order; empty for gains.
    latent
        Numbers in its condition. With stems: as many as there are, a weight each.
    windows
        Lengths in samples that it is ready for, the longest first. Offline takes the first.
    hop
        Samples: windows that end a multiple of it apart agree best.
    edge
        Samples before the end of a window that are not to be trusted.
    keeps_state
        Hears each hop once and remembers; otherwise it hears every window afresh.
    licence
        Of the weights, a line for people.
    origin
        Where the weights came from, a line for people.
    """

    name: str
    fingerprint: str
    rate: int
    channels: int
    carrier: Carrier
    latent: int
    windows: tuple[int, ...]
    hop: int
    stems: tuple[str, ...] = ()
    edge: int = 0
    keeps_state: bool = False
    licence: str = "unknown"
    origin: str = "unknown"

    def __post_init__(self) -> None:
        """Raise ValueError where it contradicts itself."""
        if (self.carrier == "stems") != bool(self.stems):
            raise ValueError(f"{self.name}: stems are {self.stems} of a separator that gives {self.carrier}")
        if self.stems and self.latent != len(self.stems):
            raise ValueError(f"{self.name}: {self.latent} weights for {len(self.stems)} stems")
        if len(set(self.stems)) != len(self.stems):
            raise ValueError(f"{self.name}: two stems of one name in {self.stems}")
        if not self.windows or list(self.windows) != sorted(set(self.windows), reverse=True):
            raise ValueError(f"{self.name}: windows are {self.windows}; give lengths, the longest first")
        if min(self.windows) <= self.edge or self.hop < 1 or self.rate < 1 or self.channels not in (1, 2):
            raise ValueError(f"{self.name}: its rate, channels, hop, edge or windows cannot be meant")


class StemSeparator(Protocol):
    """Sound in, stems out. Threading: one thread at a time. The same window gives the same stems."""

    @property
    def spec(self) -> SeparatorSpec: ...

    def warm_up(self, window: int) -> None:
        """Make ready for windows of ``window`` samples, so that the first takes no longer than the others.

        Raises
        ------
        QsepError
            It is not ready for that length: says which command makes it so.
        """

    def __call__(self, window: Array) -> Array:
        """Stems of a window.

        Parameters
        ----------
        window
            (channels, samples) float32, finite; as many samples as one of ``spec.windows``.

        Returns
        -------
        ndarray
            (stems, channels, samples) float32, a new array.
        """


class GainSeparator(Protocol):
    """Magnitudes in, gains out. Threading: one thread at a time. The same input gives the same gains."""

    @property
    def spec(self) -> SeparatorSpec: ...

    def warm_up(self, frames: int) -> None:
        """Make ready for windows of ``frames``."""

    def __call__(self, magnitude: Array, z: Array) -> Array:
        """Gains in [0, 1] of a window.

        Parameters
        ----------
        magnitude
            (channels, bins, frames) float32: 1 channel is the middle, 2 are the middle and the side.
        z
            (latent,) float32; or (latents, latent), for one mask each.

        Returns
        -------
        ndarray
            (bins, frames) or (latents, bins, frames) float32, a new array.
        """


class SeparatorClass(Protocol):
    """What an entry point of the group `ENTRY_POINTS` names: a class whose objects are `StemSeparator` s.

    ``spec`` is asked before anything is loaded, so it is an attribute of the class. A class that needs files of its own
    finds them itself, and raises `qsep_live.errors.QsepError` with one line where it cannot.
    """

    spec: ClassVar[SeparatorSpec]

    def __call__(self, device: str = "auto", threads: int = 1, exact: bool = True) -> StemSeparator:
        """Load it. ``device``: auto, cpu, cuda or mps. ``threads``: of the CPU. ``exact``: float32; else as fast as
        it can with errors of some thousandths."""

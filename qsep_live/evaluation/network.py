"""A model as evaluation uses it: the Separator to run, the Query-net to encode."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from qsep_live.dsp.grid import MODEL_RATE, SEGMENT
from qsep_live.engine.stream_path import Network as AnyNetwork
from qsep_live.latent.query import sounding_segments
from qsep_live.latent.slerp import LATENT_SIZE
from qsep_live.nets.inference import Backend, open_backend, open_network

if TYPE_CHECKING:
    from qsep_live.nets.model import Model

SILENT = 1e-3
"""Root mean square below which a sound holds nothing to encode: -60 dBFS."""


@dataclass(frozen=True)
class NetworkSpec:
    """Which model, and where it runs. Picklable: each process of a pool opens its own."""

    path: Path
    device: str = "auto"
    threads: int = 1

    def open(self) -> Network:
        return Network(self)


class Network:
    """A model that is ready. Belongs to one thread."""

    def __init__(self, spec: NetworkSpec) -> None:
        self._spec = spec

    @cached_property
    def separate(self) -> AnyNetwork:
        """The Separator, opened when first used."""
        return open_network(self._spec.path, self._spec.device, threads=self._spec.threads)

    @cached_property
    def windows(self) -> Backend:
        """The Separator as one that takes whole windows.

        Raises
        ------
        QsepError
            It keeps its state from frame to frame.
        """
        return open_backend(self._spec.path, self._spec.device, threads=self._spec.threads)

    @cached_property
    def _model(self) -> Model:
        from qsep_live.nets.model import load_model

        return load_model(self._spec.path)

    def segments(self, audio: NDArray[np.float32], rate: int, most: int | None = None) -> NDArray[np.float32]:
        """μ of the three-second segments of ``audio`` (n, channels), half overlapped, silent ones left out.

        Parameters
        ----------
        most
            Encode no more than so many, evenly spaced.

        Returns
        -------
        ndarray
            (segments, 32); no rows for a silent sound.
        """
        from qsep_live.audio.resample import resample
        from qsep_live.nets.encode import encode

        mono = audio.mean(axis=1, dtype=np.float32, keepdims=True)
        mono = resample(np.ascontiguousarray(mono), rate, MODEL_RATE)[:, 0]
        if mono.size == 0 or np.sqrt(np.mean(np.square(mono, dtype=np.float64))) < SILENT:
            return np.zeros((0, LATENT_SIZE), np.float32)
        if mono.size < SEGMENT:
            mono = np.resize(mono, SEGMENT)
        starts = sounding_segments(mono)
        if most is not None and len(starts) > most:
            starts = starts[np.linspace(0, len(starts) - 1, most).round().astype(int)]
        return encode(self._model, np.stack([mono[start : start + SEGMENT] for start in starts]))

    def latent(self, audio: NDArray[np.float32], rate: int) -> NDArray[np.float32] | None:
        """Mean of `segments`, (32,); None for a silent sound."""
        mu = self.segments(audio, rate)
        return mu.mean(axis=0) if len(mu) else None

"""HTDemucs, once it was made ready by `htdemucs_build`: sound in, stems out.

On a CPU by OpenVINO, without torch; on a GPU in torch (`htdemucs_torch`).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol

import numpy as np

from qsep_live.errors import QsepError, UsageError
from qsep_live.models.adapters.htdemucs_files import network_file
from qsep_live.models.adapters.htdemucs_sound import SHORTEST, Array
from qsep_live.models.registry import CARD, read_card
from qsep_live.models.spec import SeparatorSpec
from qsep_live.nets.inference import BACKENDS, choose_device

GRAPH_VARIABLE = "QSEP_LIVE_CUDA_GRAPH"
"""Environment variable: 0 runs HTDemucs on CUDA without recording it first."""


class Runner(Protocol):
    """What runs the networks."""

    name: str

    def ready(self, samples: int) -> None: ...

    def run(self, window: Array) -> Array: ...


class HTDemucs:
    """A `qsep_live.models.spec.StemSeparator`. Threading: one thread at a time.

    Parameters
    ----------
    any_length
        ``runner`` takes windows that ``spec`` does not name.

    Attributes
    ----------
    spec
    name
        Of what runs it, for people.
    bounded
        Samples of stems so far that were louder than the loudest of the mixture in the same window, and were bounded
        to it. The network has never heard a lone click in digital silence, and answers it with peaks of 19.
    """

    def __init__(self, spec: SeparatorSpec, runner: Runner, any_length: bool) -> None:
        self.spec = spec
        self.name = runner.name
        self.bounded = 0
        self._runner = runner
        self._any_length = any_length

    def warm_up(self, window: int) -> None:
        """Make ready for windows of ``window`` samples.

        Raises
        ------
        QsepError
            It was not made for that length.
        """
        self._require_length(window)
        self._runner.ready(window)

    def __call__(self, window: Array) -> Array:
        """Stems (stems, 2, samples) of a window (2, samples), float32; a new array. Silence gives exact silence.

        Raises
        ------
        QsepError
            The window is of another shape or not finite, or what the network gives is not finite.
        """
        if window.ndim != 2 or window.shape[0] != self.spec.channels or window.dtype != np.float32:
            raise QsepError(
                f"{self.spec.name} takes (2, samples) of float32 samples, not {window.shape} of {window.dtype}"
            )
        samples = window.shape[1]
        self._require_length(samples)
        peak = np.abs(window).max()
        if not np.isfinite(peak):
            raise QsepError(f"{self.spec.name} was given samples that are not finite")
        if peak == 0.0:
            return np.zeros((len(self.spec.stems), 2, samples), np.float32)
        stems = self._runner.run(window)
        if not np.isfinite(stems).all():
            raise QsepError(f"{self.spec.name} ({self.name}) gave samples that are not finite")
        louder = int(np.count_nonzero(np.abs(stems) > peak))
        if louder:
            self.bounded += louder
            np.clip(stems, -peak, peak, out=stems)
        return stems

    def _require_length(self, samples: int) -> None:
        if samples in self.spec.windows or (self._any_length and samples >= SHORTEST):
            return
        lengths = ", ".join(f"{each} ({each / self.spec.rate:.1f} s)" for each in self.spec.windows)
        raise QsepError(
            f"{self.spec.name} was made ready for windows of {lengths} samples, not {samples} "
            f"({samples / self.spec.rate:.1f} s): remove it and add it with that length: qsep-live models add"
        )


def open_installed(
    folder: Path,
    spec: SeparatorSpec,
    device: str = "auto",
    threads: int = 1,
    exact: bool = True,
    backend: str = "auto",
    graph: bool | None = None,
) -> HTDemucs:
    """Load the model that `htdemucs_build.build` wrote into ``folder``.

    Parameters
    ----------
    device
        ``auto`` (CUDA where there is one, else the CPU), ``cpu``, ``cuda`` or ``mps``.
    threads
        CPU threads to run on.
    exact
        In float32, which gives the same stems every time; else as fast as it can.
    backend
        ``auto`` (OpenVINO on the CPU, torch elsewhere), ``openvino`` or ``torch``.
    graph
        On CUDA, record the network once and replay it; None asks the environment variable `GRAPH_VARIABLE`.

    Raises
    ------
    QsepError
        A file is missing or damaged, or this machine cannot run it.
    """
    if backend not in BACKENDS:
        raise UsageError(f"there is no backend {backend!r}; there are {', '.join(BACKENDS)}")
    if threads < 1:
        raise UsageError(f"{threads} threads: give 1 or more")
    shares, sums = _read(folder, spec)
    device = choose_device("cpu" if device == "auto" and backend == "openvino" else device)
    if backend == "openvino" and device != "cpu":
        raise UsageError(f"backend openvino runs on cpu, not {device}; choose backend torch or device cpu")
    if device == "cpu" and backend != "torch":
        from qsep_live.models.adapters.htdemucs_openvino import OpenVinoRunner

        return HTDemucs(spec, OpenVinoRunner(folder, shares, sums, threads, exact), any_length=False)
    from qsep_live.models.adapters.htdemucs_torch import TorchRunner
    from qsep_live.models.adapters.htdemucs_weights import load_network

    networks = [load_network(folder / network_file(index)) for index in range(len(shares))]
    recorded = os.environ.get(GRAPH_VARIABLE, "1") != "0" if graph is None else graph
    return HTDemucs(spec, TorchRunner(networks, shares, device, threads, exact, recorded), any_length=True)


def _read(folder: Path, spec: SeparatorSpec) -> tuple[list[list[float]], dict[str, str]]:
    card = read_card(folder)
    shares, sums = card.get("shares"), card.get("files")
    try:
        table = np.array(shares, np.float64)
        if table.ndim != 2 or table.shape[1] != len(spec.stems) or not np.isfinite(table).all():
            raise ValueError
        if not isinstance(sums, dict) or not all(isinstance(each, str) for each in sums.values()):
            raise ValueError
    except (TypeError, ValueError):
        raise QsepError(f"{folder / CARD}: damaged; add the model again: qsep-live models add") from None
    return table.tolist(), sums

"""HTDemucs on the CPU, by the graphs that `htdemucs_build` made. No torch in the process."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from qsep_live.errors import QsepError
from qsep_live.models.adapters.htdemucs_files import CACHE, graph_file, sha256
from qsep_live.models.adapters.htdemucs_sound import Array, network_inputs, stems_from
from qsep_live.nets.inference_weights import reason
from qsep_live.nets.openvino_ops import openvino_core


class OpenVinoRunner:
    """Sound in, stems out. Threading: one thread at a time.

    Parameters
    ----------
    shares
        Of each network, for each stem.
    sums
        SHA-256 of each file in ``folder``, as the card has them.
    exact
        In float32; else in bfloat16 where the CPU has instructions for it.
    """

    def __init__(
        self, folder: Path, shares: Sequence[Sequence[float]], sums: Mapping[str, str], threads: int, exact: bool
    ) -> None:
        self._folder, self._sums = folder, sums
        self._shares = [np.array(row, np.float32)[:, None, None] for row in shares]
        self._requests: dict[int, list[Any]] = {}
        try:
            self._core = openvino_core()
            half = not exact and "BF16" in self._core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        except (ImportError, RuntimeError) as error:
            raise _cannot_run(error) from None
        self.name = "openvino cpu bf16" if half else "openvino cpu"
        precision = "bf16" if half else "f32"
        self._options: dict[str, Any] = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": threads,
            # Left to itself it would choose by the machine.
            "INFERENCE_PRECISION_HINT": precision,
            # The audio thread shares the cores.
            "ENABLE_CPU_PINNING": False,
        }
        # A folder for each: OpenVINO 2026.4 takes what it compiled for one precision for the other's, and then gives
        # numbers that are none.
        cache = folder / CACHE / precision
        if cache.is_dir() or os.access(folder, os.W_OK):
            # By size: a third of the disk, for 0.3 s more to load.
            self._options |= {"CACHE_DIR": str(cache), "CACHE_MODE": "OPTIMIZE_SIZE"}

    def ready(self, samples: int) -> None:
        """Compile for windows of ``samples``, and run once."""
        self.run(np.zeros((2, samples), np.float32))

    def run(self, window: Array) -> Array:
        """Stems (stems, channels, samples) of a window (channels, samples); a new array."""
        requests = self._requests.get(window.shape[-1]) or self.compile(window.shape[-1])
        spectrum, sound, scale = network_inputs(window)
        total: Array | None = None
        for request, share in zip(requests, self._shares, strict=True):
            given = request.infer([spectrum, sound])
            stems = stems_from(given[0], given[1], scale)
            if len(requests) > 1:
                stems *= share
            total = stems if total is None else total + stems
        assert total is not None
        return total

    def compile(self, samples: int) -> list[Any]:
        """The networks for windows of ``samples``, compiled or out of OpenVINO's cache."""
        requests = []
        for index in range(len(self._shares)):
            path = self._folder / graph_file(index, samples)
            for file in (path, path.with_suffix(".bin")):
                self._require_whole(file)
            try:
                requests.append(self._core.compile_model(str(path), "CPU", self._options).create_infer_request())
            except RuntimeError as error:
                raise _cannot_run(error) from None
        return self._requests.setdefault(samples, requests)

    def _require_whole(self, path: Path) -> None:
        try:
            whole = sha256(path) == self._sums.get(path.name)
        except OSError as error:
            raise QsepError(f"{path}: {error.strerror or error}; add the model again: qsep-live models add") from None
        if not whole:
            raise QsepError(f"{path}: damaged; add the model again: qsep-live models add")


def _cannot_run(error: Exception) -> QsepError:
    return QsepError(f"OpenVINO cannot run HTDemucs here ({reason(error)})")

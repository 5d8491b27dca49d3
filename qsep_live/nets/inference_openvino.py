"""The Separator through OpenVINO: the fastest on a CPU, and no torch in the process.

Each network's graph has a module of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from qsep_live.dsp.grid import BINS, FRAMES
from qsep_live.errors import QsepError
from qsep_live.nets.inference_weights import PATCHES, frame_step, frames_of, reason, require_frames
from qsep_live.nets.openvino_ops import Array, openvino_core
from qsep_live.nets.openvino_patch_unet import build_patch_unet
from qsep_live.nets.openvino_unet import build_unet


class OpenVinoBackend:
    """Runs the Separator on the CPU. Threading: one thread at a time.

    Parameters
    ----------
    weights
        Of the network, by name, as `separator_shapes` says.
    config
        Its hyperparameters, as a checkpoint's header has them.
    fingerprint
        Of the checkpoint.
    threads
        CPU threads to run on.
    latents
        How many it is asked about the same window at once.
    exact
        In float32, which gives the same mask on every machine; else in bfloat16 where the CPU has instructions for it.
    """

    def __init__(
        self,
        weights: Mapping[str, Array],
        config: Mapping[str, Any],
        fingerprint: str,
        threads: int,
        latents: int = 1,
        exact: bool = True,
    ) -> None:
        self.fingerprint = fingerprint
        self.channels: int = config.get("channels", 1)
        latent: int = config["latent"]
        self._z_shape = (latent,) if latents == 1 else (latents, latent)
        self._weights, self._config, self._latents = weights, config, latents
        self._requests: dict[int, Any] = {}
        try:
            self._core = openvino_core()
            half = not exact and "BF16" in self._core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        except (ImportError, RuntimeError) as error:
            raise _cannot_run(error) from None
        self.name = "openvino cpu bf16" if half else "openvino cpu"
        self._options = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": threads,
            # Left to itself it would choose by the machine.
            "INFERENCE_PRECISION_HINT": "bf16" if half else "f32",
            # The audio thread shares the cores.
            "ENABLE_CPU_PINNING": False,
        }

    def __call__(self, magnitude: Array, z: Array) -> Array:
        """Mask (BINS, frames) in [0, 1] for magnitudes (channels, BINS, frames) and z (latent,); a new array.

        Opened for several latents: masks (latents, BINS, frames) for z (latents, latent).
        """
        frames = frames_of(magnitude, z, self.channels, self._z_shape)
        inputs = [np.ascontiguousarray(magnitude, np.float32), np.ascontiguousarray(np.atleast_2d(z), np.float32)]
        request = self._requests.get(frames) or self._compile(frames)
        masks: Array = request.infer(inputs)[0]
        return masks.reshape(*z.shape[:-1], BINS, frames)

    def warm_up(self, frames: int = FRAMES) -> None:
        """Compile for windows of ``frames`` and run once, so that the first real step takes no longer than the others.

        Raises
        ------
        UsageError
            The network does not take such a window.
        """
        self(np.zeros((self.channels, BINS, frames), np.float32), np.zeros(self._z_shape, np.float32))

    def _compile(self, frames: int) -> Any:
        require_frames(frames, frame_step(self._config))
        build = build_patch_unet if self._config.get("kind") == PATCHES else build_unet
        try:
            graph = build(self._weights, self._config, self._latents, frames)
            request = self._core.compile_model(graph, "CPU", self._options).create_infer_request()
        except RuntimeError as error:
            raise _cannot_run(error) from None
        return self._requests.setdefault(frames, request)


def _cannot_run(error: Exception) -> QsepError:
    return QsepError(f"OpenVINO cannot run the network here ({reason(error)}); choose backend torch")

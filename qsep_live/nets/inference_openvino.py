"""The Separator through OpenVINO: the fastest on a CPU, and no torch in the process.

Each network's graph has a module of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from qsep_live.dsp.grid import BINS, FRAMES
from qsep_live.errors import QsepError
from qsep_live.nets.inference_weights import PATCHES, reason
from qsep_live.nets.openvino_ops import Array, import_openvino
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
        try:
            ov, _ = import_openvino()
            core = ov.Core()
            half = not exact and "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
            self.name = "openvino cpu bf16" if half else "openvino cpu"
            options = {
                "PERFORMANCE_HINT": "LATENCY",
                "INFERENCE_NUM_THREADS": threads,
                # Left to itself it would choose by the machine.
                "INFERENCE_PRECISION_HINT": "bf16" if half else "f32",
                # The audio thread shares the cores.
                "ENABLE_CPU_PINNING": False,
            }
            build = build_patch_unet if config.get("kind") == PATCHES else build_unet
            graph = build(weights, config, latents)
            compiled = core.compile_model(graph, "CPU", options)
            self._request = compiled.create_infer_request()
        except (ImportError, RuntimeError) as error:
            raise QsepError(f"OpenVINO cannot run the network here ({reason(error)}); choose backend torch") from None

    def __call__(self, magnitude: Array, z: Array) -> Array:
        """Mask (BINS, FRAMES) in [0, 1] for magnitudes (channels, BINS, FRAMES) and z (latent,); a new array.

        Opened for several latents: masks (latents, BINS, FRAMES) for z (latents, latent).
        """
        wanted = (self.channels, BINS, FRAMES), self._z_shape
        if (magnitude.shape, z.shape) != wanted:
            raise ValueError(f"shapes {magnitude.shape} and {z.shape}, must be {wanted[0]} and {wanted[1]}")
        inputs = [np.ascontiguousarray(magnitude, np.float32), np.ascontiguousarray(np.atleast_2d(z), np.float32)]
        masks: Array = self._request.infer(inputs)[0]
        return masks.reshape(*z.shape[:-1], BINS, FRAMES)

    def warm_up(self) -> None:
        """Run once, so that the first real step takes no longer than the others."""
        self(np.zeros((self.channels, BINS, FRAMES), np.float32), np.zeros(self._z_shape, np.float32))

"""The Separator in torch, on the CPU, CUDA or Apple's MPS: the reference, and the way onto a GPU."""

from __future__ import annotations

import copy

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from qsep_live.dsp.grid import BINS, FRAMES

Array = NDArray[np.float32]
GRAPH_WARM_STEPS = 3


class TorchBackend:
    """Runs any module of the Separators' signature. Threading: one thread at a time.

    Parameters
    ----------
    separator
        Magnitude (1, channels, BINS, FRAMES) and z (latents, latent) to masks; copied, so that the caller's stays
        where it is.
    channels
        What it hears.
    z_shape
        How many latents it is asked about the same window at once, and their size.
    fingerprint
        Of the model.
    device
        ``"cpu"``, ``"cuda"`` or ``"mps"``.
    threads
        CPU threads of torch in this process.
    graph
        On CUDA, record the network once and replay it.
    """

    def __init__(
        self,
        separator: nn.Module,
        channels: int,
        z_shape: tuple[int, int],
        fingerprint: str,
        device: str,
        threads: int,
        graph: bool,
    ) -> None:
        torch.set_num_threads(threads)
        cuda = device == "cuda"
        self.name = f"torch {device}" + (" graph" if cuda and graph else "")
        self.fingerprint = fingerprint
        self.channels = channels
        self._separator = copy.deepcopy(separator).to(device).eval().requires_grad_(False)
        self._magnitude = torch.zeros(1, channels, BINS, FRAMES, device=device)
        self._z = torch.zeros(z_shape, device=device)
        self._z_shape = z_shape[1:] if z_shape[0] == 1 else z_shape
        # Convolutions are normed at once and magnitudes stay below 512, so float16 has the range; its mask is finer
        # than bfloat16's. Casts are not cached: a graph would keep the cache's memory.
        self._cast = torch.autocast("cuda", torch.float16, enabled=cuda, cache_enabled=False)
        self._graph: torch.cuda.CUDAGraph | None = None
        if cuda:
            torch.backends.cudnn.deterministic = True
            if graph:
                self._record()

    def __call__(self, magnitude: Array, z: Array) -> Array:
        """Mask (BINS, FRAMES) in [0, 1] for magnitudes (channels, BINS, FRAMES) and z (latent,); a new array.

        Opened for several latents: masks (latents, BINS, FRAMES) for z (latents, latent).
        """
        wanted = self._magnitude.shape[1:], self._z_shape
        if (magnitude.shape, z.shape) != wanted:
            fixed = "" if self._graph is None else "; the CUDA graph was recorded for these alone"
            raise ValueError(
                f"shapes {magnitude.shape} and {z.shape}, must be {tuple(wanted[0])} and {wanted[1]}{fixed}"
            )
        with torch.inference_mode():
            self._magnitude[0].copy_(torch.from_numpy(np.ascontiguousarray(magnitude, np.float32)))
            self._z.copy_(torch.from_numpy(np.ascontiguousarray(np.atleast_2d(z), np.float32)))
            if self._graph is None:
                mask = self._run()
            else:
                self._graph.replay()
                mask = self._mask
            result: Array = mask[:, 0].cpu().numpy()
            return result.reshape(*z.shape[:-1], BINS, FRAMES)

    def warm_up(self) -> None:
        """Run once, so that the first real step takes no longer than the others."""
        self(np.zeros(self._magnitude.shape[1:], np.float32), np.zeros(self._z_shape, np.float32))

    def _run(self) -> Tensor:
        with self._cast:
            mask: Tensor = self._separator(self._magnitude, self._z)
        return mask.float()

    @torch.inference_mode()
    def _record(self) -> None:
        stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(GRAPH_WARM_STEPS):
                self._run()
        torch.cuda.current_stream().wait_stream(stream)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            self._mask = self._run()

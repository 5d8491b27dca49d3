"""The Separator in torch, on the CPU, CUDA or Apple's MPS: the reference, and the way onto a GPU."""

from __future__ import annotations

import copy

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from qsep_live.dsp.grid import BINS, FRAMES
from qsep_live.nets.inference_weights import frames_of, require_frames

Array = NDArray[np.float32]
GRAPH_WARM_STEPS = 3


class TorchBackend:
    """Runs any module of the Separators' signature. Threading: one thread at a time.

    Parameters
    ----------
    separator
        Magnitude (1, channels, BINS, frames) and z (latents, latent) to masks; copied, so that the caller's stays
        where it is.
    frame_step
        What the frames of its windows must be a multiple of.
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
        frame_step: int,
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
        self._frame_step = frame_step
        self._z = torch.zeros(z_shape, device=device)
        self._z_shape = z_shape[1:] if z_shape[0] == 1 else z_shape
        # Convolutions are normed at once and magnitudes stay below 512, so float16 has the range; its mask is finer
        # than bfloat16's. Casts are not cached: a graph would keep the cache's memory.
        self._cast = torch.autocast("cuda", torch.float16, enabled=cuda, cache_enabled=False)
        self._recorded = cuda and graph
        self._windows: dict[int, _Window] = {}
        if cuda:
            torch.backends.cudnn.deterministic = True

    def __call__(self, magnitude: Array, z: Array) -> Array:
        """Mask (BINS, frames) in [0, 1] for magnitudes (channels, BINS, frames) and z (latent,); a new array.

        Opened for several latents: masks (latents, BINS, frames) for z (latents, latent).
        """
        frames = frames_of(magnitude, z, self.channels, self._z_shape)
        window = self._windows.get(frames) or self._open(frames)
        with torch.inference_mode():
            window.magnitude[0].copy_(torch.from_numpy(np.ascontiguousarray(magnitude, np.float32)))
            self._z.copy_(torch.from_numpy(np.ascontiguousarray(np.atleast_2d(z), np.float32)))
            if window.graph is None:
                mask = self._run(window.magnitude)
            else:
                window.graph.replay()
                mask = window.mask
            result: Array = mask[:, 0].cpu().numpy()
            return result.reshape(*z.shape[:-1], BINS, frames)

    def warm_up(self, frames: int = FRAMES) -> None:
        """Run once on a window of ``frames``, so that the first real step takes no longer than the others.

        Raises
        ------
        UsageError
            The network does not take such a window.
        """
        self(np.zeros((self.channels, BINS, frames), np.float32), np.zeros(self._z_shape, np.float32))

    def _run(self, magnitude: Tensor) -> Tensor:
        with self._cast:
            mask: Tensor = self._separator(magnitude, self._z)
        return mask.float()

    @torch.inference_mode()
    def _open(self, frames: int) -> _Window:
        require_frames(frames, self._frame_step)
        window = _Window(torch.zeros(1, self.channels, BINS, frames, device=self._z.device))
        if self._recorded:
            stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
            stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(stream):
                for _ in range(GRAPH_WARM_STEPS):
                    self._run(window.magnitude)
            torch.cuda.current_stream().wait_stream(stream)
            window.graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(window.graph):
                window.mask = self._run(window.magnitude)
        return self._windows.setdefault(frames, window)


class _Window:
    """Where windows of one length are put; on CUDA the network recorded there, and where its masks come out."""

    def __init__(self, magnitude: Tensor) -> None:
        self.magnitude = magnitude
        self.graph: torch.cuda.CUDAGraph | None = None
        self.mask = magnitude

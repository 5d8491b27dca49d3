"""HTDemucs in torch: on a GPU, and on a CPU as the reference. Windows of any length.

On CUDA it computes in float16 and records the network once for each length, to be replayed (``graph``). It has NOT been
run on a GPU, neither CUDA nor Apple's: there was none where this was written. On the CPU the same lines are tested, in
float32 and without a recording.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from qsep_live.models.adapters.htdemucs_graph import Between
from qsep_live.models.adapters.htdemucs_sound import BINS, FFT, HOP, PAD, Array, frames_of
from qsep_live.models.adapters.htdemucs_weights import Network

GRAPH_WARM_STEPS = 3


class TorchRunner:
    """Sound in, stems out. Threading: one thread at a time.

    Parameters
    ----------
    shares
        Of each network, for each stem.
    device
        ``"cpu"``, ``"cuda"`` or ``"mps"``.
    threads
        CPU threads of torch in this process.
    exact
        In float32 on every device; else in float16 on CUDA.
    graph
        On CUDA, record the networks once and replay them.
    """

    def __init__(
        self,
        networks: Sequence[Network],
        shares: Sequence[Sequence[float]],
        device: str,
        threads: int,
        exact: bool,
        graph: bool,
    ) -> None:
        torch.set_num_threads(threads)
        cuda = device == "cuda"
        half = cuda and not exact
        self.name = f"torch {device}" + (" f16" if half else "") + (" graph" if cuda and graph else "")
        self._device = device
        self._networks = [Between(each.torch().to(device)).eval() for each in networks]
        self._shares = [torch.tensor(row, device=device)[:, None, None] for row in shares]
        # Casts are not cached: a graph would keep the cache's memory.
        self._cast = torch.autocast("cuda", torch.float16, enabled=half, cache_enabled=False)
        self._recorded = cuda and graph
        self._hann = torch.hann_window(FFT).to(device)
        self._windows: dict[int, _Window] = {}
        if cuda:
            torch.backends.cudnn.deterministic = True

    def ready(self, samples: int) -> None:
        """Run once on a window of ``samples``."""
        self.run(np.zeros((2, samples), np.float32))

    @torch.inference_mode()
    def run(self, window: Array) -> Array:
        """Stems (stems, channels, samples) of a window (channels, samples); a new array."""
        held = self._windows.get(window.shape[-1]) or self._open(window.shape[-1])
        held.sound.copy_(torch.from_numpy(np.ascontiguousarray(window)))
        if held.graph is None:
            held.stems = self._step(held.sound)
        else:
            held.graph.replay()
        return np.array(held.stems.cpu().numpy())

    def _step(self, sound: Tensor) -> Tensor:
        """As ``HTDemucs.forward``, with nothing in it that a recording cannot hold."""
        parts = torch.view_as_real(self._stft(sound)).permute(0, 3, 1, 2).flatten(0, 1)
        mean, deviation = parts.mean(), parts.std()
        mean_t, deviation_t = sound.mean(), sound.std()
        x, xt = (parts - mean) / (1e-5 + deviation), (sound - mean_t) / (1e-5 + deviation_t)
        total = torch.zeros((), device=self._device)
        for network, share in zip(self._networks, self._shares, strict=True):
            with self._cast:
                spectra, sounds = network(x[None], xt[None])
            spectra = spectra[0].float() * deviation + mean
            pairs = spectra.unflatten(1, (-1, 2)).permute(0, 1, 3, 4, 2).contiguous()
            stems = self._istft(torch.view_as_complex(pairs), sound.shape[-1])
            total = total + share * (stems + sounds[0].float() * deviation_t + mean_t)
        return total

    def _stft(self, sound: Tensor) -> Tensor:
        behind = PAD + frames_of(sound.shape[-1]) * HOP - sound.shape[-1]
        padded = functional.pad(sound[None], (PAD, behind), mode="reflect")[0]
        spectrum = torch.fft.rfft(padded.unfold(-1, FFT, HOP) * self._hann, norm="ortho")
        kept: Tensor = spectrum[..., :BINS].transpose(-1, -2)
        return kept

    def _istft(self, spectra: Tensor, samples: int) -> Tensor:
        full = functional.pad(spectra.transpose(-1, -2), (0, 1))
        frames = torch.fft.irfft(full, FFT, norm="ortho") * (self._hann / 1.5)
        # A quarter of each frame falls on each of four hops.
        quarters = frames.unflatten(-1, (4, HOP)).unbind(-2)
        blocks = sum(functional.pad(each, (0, 0, index, 3 - index)) for index, each in enumerate(quarters))
        assert isinstance(blocks, Tensor)
        return blocks.flatten(-2)[..., PAD : PAD + samples]

    def _open(self, samples: int) -> _Window:
        held = _Window(torch.zeros(2, samples, device=self._device))
        if self._recorded:
            stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
            stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(stream):
                for _ in range(GRAPH_WARM_STEPS):
                    self._step(held.sound)
            torch.cuda.current_stream().wait_stream(stream)
            held.graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(held.graph):
                held.stems = self._step(held.sound)
        return self._windows.setdefault(samples, held)


class _Window:
    """Where windows of one length are put; on CUDA the step recorded there, and where its stems come out."""

    def __init__(self, sound: Tensor) -> None:
        self.sound = sound
        self.graph: torch.cuda.CUDAGraph | None = None
        self.stems = sound

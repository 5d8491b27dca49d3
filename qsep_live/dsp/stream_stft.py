"""Short-latency STFT: a long analysis window for resolution, a short synthesis window for delay.

The pair of windows is Mauler and Martin's (EUSIPCO 2007): their product is a Hann window over the last
``synthesis`` samples of the frame, so that overlap-add returns the input, and the delay is the synthesis window's
length, whatever the analysis window.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qsep_live.dsp.tape import Tape


@dataclass(frozen=True)
class StreamGrid:
    """Window lengths and hop of a streaming STFT, in samples.

    Attributes
    ----------
    analysis
        Samples in a frame, N: even.
    synthesis
        Samples in the synthesis window, M ≤ N: the delay. A multiple of ``2 * hop``.
    hop
        Samples between frames.
    """

    analysis: int
    synthesis: int
    hop: int

    def __post_init__(self) -> None:
        whole = self.hop > 0 and self.synthesis % (2 * self.hop) == 0
        if self.analysis % 2 or not 0 < self.synthesis <= self.analysis or not whole:
            raise ValueError(
                f"frame {self.analysis}, synthesis window {self.synthesis}, hop {self.hop}: the frame must be even "
                "and at least the synthesis window, which must be a multiple of twice the hop"
            )

    @property
    def delay(self) -> int:
        """Samples from input to output."""
        return self.synthesis

    @property
    def first(self) -> int:
        """Samples that are in when the first gains are asked for."""
        return self.hop

    @property
    def lag(self) -> float:
        """Samples from the time that gains are for, the middle of the synthesis window, to the newest one."""
        return self.synthesis / 2

    def windows(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Analysis window (N,) and synthesis window (M,); their product overlap-adds to one."""
        n, m = self.analysis, self.synthesis
        half = m // 2
        falling = np.sqrt(_hann(m)[half:])
        rising = np.sqrt(_hann(2 * (n - half))[: n - half])
        analysis = np.concatenate([rising, falling])
        # Product over the last M samples is Hann(M), scaled for the overlap.
        product = _hann(m) * (2.0 * self.hop / m)
        synthesis = np.divide(product, analysis[n - m :], out=np.zeros(m), where=analysis[n - m :] > 1e-9)
        return analysis.astype(np.float32), synthesis.astype(np.float32)


def _hann(length: int) -> NDArray[np.float64]:
    """Hann window sampled between the points, so that no value is zero."""
    result: NDArray[np.float64] = 0.5 - 0.5 * np.cos(2.0 * np.pi * (np.arange(length) + 0.5) / length)
    return result


@dataclass
class AnalysisState:
    """What `StreamingAnalysis` carries from chunk to chunk."""

    tape: Tape


class StreamingAnalysis:
    """Chunks in, spectra out, one every ``hop`` samples. Before the first sample there is silence.

    Parameters
    ----------
    grid
        Windows and hop.
    channels
        Rows of each block.
    """

    def __init__(self, grid: StreamGrid, channels: int) -> None:
        self.grid = grid
        self._window = grid.windows()[0]
        self._frame = np.zeros((channels, grid.analysis), np.float32)
        self.reset()

    def reset(self) -> None:
        """Back to silence before the first sample."""
        grid = self.grid
        self.state = AnalysisState(Tape(self._frame.shape[0], 8 * grid.analysis, grid.analysis - grid.hop))

    def push(self, block: NDArray[np.float32]) -> None:
        """Append ``block`` (channels, n)."""
        self.state.tape.push(block)

    def ready(self) -> bool:
        """Whether a whole frame is in."""
        return len(self.state.tape) >= self.grid.analysis

    def frame(self) -> NDArray[np.complex64]:
        """The next spectrum, (channels, N // 2 + 1)."""
        tape = self.state.tape
        np.multiply(tape.view(self.grid.analysis), self._window, out=self._frame)
        tape.skip(self.grid.hop)
        return np.fft.rfft(self._frame).astype(np.complex64, copy=False)


@dataclass
class SynthesisState:
    """What `StreamingSynthesis` carries from frame to frame: sums under way, and samples done but not read."""

    overlap: NDArray[np.float32]
    tape: Tape


class StreamingSynthesis:
    """Spectra in, chunks out, ``grid.synthesis`` samples behind the input."""

    def __init__(self, grid: StreamGrid, channels: int) -> None:
        self.grid = grid
        self._channels = channels
        self._window = grid.windows()[1]
        self.reset()

    def reset(self) -> None:
        """Back to the start: the first samples read are the delay's silence."""
        grid = self.grid
        # A frame that ends at e gives [e - M, e - M + hop): one hop of silence comes before the first.
        self.state = SynthesisState(
            np.zeros((self._channels, grid.synthesis), np.float32),
            Tape(self._channels, 8 * grid.analysis, grid.hop),
        )

    def add(self, spectrum: NDArray[np.complex64]) -> None:
        """Overlap-add the next spectrum, (channels, N // 2 + 1)."""
        hop, overlap = self.grid.hop, self.state.overlap
        frame = np.fft.irfft(spectrum, n=self.grid.analysis)[:, -self.grid.synthesis :]
        overlap[:, :-hop] = overlap[:, hop:]
        overlap[:, -hop:] = 0.0
        overlap += frame * self._window
        self.state.tape.push(overlap[:, :hop])

    def __len__(self) -> int:
        """Samples ready to read."""
        return len(self.state.tape)

    def read(self, count: int) -> NDArray[np.float32]:
        """The next ``count`` samples, (channels, count), a view that the next call may overwrite."""
        block = self.state.tape.view(count)
        self.state.tape.skip(count)
        return block


class StreamingTransform:
    """Chunks in, spectra times gains, chunks out, ``grid.synthesis`` samples later.

    Parameters
    ----------
    grid
        Windows and hop.
    channels
        Rows of each block.
    responses
        How many gains side by side each spectrum is multiplied by.
    """

    def __init__(self, grid: StreamGrid, channels: int, responses: int = 1) -> None:
        self.grid = grid
        self._analysis = StreamingAnalysis(grid, channels)
        self._synthesis = StreamingSynthesis(grid, responses * channels)

    def push(self, block: NDArray[np.float32]) -> None:
        """Append ``block`` (channels, n)."""
        self._analysis.push(block)

    def due(self) -> bool:
        """Whether the next gains are needed to go on."""
        return self._analysis.ready()

    def apply(self, gains: NDArray[np.float32]) -> None:
        """The next frame's, (responses, 1, N // 2 + 1)."""
        spectra = self._analysis.frame() * gains
        self._synthesis.add(spectra.reshape(-1, spectra.shape[-1]))

    def read(self, count: int) -> NDArray[np.float32]:
        """The next ``count`` samples, (responses·channels, count), a view that the next call may overwrite."""
        return self._synthesis.read(count)

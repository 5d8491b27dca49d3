"""Gains without a window's delay: a filter whose response begins where the look-ahead ends.

Real gains have a symmetric response. A filter that sees ``ahead`` samples beyond the one it gives keeps that much of
the first half and all of the second: of all filters that see no more, the nearest to the gains. One that sees none
still has zero phase wherever the gains are flat; a minimum-phase filter has the gains' magnitudes and loses more by
its phase (docs/evaluation.md). From hop to hop the old filter's output fades into the new one's.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qsep_live.dsp.lengths import fast_length
from qsep_live.dsp.tape import Tape


@dataclass(frozen=True)
class FilterGrid:
    """Lengths in samples.

    Attributes
    ----------
    analysis
        Samples that the response of the gains is computed for, N: even. It dies away towards ±N/2.
    hop
        Samples between filters, and of the fade from one to the next.
    ahead
        Samples that the filter looks ahead: the delay. At most N/2.
    """

    analysis: int
    hop: int
    ahead: int

    def __post_init__(self) -> None:
        if self.analysis % 2 or self.hop < 1 or not 0 <= self.ahead <= self.analysis // 2:
            raise ValueError(f"response {self.analysis}, hop {self.hop}, ahead {self.ahead}: no filter")

    @property
    def delay(self) -> int:
        """Samples from input to output."""
        return self.ahead

    @property
    def synthesis(self) -> int:
        """Samples in the synthesis window: there is none."""
        return 0

    @property
    def first(self) -> int:
        """Samples that are in when the first gains are asked for."""
        return 0

    @property
    def taps(self) -> int:
        """Samples in a filter's response."""
        return self.ahead + self.analysis // 2

    def response(self, gains: NDArray[np.float32]) -> NDArray[np.float32]:
        """The filters with ``gains``, (…, N // 2 + 1): (…, taps)."""
        whole = np.fft.irfft(gains, n=self.analysis).astype(np.float32, copy=False)
        return np.roll(whole, self.ahead, axis=-1)[..., : self.taps]

    @property
    def lag(self) -> float:
        """Samples from the time that gains are for, the end of their fade, to the newest when they are asked for."""
        return self.ahead - self.hop


class StreamingFilter:
    """Chunks in, chunks out, ``grid.ahead`` samples later. Before the first sample there is silence.

    Parameters
    ----------
    grid
        Lengths.
    channels
        Rows of each block.
    responses
        Filters side by side; each hears all channels.
    """

    def __init__(self, grid: FilterGrid, channels: int, responses: int = 1) -> None:
        self.grid = grid
        self._shape = responses, channels
        self._taps = grid.taps
        self._length = fast_length((self._taps + grid.hop) // 2 * 2)
        self._ramp = ((1.0 + np.arange(grid.hop)) / grid.hop).astype(np.float32)
        self.reset()

    def reset(self) -> None:
        """Back to the start: no filter yet, silence before the first sample."""
        responses, channels = self._shape
        self._in = Tape(channels, 8 * self._length, self._taps - 1)
        self._out = Tape(responses * channels, 8 * self._length)
        self._filters: tuple[NDArray[np.complex64], NDArray[np.complex64]] | None = None
        self._place = self.grid.hop

    def push(self, block: NDArray[np.float32]) -> None:
        """Append ``block`` (channels, n)."""
        self._in.push(block)

    def due(self) -> bool:
        """Filter what is in, up to the hop's end; whether the next gains are needed to go on."""
        count = min(len(self._in) - (self._taps - 1), self.grid.hop - self._place)
        if count:
            self._run(count)
        return len(self._in) >= self._taps

    def apply(self, gains: NDArray[np.float32]) -> None:
        """Begin the next hop: fade to the filters with ``gains``, (responses, 1, N // 2 + 1)."""
        new = np.fft.rfft(self.grid.response(gains), n=self._length).astype(np.complex64, copy=False)
        self._filters = (new if self._filters is None else self._filters[1]), new
        self._place = 0

    def read(self, count: int) -> NDArray[np.float32]:
        """The next ``count`` samples, (responses·channels, count), a view that the next call may overwrite."""
        block = self._out.view(count)
        self._out.skip(count)
        return block

    def _run(self, count: int) -> None:
        assert self._filters is not None
        taps = self._taps
        spectrum = np.fft.rfft(self._in.view(taps - 1 + count), n=self._length)
        old, new = (np.fft.irfft(spectrum * each, n=self._length)[..., taps - 1 : taps - 1 + count]
                    for each in self._filters)  # fmt: skip
        faded = old + self._ramp[self._place : self._place + count] * (new - old)
        self._out.push(faded.reshape(-1, count).astype(np.float32, copy=False))
        self._in.skip(count)
        self._place += count

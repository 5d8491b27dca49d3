"""The signal path: blocks in, the target and the aligned dry signal out, a fixed number of samples later.

Threading: one caller, the audio callback live or the renderer offline. numpy only, bounded work, no waiting.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from qsep_live.dsp.grid import BINS
from qsep_live.dsp.repair import repair
from qsep_live.dsp.stream_filter import FilterGrid, StreamingFilter
from qsep_live.dsp.stream_stft import StreamingTransform
from qsep_live.dsp.tape import Tape
from qsep_live.engine.delay import DelayPlan
from qsep_live.engine.gain_field import BinMap, GainField
from qsep_live.engine.heard import Heard

Fallback = Literal["dry", "silence"]


@dataclass
class SignalCounts:
    """What happened, in frames of the signal path."""

    frames: int = 0
    held: int = 0
    fallback: int = 0
    fallbacks: int = 0
    repaired: int = 0


class SignalPath:
    """Filters by the gain field, or multiplies the STFT by it, as the plan says.

    Parameters
    ----------
    plan
        Filter or windows, and the delay.
    channels
        Columns of each block; all share the gains.
    field
        Where the gains come from.
    fallback
        What is heard when no mask has come for ``patience`` seconds, and before the first: the aligned dry signal,
        or silence.
    patience, fade
        Seconds that gains are held, and that the change to the fallback and back takes.
    position
        Absolute position of the first sample.
    presets
        How many presets' gains lie side by side in the field: one analysis, as many targets.
    """

    def __init__(
        self,
        plan: DelayPlan,
        channels: int,
        field: GainField,
        fallback: Fallback = "dry",
        patience: float = 1.0,
        fade: float = 0.1,
        position: int = 0,
        presets: int = 1,
    ) -> None:
        self.plan = plan
        self.counts = SignalCounts()
        self.position = position
        self._field = field
        self._stream: StreamingTransform | StreamingFilter = (
            StreamingFilter(plan.grid, channels, presets)
            if isinstance(plan.grid, FilterGrid)
            else StreamingTransform(plan.grid, channels, presets)
        )
        self._waiting = Tape(channels, 4 * plan.wait + 8192, plan.wait)
        self._dry = Tape(channels, 4 * plan.samples + 8192, plan.samples)
        self._heard = Heard(plan.rate, plan.grid.analysis, position) if field.foresees else None
        self._bins = BinMap(plan.grid.analysis, plan.rate)
        self._gains = np.zeros((presets, BINS), np.float32)
        self._spread = np.zeros((presets, 1, plan.grid.analysis // 2 + 1), np.float32)
        self._fallback_gain = 1.0 if fallback == "dry" else 0.0
        self._patience = patience * plan.rate
        self._fade_step = plan.grid.hop / (fade * plan.rate)
        self._faded: float | None = None
        # What the next frame's gains are for, a position of the input.
        self._centre = position + plan.grid.first - plan.lag

    def process(self, block: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Take ``block`` (n, channels); give target (n, presets·channels) and dry (n, channels), ``plan.samples`` late.

        Both are views that the next call overwrites. Samples that are not sound (`repair`) are zero and counted.
        """
        count = block.shape[0]
        block, repaired = repair(block)
        self.counts.repaired += repaired
        samples = block.T
        self.position += count
        self._dry.push(samples)
        if self._heard is not None:
            self._heard.push(block)
        self._waiting.push(samples)
        self._stream.push(self._waiting.view(count))
        self._waiting.skip(count)
        while self._stream.due():
            self._stream.apply(self._gains_now())
        target = self._stream.read(count)
        dry = self._dry.view(count)
        self._dry.skip(count)
        return target.T, dry.T

    def _gains_now(self) -> NDArray[np.float32]:
        counts, field = self.counts, self._field
        # The frame's own time, not the block's end: how long gains are held does not depend on the blocks.
        now = self._centre + self.plan.lag
        covered = field.lookup(self._centre, self._gains.reshape(-1), self._heard, now)
        self._centre += self.plan.grid.hop
        counts.frames += 1
        counts.held += not covered
        late = field.end is None or now - field.end > self._patience
        before = float(late) if self._faded is None else self._faded
        if late and before == 0.0:
            counts.fallbacks += 1
        faded = min(1.0, max(0.0, before + (self._fade_step if late else -self._fade_step)))
        self._faded = faded
        gains = self._spread
        for spread, model in zip(gains, self._gains, strict=True):
            spread[:] = self._bins.spread(model)
        if faded > 0.0:
            counts.fallback += 1
            gains *= 1.0 - faded
            gains += faded * self._fallback_gain
        return gains

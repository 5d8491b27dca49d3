"""The rack: effects in a row, fed with blocks of any size, that never grows, stalls or raises.

Threading: build and `reset` on the main thread (plugins demand it), `reset` while no callback runs. `process`
belongs to the audio callback; `set`, `latency`, `faults` and `values` may be used from any thread.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from qsep_live.dsp.parameter import Parameter
from qsep_live.errors import QsepError, UsageError
from qsep_live.rack.config import EffectConfig, RackConfig
from qsep_live.rack.fifo import Fifo
from qsep_live.rack.messages import unknown
from qsep_live.rack.plugins import PluginSource
from qsep_live.rack.slot import Slot, Source
from qsep_live.rack.twin import TwinSource

_GATHER = 2
"""Frames a rack with two or more channels holds, because pedalboard misreads blocks shorter than three."""


class Rack:
    """A chain of effects built once, whose parameters move while it plays.

    Parameters
    ----------
    config
        A checked rack file; an empty one makes a wire.
    rate
        Hz.
    channels
        Any number; effects see them in pairs, an odd last one alone.
    max_block
        The longest block `process` will be given, in frames.
    patience
        Seconds that an effect may fall behind the sound before it counts as failed; offline there is no hurry.

    Attributes
    ----------
    latency : int
        Frames from input to output: what every effect holds back, and two more to gather short blocks.
    delays : dict of str to int
        What each effect adds to it, by handle.
    parameters : tuple of Parameter
        Named ``rack.<effect>.<parameter>``; the defaults are the rack file's values.
    faults : dict of str to str
        Effects that failed and are bypassed from then on, with the reason.
    repaired : int
        Blocks that came in with NaN or infinity, which were replaced by silence.

    Raises
    ------
    QsepError
        An effect or plugin cannot be made or run: one line with the rack file and line.
    """

    def __init__(
        self, config: RackConfig, rate: int, channels: int, max_block: int, patience: float = math.inf
    ) -> None:
        if rate <= 0 or channels <= 0 or max_block <= 0:
            raise ValueError(f"rate {rate}, channels {channels} and max_block {max_block} must be above 0")
        self.rate = rate
        self.channels = channels
        self.max_block = max_block
        self._patience = patience
        self.repaired = 0
        self._longest = max_block + _GATHER
        self.slots = tuple(self._slot(effect) for effect in config.effects)
        self._gathered = _GATHER if self.slots else 0
        self.delays = {slot.name: slot.delay for slot in self.slots}
        self.latency = self._gathered + sum(self.delays.values())
        targets = {f"rack.{slot.name}.{p.name}": (slot, p) for slot in self.slots for p in slot.parameters.values()}
        self._targets = {name: (slot, p.name) for name, (slot, p) in targets.items()}
        self.parameters: tuple[Parameter, ...] = tuple(replace(p, name=n) for n, (_, p) in targets.items())
        self._input = np.zeros(channels * self._longest, np.float32)
        self._in = Fifo(channels, self._longest)
        self._out = Fifo(channels, 2 * self._longest)
        self._out.refill(self._gathered)

    @property
    def faults(self) -> dict[str, str]:
        return {slot.name: slot.fault for slot in self.slots if slot.fault}

    @property
    def values(self) -> dict[str, float]:
        """The value last asked for, by full parameter name."""
        return {name: slot.values[own] for name, (slot, own) in self._targets.items()}

    def set(self, name: str, value: float) -> None:
        """Ask for a value (clamped to its range); the sound glides there. Cheap.

        Raises
        ------
        UsageError
            The rack has no such parameter.
        """
        try:
            slot, own = self._targets[name]
        except KeyError:
            raise UsageError(unknown("rack parameter", name, self._targets)) from None
        slot.set(own, value)

    def reset(self) -> None:
        """Forget all sound, so that the next block is the first; parameters and faults stay."""
        for slot in self.slots:
            slot.reset()
        self._in.refill(0)
        self._out.refill(self._gathered)

    def process(self, block: NDArray[np.float32]) -> NDArray[np.float32]:
        """``block`` (n, channels) to a new array (n, channels), `latency` frames late.

        Parameters
        ----------
        block
            1 to `max_block` frames of float32; an empty one comes back empty.

        Raises
        ------
        ValueError
            The block's shape is not what the rack was built for.
        """
        frames = block.shape[0]
        if block.ndim != 2 or block.shape[1] != self.channels or frames > self.max_block:
            raise ValueError(f"block of shape {block.shape}; this rack takes (1..{self.max_block}, {self.channels})")
        if not self.slots or not frames:
            return np.array(block, np.float32)
        self._in.push(self._finite(block).T)
        if self._in.count > _GATHER:
            count = self._in.count
            x = self._input[: self.channels * count].reshape(self.channels, count)
            x[...] = self._in.pop(count)
            for slot in self.slots:
                x = slot.process(x)
            self._out.push(x)
        return np.ascontiguousarray(self._out.pop(frames).T)

    def _finite(self, block: NDArray[np.float32]) -> NDArray[np.float32]:
        if np.isfinite(block).all():
            return block
        self.repaired += 1
        return np.where(np.isfinite(block), block, np.float32(0.0))

    def _slot(self, effect: EffectConfig) -> Slot:
        source: Source
        try:
            if effect.effect is not None:
                source = TwinSource(effect.effect, effect.values, self.rate, self.channels, self._longest)
            else:
                source = PluginSource(effect, self.rate, self.channels, self._longest)
        except QsepError as error:
            raise QsepError(f"{effect.where}: {effect.name}: {error}") from error
        return Slot(effect.name, source, effect.bypass, self.rate, self.channels, self._longest, self._patience)

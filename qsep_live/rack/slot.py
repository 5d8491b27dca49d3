"""One place in the chain: an effect, the way around it, and what happens when it fails.

The way around is delayed by exactly what the effect is, so that bypassing neither clicks nor combs. An effect
keeps running while it is bypassed: switching it back in brings no stale tail, and the load stays the same.

Threading: `set` from any thread; `process` from the audio callback alone.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import Protocol

import numpy as np

from qsep_live.dsp.parameter import Parameter
from qsep_live.rack.config import bypass_parameter
from qsep_live.rack.fifo import Block, Fifo
from qsep_live.rack.messages import one_line
from qsep_live.rack.twin import CROSSFADE

STALL = 0.1
"""Seconds that one block counts as late at most: a machine that stops for once is not the effect's fault."""


class Source(Protocol):
    """What makes the wet sound of a slot."""

    delay: int
    parameters: tuple[Parameter, ...]

    def set(self, name: str, value: float) -> None: ...

    def reset(self) -> None: ...

    def process(self, x: Block) -> Block: ...


class Slot:
    """An effect with bypass and a net under it.

    Parameters
    ----------
    name
        The effect's handle.
    source
        The effect.
    bypassed
        Whether it starts bypassed.
    rate, channels, max_block
        Hz, channels, the longest block in frames.
    patience
        Seconds that the effect may fall behind the sound, in all, before it counts as failed.
    """

    def __init__(
        self,
        name: str,
        source: Source,
        bypassed: bool,
        rate: int,
        channels: int,
        max_block: int,
        patience: float = math.inf,
    ) -> None:
        self.name = name
        self.source = source
        self.fault = ""
        self.delay = source.delay
        bypass = bypass_parameter(bypassed)
        own = {p.name: p for p in (*source.parameters, bypass)}
        self.parameters: Mapping[str, Parameter] = own
        self.values = {p.name: p.default for p in own.values()}
        self._dry = Fifo(channels, self.delay + max_block)
        self._dry.refill(self.delay)
        self._wet = 0.0 if bypassed else 1.0
        self._pace = 1.0 / (CROSSFADE * rate)
        self._steps = np.arange(1, max_block + 1, dtype=np.float32) * np.float32(self._pace)
        self._last = np.zeros((channels, 1), np.float32)
        self._gap = np.zeros((channels, 1), np.float32)
        self._gap_left = 0.0
        self._rate, self._patience = rate, patience
        self._behind = 0.0

    def set(self, name: str, value: float) -> None:
        """Ask for a value of one of `parameters`; it is clamped to the legal range."""
        value = self.parameters[name].clamp(value)
        self.values[name] = value
        if name != "bypass":
            self.source.set(name, value)

    def reset(self) -> None:
        """Forget all sound; parameters and a fault stay."""
        if not self.fault:
            self.source.reset()
        self._dry.refill(self.delay)
        self._wet = 0.0 if self.values["bypass"] >= 0.5 else 1.0
        self._last.fill(0.0)
        self._gap_left = 0.0

    def process(self, x: Block) -> Block:
        """``x`` (channels, n) to (channels, n), `delay` frames late, whatever the effect does."""
        dry = x
        if self.delay:
            self._dry.push(x)
            dry = self._dry.pop(x.shape[1])
        out = dry
        if not self.fault:
            wet = self._try(x)
            out = self._without_step(dry) if wet is None else self._mix(dry, wet)
        elif self._gap_left > 0.0:
            out = self._closing(dry)
        self._last[...] = out[:, -1:]
        return out

    def _try(self, x: Block) -> Block | None:
        """The wet sound, or None when the effect failed just now."""
        began = time.perf_counter()
        try:
            wet = self.source.process(x)
            if wet.shape != x.shape:
                self.fault = f"returned an array of shape {wet.shape} for {x.shape}"
            elif not np.isfinite(wet).all():
                self.fault = "returned samples that are not finite"
            elif self._too_slow(time.perf_counter() - began, x.shape[1] / self._rate):
                self.fault = "takes longer than the sound lasts"
            else:
                return wet
        except Exception as error:  # a plugin may raise anything, and the sound has to go on
            self.fault = f"{type(error).__name__}: {one_line(error)}"
        return None

    def _too_slow(self, spent: float, allowed: float) -> bool:
        """Whether the effect has fallen too far behind; a quick block makes good for a slow one."""
        self._behind = max(0.0, self._behind + min(spent - allowed, STALL))
        return self._behind > self._patience

    def _mix(self, dry: Block, wet: Block) -> Block:
        target = 0.0 if self.values["bypass"] >= 0.5 else 1.0
        if self._wet == target:
            return wet if target else dry
        steps = self._steps[: dry.shape[1]]
        weight: Block = np.clip(self._wet + (steps if target else -steps), 0.0, 1.0)
        self._wet = float(weight[-1])
        return dry + weight * (wet - dry)

    def _without_step(self, dry: Block) -> Block:
        """The first dry block after a fault: it starts where the sound was."""
        self._gap[...] = self._last - dry[:, :1]
        self._gap_left = 1.0
        return self._closing(dry)

    def _closing(self, dry: Block) -> Block:
        weight: Block = np.clip(self._gap_left - self._steps[: dry.shape[1]], 0.0, 1.0)
        self._gap_left = float(weight[-1])
        return dry + weight * self._gap

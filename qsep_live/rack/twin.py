"""A pedalboard effect whose parameters move without clicks: two copies that hear the same sound.

Setting an attribute of most pedalboard effects clicks, and so do small steps of some (a filter's gain, a
delay's time). So a change goes into the copy that is not heard, and the sound crosses over to it in 20 ms;
then the copies change places, and the next change, if the knob has moved on, does the same. The chain is
never rebuilt.
Effects that smooth their own parameters need one copy; effects without memory run the second one only while
the sound crosses over.

Threading: `set` from any thread; everything else from the thread that processes, once it is built.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from qsep_live.dsp.parameter import Parameter
from qsep_live.errors import QsepError
from qsep_live.rack.effects import Effect, Value, create
from qsep_live.rack.fifo import Block
from qsep_live.rack.lane import lanes_for, split, through

_STEP_FRAMES = 32
_STEPS = 128  # for the whole range: 93 ms at 44.1 kHz
CROSSFADE = 0.02
"""Seconds that the sound takes to follow a parameter."""


class TwinSource:
    """A pedalboard effect on all channels of the rack.

    Parameters
    ----------
    effect
        Which.
    values
        Checked values from the rack file.
    rate, channels, max_block
        Hz, channels, the longest block in frames.

    Raises
    ------
    QsepError
        It cannot be made or cannot run at this rate.
    """

    def __init__(self, effect: Effect, values: Mapping[str, Value], rate: int, channels: int, max_block: int) -> None:
        self.parameters = tuple(
            _below_nyquist(replace(p, default=float(values.get(p.name, p.default))), rate) for p in effect.parameters
        )
        copies = 2 if effect.parameters and not effect.glides else 1
        self._copies = [lanes_for(lambda: create(effect, values), rate, channels, max_block) for _ in range(copies)]
        lanes = [lane for copy in self._copies for lane in copy]
        self.delay = max(lane.measure() for lane in self._copies[0])
        for lane in lanes:
            lane.prepare(self.delay)
        self._memory = effect.memory
        self._stepped = tuple(p for p in self.parameters if p.name in effect.stepped)
        self._crossed = tuple(p.name for p in self.parameters if p.name not in effect.stepped)
        self._wanted = {p.name: p.default for p in self.parameters}
        self._state = [dict(self._wanted) for _ in self._copies]  # what each copy is set to
        self._live = 0
        turn = np.arange(1, int(CROSSFADE * rate) + 1) / (CROSSFADE * rate)
        self._weight = (0.5 - 0.5 * np.cos(np.pi * turn)).astype(np.float32)
        self._at = -1  # frames into the crossfade; -1 outside one

    def set(self, name: str, value: float) -> None:
        """Ask for a (legal) value; it is reached within two crossfades."""
        self._wanted[name] = value

    def reset(self) -> None:
        """Forget all sound; parameters stay."""
        for copy in self._copies:
            for lane in copy:
                lane.reset()
        self._at = -1
        for index in range(len(self._copies)):
            for name, value in self._wanted.items():
                self._put(index, name, value)

    def process(self, x: Block) -> Block:
        """``x`` (channels, n) to (channels, n), `delay` frames late."""
        if len(self._copies) == 1:
            self._apply(0, self._wanted)
            return through(self._copies[0], x)
        if not any(self._wanted[p.name] != self._state[self._live][p.name] for p in self._stepped):
            return self._cross(x)
        pieces: list[Block] = []
        for piece in split(x, _STEP_FRAMES):
            self._step()
            pieces.append(self._cross(piece))
        return np.concatenate(pieces, axis=1)

    def _step(self) -> None:
        """Bring the stepped parameters of both copies a little nearer."""
        for parameter in self._stepped:
            name, most = parameter.name, (parameter.maximum - parameter.minimum) / _STEPS
            for index, state in enumerate(self._state):
                distance = self._wanted[name] - state[name]
                near = abs(distance) <= most
                self._put(index, name, self._wanted[name] if near else state[name] + math.copysign(most, distance))

    def _cross(self, x: Block) -> Block:
        """One block through both copies, crossing over to a change as far as there is one."""
        idle = 1 - self._live
        if self._at < 0 and any(self._wanted[name] != self._state[self._live][name] for name in self._crossed):
            self._apply(idle, self._wanted)
            self._at = 0
        out = through(self._copies[self._live], x)
        if self._at < 0:
            if self._memory:
                through(self._copies[idle], x)
            return out
        other = through(self._copies[idle], x)
        weight = self._weight[self._at : self._at + x.shape[1]]
        crossed = len(weight)
        self._at += crossed
        out[:, :crossed] += weight * (other[:, :crossed] - out[:, :crossed])
        if self._at >= len(self._weight):
            out[:, crossed:] = other[:, crossed:]
            self._apply(self._live, self._state[idle])
            self._live, self._at = idle, -1
        return out

    def _apply(self, index: int, values: Mapping[str, float]) -> None:
        """Set what crosses over in one copy; the stepped parameters go their own way."""
        for name in self._crossed:
            self._put(index, name, values[name])

    def _put(self, index: int, name: str, value: float) -> None:
        if self._state[index][name] != value:
            self._state[index][name] = value
            for lane in self._copies[index]:
                setattr(lane.effect, name, value)


def _below_nyquist(parameter: Parameter, rate: int) -> Parameter:
    """Filters are unstable at half the sample rate: keep frequencies below it."""
    top = 0.49 * rate
    if parameter.unit != "Hz" or parameter.maximum <= top:
        return parameter
    if parameter.default > top:
        raise QsepError(f"{parameter.name} = {parameter.default:g} is above what {rate} Hz can hold: {top:g} Hz")
    return replace(parameter, maximum=top)

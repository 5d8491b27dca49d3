"""What happens in every audio block: ring, gains, signal path, strips (mix, rack, limiter), recorder, counters.

Threading: `process` runs in the audio callback and is the only caller of everything here. It takes no lock, logs
nothing, opens nothing; arrays are made once, but for numpy's own small results. What the knobs say comes from
shared memory, what the meters show goes there.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from qsep_live.engine.gain_field import GainField
from qsep_live.engine.limiter import Limiter
from qsep_live.engine.mask_path import mid_side_of
from qsep_live.engine.mix import MODES
from qsep_live.engine.shared import AUDIO, TIME_BIN, TIMES, Board
from qsep_live.engine.signal_path import SignalPath
from qsep_live.engine.strip import STEREO, Strip, lay_out, width_of

if TYPE_CHECKING:
    from qsep_live.audio.recorder import Recorder
    from qsep_live.audio.stream import StreamTimes

METER_FALL = 0.5
"""Seconds in which a peak meter falls by 1/e."""
LOCKSTEP_PATIENCE = 30.0


class Source(Protocol):
    """What plays instead of the stream's own input."""

    @property
    def finished(self) -> bool:
        """Whether there is no more to come."""

    @property
    def missed(self) -> int:
        """Frames that should have been there, and were not, so far."""

    def read_into(self, block: NDArray[np.float32]) -> int:
        """Fill ``block`` (n, channels)."""


class AudioCore:
    """One stream's worth of processing.

    Parameters
    ----------
    board
        Shared memory of the session.
    signal, field
        The signal path and the gains it looks up.
    epoch
        The stream's number; gains stamped otherwise belong to another stream.
    channels
        Of the processing.
    source
        Plays instead of the input, if given.
    strips
        One for each preset of the signal path; None: one without effects.
    recorders
        What is heard, every channel of it.
    lockstep
        Samples between masks that are waited for, each; 0 waits for none.
    """

    def __init__(
        self,
        board: Board,
        signal: SignalPath,
        field: GainField,
        epoch: int,
        channels: int,
        source: Source | None = None,
        strips: Sequence[Strip] | None = None,
        recorders: Sequence[Recorder] = (),
        lockstep: int = 0,
    ) -> None:
        self._board, self._signal, self._field, self._epoch = board, signal, field, epoch
        self._source, self._recorders = source, recorders
        self._lockstep = lockstep
        self._channels = channels
        self._strips = strips or [Strip(channels, limiter=Limiter(signal.plan.rate))]
        self._outputs = [strip.outputs for strip in self._strips]
        self._out = np.zeros((8192, width_of(self._outputs)), np.float32)
        self._input = np.zeros((8192, channels), np.float32)
        self._heard = np.zeros((8192, 2), np.float32)
        self._start = signal.position
        self._rate = signal.plan.rate
        self._levels = [0.0, 0.0]
        self._callbacks = self._underruns = self._overruns = 0
        racks = [strip.rack for strip in self._strips if strip.rack is not None]
        self._tail = signal.plan.samples + max((rack.latency for rack in racks), default=0)
        self._after_end = 0
        self._racks = racks
        self._knobs = [(rack, parameter.name) for rack in racks for parameter in rack.parameters]
        self._sent = [float("nan")] * len(self._knobs)
        # What the stream before this one left there is over.
        board.audio.publish(**{**dict.fromkeys(AUDIO, 0.0), "mask_age": -1.0})

    def process(self, indata: NDArray[np.float32], outdata: NDArray[np.float32], times: StreamTimes) -> None:
        """One callback: fill ``outdata`` (n, channels out) from ``indata`` (n, channels in)."""
        began = time.perf_counter_ns()
        frames = max(indata.shape[0], outdata.shape[0])
        block = self._take(indata, frames)
        control = self._board.control
        control.refresh()
        self._move_racks()
        out = self._in_lockstep(block, self._lockstep) if self._lockstep else self._separate(block)
        if outdata.shape[1]:
            outdata[:] = out
        for recorder in self._recorders:
            recorder.push(out)
        self._count(block, out, times, began)

    def _take(self, indata: NDArray[np.float32], frames: int) -> NDArray[np.float32]:
        if self._source is None:
            return indata
        if frames > self._input.shape[0]:
            self._input = np.zeros((2 * frames, self._input.shape[1]), np.float32)
        block = self._input[:frames]
        self._source.read_into(block)
        if self._source.finished:
            self._after_end += frames
        return block

    def _separate(self, block: NDArray[np.float32]) -> NDArray[np.float32]:
        frames = block.shape[0]
        if frames > self._heard.shape[0]:
            self._heard = np.zeros((2 * frames, 2), np.float32)
        board, control = self._board, self._board.control
        board.ring.write(mid_side_of(block, self._heard[:frames]))
        # In lockstep the gains of this block are in already; those that come now are the next one's.
        gains = None if self._lockstep else board.mailbox.collect(self._epoch)
        if gains is not None:
            self._field.publish(gains)
        target, dry = self._signal.process(block)
        mode, wet, gain = MODES[int(control["mode"])], control["wet"], control["gain"]
        channels = self._channels
        sounds = [
            strip.process(target[:, index * channels : (index + 1) * channels], dry, mode, wet, gain)
            for index, strip in enumerate(self._strips)
        ]
        if self._outputs == [STEREO]:
            return sounds[0]
        if frames > self._out.shape[0]:
            self._out = np.zeros((2 * frames, self._out.shape[1]), np.float32)
        return lay_out(sounds, self._outputs, self._out[:frames])

    def _in_lockstep(self, block: NDArray[np.float32], step: int) -> NDArray[np.float32]:
        """As the renderer does it: a mask at every multiple of ``step`` samples, waited for."""
        pieces, start = [], 0
        while start < block.shape[0]:
            here = self._signal.position - self._start
            if here and here % step == 0:
                self._wait_for(self._start + here)
            stop = min(block.shape[0], start + step - here % step)
            pieces.append(self._separate(block[start:stop]).copy())
            start = stop
        return np.concatenate(pieces)

    def _wait_for(self, end: int) -> None:
        deadline, control = time.perf_counter() + LOCKSTEP_PATIENCE, self._board.control
        while self._field.end != end and time.perf_counter() < deadline:
            control.refresh()
            if control["stop"]:
                # The mask process ends too: this mask never comes, and a callback that waits cannot be closed.
                return
            gains = self._board.mailbox.collect(self._epoch)
            if gains is None:
                time.sleep(0.0005)
            else:
                self._field.publish(gains)

    def _move_racks(self) -> None:
        if not self._knobs or not self._board.rack.refresh():
            return
        for index, (rack, name) in enumerate(self._knobs):
            value = self._board.rack[f"p{index}"]
            if value != self._sent[index]:
                self._sent[index] = value
                rack.set(name, value)

    def _count(self, block: NDArray[np.float32], out: NDArray[np.float32], times: StreamTimes, began: int) -> None:
        frames = block.shape[0]
        fall = np.exp(-frames / (METER_FALL * self._rate))
        for index, sound in enumerate((block, out)):
            peak = float(np.abs(sound).max()) if frames else 0.0
            self._levels[index] = max(peak if np.isfinite(peak) else 0.0, self._levels[index] * float(fall))
        self._callbacks += 1
        self._underruns += times.output_underflow
        self._overruns += times.input_overflow
        counts, signal, field = self._signal.counts, self._signal, self._field
        limiters = [strip.limiter for strip in self._strips if strip.limiter is not None]
        spent = 1e-9 * (time.perf_counter_ns() - began)
        self._board.times[min(int(spent / TIME_BIN), TIMES - 1)] += 1
        self._board.audio.publish(
            position=signal.position - self._start,
            blocksize=frames,
            callbacks=self._callbacks,
            underruns=self._underruns,
            overruns=self._overruns,
            held=counts.held,
            frames=counts.frames,
            fallbacks=counts.fallbacks,
            fallback=counts.fallback,
            repaired=counts.repaired + sum(limiter.repaired for limiter in limiters),
            level_in=self._levels[0],
            level_out=self._levels[1],
            mask_age=-1 if field.end is None else signal.position - field.end,
            callback=spent,
            finished=float(self._after_end > self._tail),
            rack_faults=sum(len(rack.faults) for rack in self._racks),
            limited=sum(limiter.limited for limiter in limiters),
            missed=self._source.missed if self._source else 0,
        )

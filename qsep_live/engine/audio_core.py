"""What happens in every audio block: ring, gains, signal path, mix, rack, limiter, recorder, counters.

Threading: `process` runs in the audio callback and is the only caller of everything here. It takes no lock, logs
nothing, opens nothing; arrays are made once, but for numpy's own small results. What the knobs say comes from
shared memory, what the meters show goes there.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from qsep_live.engine.gain_field import GainField
from qsep_live.engine.limiter import Limiter
from qsep_live.engine.mask_path import mid_side_of
from qsep_live.engine.mix import MODES, Mixer
from qsep_live.engine.shared import AUDIO, TIME_BIN, TIMES, Board
from qsep_live.engine.signal_path import SignalPath

if TYPE_CHECKING:
    from qsep_live.audio.recorder import Recorder
    from qsep_live.audio.sources import FileSource
    from qsep_live.audio.stream import StreamTimes
    from qsep_live.rack.rack import Rack

METER_FALL = 0.5
"""Seconds in which a peak meter falls by 1/e."""
LOCKSTEP_PATIENCE = 30.0


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
    rack, recorders
        After the mix.
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
        source: FileSource | None = None,
        rack: Rack | None = None,
        recorders: Sequence[Recorder] = (),
        lockstep: int = 0,
    ) -> None:
        self._board, self._signal, self._field, self._epoch = board, signal, field, epoch
        self._source, self._rack, self._recorders = source, rack, recorders
        self._lockstep = lockstep
        self._mixer = Mixer()
        self._limiter = Limiter(signal.plan.rate)
        self._input = np.zeros((8192, channels), np.float32)
        self._heard = np.zeros((8192, 2), np.float32)
        self._start = signal.position
        self._rate = signal.plan.rate
        self._levels = [0.0, 0.0]
        self._callbacks = self._underruns = self._overruns = 0
        self._tail = signal.plan.samples + (rack.latency if rack else 0)
        self._after_end = 0
        self._names = [parameter.name for parameter in rack.parameters] if rack else []
        self._sent = [float("nan")] * len(self._names)
        # What the stream before this one left there is over.
        board.audio.publish(**{**dict.fromkeys(AUDIO, 0.0), "mask_age": -1.0})

    def process(self, indata: NDArray[np.float32], outdata: NDArray[np.float32], times: StreamTimes) -> None:
        """One callback: fill ``outdata`` (n, channels out) from ``indata`` (n, channels in)."""
        began = time.perf_counter_ns()
        frames = max(indata.shape[0], outdata.shape[0])
        block = self._take(indata, frames)
        control = self._board.control
        control.refresh()
        if self._rack is not None:
            self._move_rack(self._rack)
        out = self._in_lockstep(block, self._lockstep) if self._lockstep else self._separate(block)
        out = self._limiter.process(out)
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
        out = self._mixer.mix(target, dry, MODES[int(control["mode"])], control["wet"], control["gain"])
        return out if self._rack is None else self._rack.process(out)

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
        deadline = time.perf_counter() + LOCKSTEP_PATIENCE
        while self._field.end != end and time.perf_counter() < deadline:
            gains = self._board.mailbox.collect(self._epoch)
            if gains is None:
                time.sleep(0.0005)
            else:
                self._field.publish(gains)

    def _move_rack(self, rack: Rack) -> None:
        if not self._board.rack.refresh():
            return
        for index, name in enumerate(self._names):
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
            repaired=counts.repaired + self._limiter.repaired,
            level_in=self._levels[0],
            level_out=self._levels[1],
            mask_age=-1 if field.end is None else signal.position - field.end,
            callback=spent,
            finished=float(self._after_end > self._tail),
            rack_faults=len(self._rack.faults) if self._rack else 0,
            limited=self._limiter.limited,
        )

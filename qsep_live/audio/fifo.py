"""Frames from one thread to another: a FIFO, and a FIFO between two clocks.

Threading: one thread writes, one thread reads, neither waits. Each side moves only its own counter, after the
samples are in place; a Python int is stored at once, so no lock is needed.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Block = NDArray[np.float32]


class FrameFifo:
    """A bounded first-in, first-out store of frames.

    Parameters
    ----------
    capacity : int
        Frames it can hold.
    channels : int
    """

    def __init__(self, capacity: int, channels: int) -> None:
        self.capacity = max(1, capacity)
        self.channels = channels
        self._data = np.zeros((self.capacity, channels), np.float32)
        self.written = 0
        self.taken = 0

    @property
    def fill(self) -> int:
        """Frames waiting to be read."""
        return self.written - self.taken

    @property
    def space(self) -> int:
        """Frames that can be written now."""
        return self.capacity - self.fill

    def write(self, block: Block) -> int:
        """Writer: append as many frames as fit; returns how many."""
        count = min(len(block), self.space)
        start = self.written % self.capacity
        head = min(count, self.capacity - start)
        self._data[start : start + head] = block[:head]
        self._data[: count - head] = block[head:count]
        self.written += count
        return count

    def write_silence(self, frames: int) -> int:
        """Writer: append as many zero frames as fit; returns how many."""
        count = min(frames, self.space)
        start = self.written % self.capacity
        head = min(count, self.capacity - start)
        self._data[start : start + head] = 0.0
        self._data[: count - head] = 0.0
        self.written += count
        return count

    def read_into(self, out: Block) -> int:
        """Reader: fill ``out`` with what is there, zeros after it; returns how many frames there were."""
        count = min(len(out), self.fill)
        start = self.taken % self.capacity
        head = min(count, self.capacity - start)
        out[:head] = self._data[start : start + head]
        out[head:count] = self._data[: count - head]
        out[count:] = 0.0
        self.taken += count
        return count

    def skip(self, frames: int) -> int:
        """Reader: drop the oldest frames; returns how many."""
        count = min(frames, self.fill)
        self.taken += count
        return count

    def rewind(self, frames: int) -> int:
        """Reader: step back so that the last frames read are read again; returns how many.

        At most a quarter of the capacity, and only while the store is under half full, so that the writer
        cannot be overwriting what is read again.
        """
        if self.fill > self.capacity // 2:
            return 0
        count = min(frames, self.capacity // 4, self.taken)
        self.taken -= count
        return count


class ClockJoin:
    """Carries sound from a device with one clock to a device with another, with a delay that never grows.

    Two clocks differ by some parts per million, so the store slowly fills or empties. Beyond twice the wanted
    fill the oldest frames are dropped; when it runs dry the newest are repeated. Both are counted.

    Parameters
    ----------
    channels : int
    rate : int
        Sample rate in Hz; the store holds one second.
    target : int
        Wanted fill in frames; raised by itself to twice the largest block either side has used.

    Attributes
    ----------
    dropped, repeated, silent : int
        Frames dropped because the reader is slow, repeated because the writer is, and given as silence
        because nothing came.
    """

    def __init__(self, channels: int, rate: int, target: int) -> None:
        self._fifo = FrameFifo(rate, channels)
        self.target = target
        self.dropped = self.repeated = self.silent = 0
        self._primed = False
        self._fresh = 0
        self._in_block = 0

    @property
    def fill(self) -> int:
        """Frames waiting: the delay that the join adds."""
        return self._fifo.fill

    def write(self, block: Block) -> None:
        """Writer: called from the input's callback."""
        self._in_block = max(self._in_block, len(block))
        self._fifo.write(block)

    def read_into(self, out: Block) -> None:
        """Reader: fill ``out``, from the output's callback."""
        fifo, wanted = self._fifo, len(out)
        self.target = min(max(self.target, 2 * wanted, 2 * self._in_block), fifo.capacity // 4)
        if not self._primed:
            if fifo.fill < max(self.target, wanted):
                out[:] = 0.0
                self.silent += wanted
                return
            self._primed = True
            fifo.skip(fifo.fill - max(self.target, wanted))
        if fifo.fill > 2 * self.target + wanted:
            self.dropped += fifo.skip(fifo.fill - self.target - wanted)
        if fifo.fill < wanted:
            # Repeating is kinder than a gap, but only of sound that is new since the last time: an input
            # that has stopped must become silence, not a buzz.
            back = self.target - fifo.fill if fifo.written - self._fresh >= self.target else 0
            self._fresh = fifo.written
            self.repeated += fifo.rewind(back)
        got = fifo.read_into(out)
        if got < wanted:
            self.silent += wanted - got
            self._primed = False

"""Memory that the host, the audio process and the mask process share: one segment, named arrays in it.

Threading: one writer for every cell. A `Record` is a small struct of float64 that its writer publishes whole; a
`Mailbox` passes gains the same way. Both keep several slots and a generation counter: the writer fills the slot
after the newest and then counts up, a reader copies the newest slot and looks at the counter again. A torn copy is
only possible when the writer went all the way round meanwhile; then the reader keeps what it had.
"""

from __future__ import annotations

import errno
import multiprocessing
import os
import shutil
import sys
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing import resource_tracker, shared_memory
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qsep_live.dsp.grid import BINS, FRAMES
from qsep_live.dsp.ring import Ring
from qsep_live.engine.gain_field import GainFrames
from qsep_live.errors import QsepError
from qsep_live.latent.slerp import LATENT_SIZE

SHARED = "/dev/shm"
"""Where Linux has it."""
SLOTS = 4
PRESETS = 8
"""The most that sound at once."""
RING_FRAMES = 1 << 20
"""Frames of history, middle and side of each: 11 s at 96 kHz."""
INPUT_FRAMES = 1 << 16
"""Frames of an input device of its own."""
TIMES = 16384
"""Callback-time histogram: bins of 2 µs, the last for everything longer."""
TIME_BIN = 2e-6


def _no_room(size: int, error: OSError) -> QsepError:
    """Shared memory of ``size`` bytes cannot be had: one line that says what is free."""
    if error.errno not in (errno.ENOSPC, errno.ENOMEM):
        return QsepError(f"shared memory cannot be made: {error.strerror or error}")
    free = shutil.disk_usage(SHARED).free if Path(SHARED).is_dir() else 0
    return QsepError(
        f"shared memory is too small: a session needs {size / 1e6:.0f} MB in {SHARED}, {free / 1e6:.1f} MB are free;"
        " end what fills it, or in a container give it more: --shm-size 64m"
    )


class Segment:
    """Named arrays in one shared-memory segment; the layout follows from the specification alone."""

    def __init__(self, specification: Sequence[tuple[str, str, tuple[int, ...]]], name: str | None = None) -> None:
        offsets, size = {}, 0
        for key, dtype, shape in specification:
            offsets[key] = size
            nbytes = int(np.dtype(dtype).itemsize * np.prod(shape))
            size += (nbytes + 63) // 64 * 64
        self._owner = name is None
        try:
            self._memory = shared_memory.SharedMemory(name, create=self._owner, size=size)
        except OSError as error:
            if not self._owner:
                raise
            raise _no_room(size, error) from None
        if self._owner:
            self._reserve(size)
        if not self._owner and not _tracker_is_shared(self._memory.name):
            resource_tracker.unregister(self._memory._name, "shared_memory")  # type: ignore[attr-defined]
        self.name = self._memory.name
        if self._owner:
            _owned.add(self.name)
        self._arrays: dict[str, NDArray[np.generic]] = {
            key: np.ndarray(shape, dtype, self._memory.buf, offsets[key]) for key, dtype, shape in specification
        }

    def _reserve(self, size: int) -> None:
        """Have every page now. A segment larger than what is free is made without an error, and touching it later would
        end the process by SIGBUS, in the middle of a set."""
        if not hasattr(os, "posix_fallocate") or not sys.platform.startswith("linux"):
            return  # elsewhere such memory is no file system with an end of its own
        try:
            os.posix_fallocate(self._memory._fd, 0, size)  # type: ignore[attr-defined]
        except OSError as error:
            self._memory.close()
            self._memory.unlink()
            raise _no_room(size, error) from None

    def array(self, key: str) -> NDArray[np.generic]:
        return self._arrays[key]

    def close(self) -> None:
        """Let go of the memory; the owner also removes it. Arrays handed out must not be used afterwards."""
        self._arrays.clear()
        # While a view is alive in this process the mapping stays until the process ends; the name goes now.
        with suppress(BufferError):
            self._memory.close()
        if self._owner:
            self._memory.unlink()
            _owned.discard(self.name)


_owned: set[str] = set()
"""Segments that this process made."""


def _tracker_is_shared(name: str) -> bool:
    """Whether the owner's resource tracker is this process's too, or (on Windows) there is none.

    The owner itself and children that multiprocessing spawned use the owner's tracker; any other process has its
    own, which would remove the segment when that process ends.
    """
    return os.name != "posix" or name in _owned or multiprocessing.parent_process() is not None


class Record:
    """A struct of float64 fields that one process publishes and others read."""

    def __init__(self, fields: Sequence[str], values: NDArray[np.float64], generation: NDArray[np.int64]) -> None:
        self._index = {name: place for place, name in enumerate(fields)}
        self._values = values
        self._generation = generation
        self._seen = -1
        self._last = np.zeros(len(fields))

    @property
    def generation(self) -> int:
        """How often it was published."""
        return int(self._generation[0])

    def publish(self, **fields: float) -> None:
        """Set the fields given and publish all. Writer only."""
        newest = self.generation
        slot = self._values[(newest + 1) % SLOTS]
        slot[:] = self._values[newest % SLOTS]
        for name, value in fields.items():
            slot[self._index[name]] = value
        self._generation[0] = newest + 1

    def refresh(self) -> bool:
        """Take the newest publication; whether it was new. Keeps the one before if it was being overwritten."""
        newest = self.generation
        if newest == self._seen:
            return False
        copy = self._values[newest % SLOTS].copy()
        if self.generation - newest >= SLOTS - 1:
            return False
        self._last, self._seen = copy, newest
        return True

    def __getitem__(self, name: str) -> float:
        return float(self._last[self._index[name]])

    def slice(self, first: str, count: int) -> NDArray[np.float64]:
        """``count`` consecutive fields from ``first`` as last refreshed."""
        start = self._index[first]
        return self._last[start : start + count]

    def snapshot(self) -> dict[str, float]:
        """Every field as last refreshed."""
        return {name: float(self._last[place]) for name, place in self._index.items()}


class Mailbox:
    """Gains from the mask process to the signal path."""

    def __init__(
        self,
        gains: NDArray[np.float32],
        latents: NDArray[np.float32],
        stamps: NDArray[np.float64],
        generation: NDArray[np.int64],
    ) -> None:
        self._gains, self._stamps, self._generation = gains.reshape(gains.shape[0], -1), stamps, generation
        self._latents = latents
        self._seen = int(generation[0])

    def publish(self, frames: GainFrames, epoch: int) -> None:
        """Writer only. ``epoch`` names the stream that the positions belong to."""
        newest = int(self._generation[0]) + 1
        slot = newest % SLOTS
        count, width = frames.gains.shape
        self._gains[slot, : count * width] = frames.gains.reshape(-1)
        asked = 0 if frames.latents is None else frames.latents.size
        if frames.latents is not None:
            self._latents[slot, :asked] = frames.latents.reshape(-1)
        self._stamps[slot] = frames.end, frames.first, frames.spacing, count, epoch, width, asked
        self._generation[0] = newest

    def collect(self, epoch: int) -> GainFrames | None:
        """The newest gains of ``epoch`` if they were not collected before and are whole. Reader only."""
        newest = int(self._generation[0])
        if newest == self._seen:
            return None
        slot = newest % SLOTS
        end, first, spacing, count, stamped, width, asked = (float(v) for v in self._stamps[slot])
        if not (0 < count * width <= self._gains.shape[1] and 0 <= asked <= self._latents.shape[1]):
            return None
        gains = self._gains[slot, : int(count * width)].copy().reshape(int(count), int(width))
        latents = self._latents[slot, : int(asked)].copy().reshape(-1, LATENT_SIZE) if asked else None
        if int(self._generation[0]) - newest >= SLOTS - 1:
            return None
        self._seen = newest
        return GainFrames(int(end), first, spacing, gains, latents) if stamped == epoch else None


CONTROL = (
    "wet", "gain", "mode", "stop",
    *(f"z{i}" for i in range(LATENT_SIZE * PRESETS)),
)  # fmt: skip
"""Host to both: what knobs move. ``mode`` indexes `mix.MODES`; z are the latents, one after the other."""

RACK_PARAMETERS = 64 * PRESETS

STREAM = (
    "epoch", "rate", "channels_in", "channels_out", "start", "delay", "window", "lag", "rack_delay", "lockstep",
    "input_latency", "output_latency", "drift",
)  # fmt: skip
"""Audio to both, once a stream: what is open. Delays in samples, device latencies in seconds; ``epoch`` counts.
``lockstep`` is the samples between masks that the signal path waits for, 0 live; ``drift`` what an input with a clock
of its own is too fast, as a share."""

INPUT = ("epoch", "rate", "first", "position", "time", "seconds", "block", "latency", "overruns")
"""Input to audio, every block, where the input device has a clock of its own: a `clock_join.Mark`, the device's latency
in seconds, and blocks lost."""

AUDIO = (
    "position", "blocksize", "callbacks", "underruns", "overruns", "held", "frames", "fallbacks", "fallback",
    "repaired", "level_in", "level_out", "mask_age", "callback", "finished", "rack_faults", "limited", "missed",
)  # fmt: skip
"""Audio to host, every block: counters, peak levels as amplitudes, mask age in samples."""

MASK = ("steps", "step_seconds", "period", "end", "ready", "epoch", "dropped")
"""Mask to host: steps done, seconds of the last one, seconds from one to the next, newest sample seen."""


def _specification() -> list[tuple[str, str, tuple[int, ...]]]:
    records = {
        "control": len(CONTROL),
        "rack": RACK_PARAMETERS,
        "stream": len(STREAM),
        "audio": len(AUDIO),
        "mask": len(MASK),
        "input": len(INPUT),
    }
    specification: list[tuple[str, str, tuple[int, ...]]] = [
        ("ring", "f4", (RING_FRAMES, 2)),
        ("ring.cursors", "i8", (3,)),
        ("gains", "f4", (SLOTS, FRAMES, PRESETS * BINS)),
        ("gains.latents", "f4", (SLOTS, PRESETS * LATENT_SIZE)),
        ("gains.stamps", "f8", (SLOTS, 7)),
        ("gains.generation", "i8", (1,)),
        ("times", "i8", (TIMES,)),
        ("beats", "f8", (4,)),
        ("captured", "f4", (INPUT_FRAMES, 2)),
        ("captured.cursors", "i8", (3,)),
    ]
    for key, count in records.items():
        specification += [(key, "f8", (SLOTS, count)), (f"{key}.generation", "i8", (1,))]
    return specification


class Board:
    """Everything shared in a session, made by the host (``name`` None) or attached to by a child."""

    def __init__(self, name: str | None = None) -> None:
        self._segment = Segment(_specification(), name)
        self.name = self._segment.name
        array = self._segment.array
        self.ring = Ring(array("ring"), array("ring.cursors"))  # type: ignore[arg-type]
        parts = (array(f"gains{part}") for part in ("", ".latents", ".stamps", ".generation"))
        self.mailbox = Mailbox(*parts)  # type: ignore[arg-type]
        self.control = self._record("control", CONTROL)
        self.rack = self._record("rack", [f"p{i}" for i in range(RACK_PARAMETERS)])
        self.stream = self._record("stream", STREAM)
        self.audio = self._record("audio", AUDIO)
        self.mask = self._record("mask", MASK)
        self.input = self._record("input", INPUT)
        self.captured = Ring(array("captured"), array("captured.cursors"))  # type: ignore[arg-type]
        self.times: NDArray[np.int64] = array("times")  # type: ignore[assignment]
        self.beats: NDArray[np.float64] = array("beats")  # type: ignore[assignment]

    def _record(self, key: str, fields: Sequence[str]) -> Record:
        array = self._segment.array
        return Record(fields, array(key), array(f"{key}.generation"))  # type: ignore[arg-type]

    def close(self) -> None:
        """Let go; the host also removes the memory."""
        for name in [name for name in vars(self) if name not in ("name", "_segment")]:
            delattr(self, name)
        self._segment.close()

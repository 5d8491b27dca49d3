"""The other process of test_ring: writes position-coded frames as fast as it can, in blocks of any size."""

from __future__ import annotations

from multiprocessing.shared_memory import SharedMemory

import numpy as np
from numpy.typing import NDArray

from qsep_live.dsp.ring import Ring


def attach(memory: SharedMemory, capacity: int) -> tuple[Ring, NDArray[np.int64]]:
    """The ring in ``memory``, and the flag that stops the writer."""
    cursors = np.ndarray((3,), np.int64, memory.buf, 0)
    stop = np.ndarray((1,), np.int64, memory.buf, 32)
    samples = np.ndarray((capacity, 2), np.float32, memory.buf, 64)
    return Ring(samples, cursors), stop


def write_at_random(name: str, capacity: int) -> None:
    memory = SharedMemory(name)
    ring, stop = attach(memory, capacity)
    random = np.random.default_rng(0)
    while not stop[0]:
        count = int(random.integers(1, capacity // 2))
        position = np.arange(ring.written, ring.written + count) % (1 << 22)
        ring.write(np.stack([position + 1, -position - 1], axis=1).astype(np.float32))
    del ring, stop
    memory.close()

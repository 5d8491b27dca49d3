from __future__ import annotations

import multiprocessing
import time
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qsep_live.dsp.ring import Ring

CAPACITY = 64
TRAFFIC = st.lists(
    st.tuples(st.sampled_from(["write", "read", "latest", "at"]), st.integers(0, CAPACITY), st.integers(0, 200)),
    max_size=80,
)


def frames(start: int, stop: int) -> np.ndarray:
    """What the frames at those positions hold; before the first there is silence."""
    position = np.arange(start, stop)
    return np.where(position < 0, 0.0, np.stack([position + 1, -position - 1]))[:].T.astype(np.float32)


@settings(deadline=None)
@given(TRAFFIC)
def test_random_traffic_against_brute_force(traffic: list[tuple[str, int, int]]) -> None:
    ring = Ring.allocate(CAPACITY, 2)
    written = consumed = 0
    for action, count, back in traffic:
        out = np.full((count, 2), 7.0, np.float32)
        oldest = max(0, written - CAPACITY)
        if action == "write":
            ring.write(frames(written, written + count))
            written += count
        elif action == "read":
            start = max(consumed, oldest)
            here = min(count, written - start)
            assert ring.read(out) == here
            np.testing.assert_array_equal(out[:here], frames(start, start + here))
            assert not out[here:].any()
            consumed = start + here
        elif action == "latest":
            assert ring.latest(out) == written
            np.testing.assert_array_equal(out, frames(written - count, written))
        else:
            end = written + 20 - back
            there = end <= written and (max(end - count, 0) >= oldest or min(count, max(end, 0)) == 0)
            assert ring.at(end, out) is there
            if there:
                np.testing.assert_array_equal(out, frames(end - count, end))
        assert (ring.written, ring.consumed) == (written, consumed)


def test_more_than_it_holds_is_refused() -> None:
    ring = Ring.allocate(8, 1)
    with pytest.raises(ValueError, match="9 frames do not fit a ring of 8"):
        ring.write(np.zeros((9, 1), np.float32))
    with pytest.raises(ValueError, match="9 frames asked of a ring of 8"):
        ring.latest(np.zeros((9, 1), np.float32))


def test_an_overrun_skips_and_never_delays() -> None:
    ring = Ring.allocate(8, 2)
    for start in range(0, 30, 5):
        ring.write(frames(start, start + 5))
    out = np.zeros((4, 2), np.float32)
    assert ring.read(out) == 4
    np.testing.assert_array_equal(out, frames(22, 26))
    assert ring.consumed == 26


def test_what_a_write_under_way_may_have_touched_counts_as_lost() -> None:
    samples, cursors = np.zeros((8, 1), np.float32), np.zeros(3, np.int64)
    ring = Ring(samples, cursors)
    ring.write(np.arange(8, dtype=np.float32)[:, None])
    cursors[2] = 8 + 3
    out = np.zeros((8, 1), np.float32)
    assert ring.latest(out) is None
    assert not ring.at(8, out)
    assert ring.at(8, out[:5])
    assert ring.read(out) == 5
    np.testing.assert_array_equal(out[:5, 0], [3, 4, 5, 6, 7])


@pytest.mark.parametrize("capacity", [256, 4096])
def test_two_processes(capacity: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every sample read is right or reported lost, whatever the writer does meanwhile."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    from ring_writer import attach, write_at_random

    memory = SharedMemory(create=True, size=64 + 8 * capacity)
    try:
        ring, stop = attach(memory, capacity)
        writer = multiprocessing.get_context("spawn").Process(target=write_at_random, args=(memory.name, capacity))
        writer.start()
        try:
            tally = _read_at_random(ring, capacity)
        finally:
            stop[0] = 1
            writer.join(20)
        assert writer.exitcode == 0
        last = np.zeros((capacity, 2), np.float32)
        assert ring.latest(last) == ring.written
        np.testing.assert_array_equal(last, _coded(ring.written - capacity, ring.written))
        assert tally["read"] > 0, tally
        assert tally["latest"] > 0, tally
        # A full-length copy always races with the writer: losses must have been seen, or nothing was shown.
        assert tally["lost"] > 0, tally
        assert tally["torn"] > 0, tally
        del ring, stop
    finally:
        memory.close()
        memory.unlink()


def _coded(start: int, stop: int) -> np.ndarray:
    position = np.arange(start, stop) % (1 << 22)
    return np.stack([position + 1, -position - 1], axis=1).astype(np.float32)


def _read_at_random(ring: Ring, capacity: int) -> dict[str, int]:
    random = np.random.default_rng(1)
    tally = {"read": 0, "lost": 0, "latest": 0, "torn": 0}
    deadline = time.monotonic() + 20.0
    while ring.written < 3 * capacity and time.monotonic() < deadline:
        time.sleep(0.01)
    enough = time.monotonic() + 1.2
    while time.monotonic() < enough or (min(tally.values()) == 0 and time.monotonic() < deadline):
        count = int(random.integers(1, capacity + 1))
        out = np.zeros((count, 2), np.float32)
        if random.random() < 0.5:
            before = ring.consumed
            got = ring.read(out)
            after = ring.consumed
            np.testing.assert_array_equal(out[:got], _coded(after - got, after))
            assert not out[got:].any()
            tally["read"] += got
            tally["lost"] += after - before - got
        else:
            end = ring.latest(out)
            if end is None:
                tally["torn"] += 1
            else:
                np.testing.assert_array_equal(out, _coded(end - count, end))
                tally["latest"] += 1
    return tally

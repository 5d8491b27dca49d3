from __future__ import annotations

import multiprocessing
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qsep_live.dsp.grid import BINS, FRAMES
from qsep_live.engine.gain_field import GainFrames
from qsep_live.engine.shared import CONTROL, SLOTS, Board, Mailbox, Record

SPAWN = multiprocessing.get_context("spawn")


def exists(name: str) -> bool:
    """Whether shared memory of that name is there; leaves no trace of having looked."""
    code = (
        "import sys; from multiprocessing import resource_tracker, shared_memory as s\n"
        "try: m = s.SharedMemory(sys.argv[1])\n"
        "except FileNotFoundError: sys.exit(3)\n"
        "if sys.platform != 'win32': resource_tracker.unregister(m._name, 'shared_memory')\n"
        "m.close()"
    )
    code = subprocess.run([sys.executable, "-c", code, name], timeout=30, check=False).returncode
    assert code in (0, 3)
    return code == 0


@contextmanager
def board() -> Iterator[Board]:
    made = Board()
    try:
        yield made
    finally:
        made.close()


def record(fields: tuple[str, ...] = ("a", "b", "c")) -> tuple[Record, Record]:
    """A writer and a reader of the same memory."""
    values, generation = np.zeros((SLOTS, len(fields))), np.zeros(1, np.int64)
    return Record(fields, values, generation), Record(fields, values, generation)


def mailbox() -> tuple[Mailbox, Mailbox]:
    gains = np.zeros((SLOTS, FRAMES, BINS), np.float32)
    latents, stamps = np.zeros((SLOTS, 64), np.float32), np.zeros((SLOTS, 7))
    generation = np.zeros(1, np.int64)
    return Mailbox(gains, latents, stamps, generation), Mailbox(gains, latents, stamps, generation)


@settings(deadline=None)
@given(st.lists(st.dictionaries(st.sampled_from("abc"), st.floats(-1e9, 1e9)) | st.none(), max_size=40))
def test_a_record_reads_as_last_published(traffic: list[dict[str, float] | None]) -> None:
    """None stands for a refresh."""
    writer, reader = record()
    published, seen, new = dict.fromkeys("abc", 0.0), dict.fromkeys("abc", 0.0), True
    for fields in traffic:
        if fields is None:
            assert reader.refresh() is new
            seen, new = dict(published), False
        else:
            writer.publish(**fields)
            published.update(fields)
            new = True
        assert reader.snapshot() == seen
        assert reader["b"] == seen["b"]
        assert reader.slice("b", 2).tolist() == [seen["b"], seen["c"]]


def test_a_record_being_overwritten_keeps_what_it_had() -> None:
    values, generation = np.zeros((SLOTS, 1)), np.zeros(1, np.int64)

    class Overtaken(np.ndarray):
        """The writer goes round while the reader copies."""

        def copy(self, order: str = "C") -> np.ndarray:
            generation[0] += lap[0]
            return np.array(self)

    writer = Record(["a"], values, generation)
    reader = Record(["a"], values.view(Overtaken), generation)
    lap = [0]
    writer.publish(a=1.0)
    assert reader.refresh()
    writer.publish(a=2.0)
    lap[0] = SLOTS - 1
    assert not reader.refresh()
    assert reader["a"] == 1.0
    lap[0] = 0
    writer.publish(a=3.0)
    assert reader.refresh()
    assert reader["a"] == 3.0


def test_an_unknown_field_is_an_error() -> None:
    writer, reader = record()
    with pytest.raises(KeyError):
        writer.publish(d=1.0)
    with pytest.raises(KeyError):
        reader["d"]


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(1, 3) | st.none(), max_size=25))
def test_the_mailbox_gives_the_newest_of_the_epoch_once(traffic: list[int | None]) -> None:
    """Numbers publish gains of that epoch, None collects for epoch 2."""
    writer, reader = mailbox()
    newest: tuple[int, GainFrames] | None = None
    for number, epoch in enumerate(traffic):
        if epoch is not None:
            gains = np.full((1 + number, BINS), number, np.float32)
            newest = epoch, GainFrames(number, number - 0.5, 512.0, gains)
            writer.publish(newest[1], epoch)
            continue
        got = reader.collect(2)
        if newest is None or newest[0] != 2:
            assert got is None
        else:
            assert got is not None
            assert (got.end, got.first, got.spacing) == (newest[1].end, newest[1].first, newest[1].spacing)
            np.testing.assert_array_equal(got.gains, newest[1].gains)
        newest = None


def test_collected_gains_are_a_copy() -> None:
    writer, reader = mailbox()
    writer.publish(GainFrames(1, 0.0, 1.0, np.ones((3, BINS), np.float32)), 1)
    got = reader.collect(1)
    for number in range(2 * SLOTS):
        writer.publish(GainFrames(number, 0.0, 1.0, np.zeros((3, BINS), np.float32)), 1)
    assert got is not None
    assert (got.gains == 1.0).all()


class Interrupted(np.ndarray):
    """Memory whose reader is now and then put to sleep by the system in the middle of a copy."""

    random = np.random.default_rng(0)

    def copy(self, order: str = "C") -> np.ndarray:
        source, half = np.asarray(self), len(self) // 2
        out = np.empty(source.shape, source.dtype)
        out[:half] = source[:half]
        if self.random.random() < 0.5:
            time.sleep(self.random.uniform(0, 0.002))
        out[half:] = source[half:]
        return out


@pytest.mark.parametrize("what", ["mailbox", "record"])
def test_two_processes_never_a_torn_read(what: str, children: ModuleType) -> None:
    """A writer that never rests laps the reader again and again; all that is read is of one publication."""
    with board() as shared:
        writer = SPAWN.Process(target=children.publish_without_pause, args=(shared.name, what))
        writer.start()
        try:
            shared.mailbox._gains = shared.mailbox._gains.view(Interrupted)
            shared.control._values = shared.control._values.view(Interrupted)
            read, last = 0, 0
            deadline = time.monotonic() + 20.0
            finish = float("inf")
            while time.monotonic() < min(deadline, finish):
                if what == "mailbox":
                    got = shared.mailbox.collect(7)
                    if got is None:
                        continue
                    expected = children.consistent_frames(got.end)
                    assert (got.first, got.spacing) == (expected.first, expected.spacing)
                    np.testing.assert_array_equal(got.gains, expected.gains)
                    number = got.end
                else:
                    if not shared.control.refresh() or not shared.control["wet"]:
                        continue
                    values = set(shared.control.snapshot().values())
                    assert len(values) == 1, values
                    number = int(values.pop())
                assert number > last, "time runs forwards"
                read, last = read + 1, number
                if read == 1:
                    finish = time.monotonic() + 1.0
            assert read > 10
            assert last > read, "the writer was never ahead: nothing was shown"
        finally:
            shared.stream.publish(epoch=99)
            writer.join(10)
        assert writer.exitcode == 0


def test_a_board_is_the_same_memory_for_all_who_attach() -> None:
    with board() as host:
        child = Board(host.name)
        host.control.publish(wet=0.5, z31=2.0)
        assert child.control.refresh()
        assert child.control["wet"] == 0.5
        assert child.control.slice("z0", 32)[31] == 2.0
        child.ring.write(np.ones((10, 2), np.float32))
        assert host.ring.written == 10
        child.times[3] += 1
        assert host.times[3] == 1
        child.mailbox.publish(GainFrames(5, 1.0, 2.0, np.ones((FRAMES, BINS), np.float32)), 1)
        got = host.mailbox.collect(1)
        assert got is not None
        assert got.gains.shape == (FRAMES, BINS)
        child.close()
        assert exists(host.name), "a child that closes leaves the memory to the host"


def test_records_do_not_overlap() -> None:
    with board() as shared:
        shared.control.publish(**dict.fromkeys(CONTROL, 1.0))
        shared.audio.publish(position=5.0)
        for other in (shared.rack, shared.stream, shared.mask):
            other.refresh()
            assert set(other.snapshot().values()) == {0.0}
        assert not shared.times.any()
        assert not shared.beats.any()
        assert shared.ring.written == 0


def test_closing_leaves_nothing_behind() -> None:
    shared = Board()
    name = shared.name
    assert exists(name)
    shared.close()
    assert not exists(name)
    with pytest.raises(FileNotFoundError):
        SharedMemory(name)


def test_a_child_that_leaves_without_goodbye_takes_nothing_with_it(children: ModuleType) -> None:
    with board() as shared:
        name = shared.name
        for _ in range(2):
            child = SPAWN.Process(target=children.attach_and_leave, args=(name,))
            child.start()
            child.join(20)
            assert child.exitcode == 0
            assert shared.beats[2] == 42.0
            assert exists(name)
            shared.beats[2] = 0.0
    assert not exists(name)


_STRANGER = """
import sys
from qsep_live.engine.shared import Board
board = Board(sys.argv[1])
board.beats[2] = 7.0
board.close()
"""
_OWNER = """
from qsep_live.engine.shared import Board
board, second = Board(), None
second = Board(board.name)
second.close()
print(board.name)
board.close()
"""
_ABANDONED = """
import os, sys
from qsep_live.engine.shared import Board
board = Board()
print(board.name, flush=True)
os.kill(os.getpid(), 9)
"""


def script(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=60, check=False
    )


def test_a_process_that_is_no_child_may_attach_and_end() -> None:
    """Its own resource tracker must not remove what it never owned, nor complain."""
    with board() as shared:
        done = script(_STRANGER, shared.name)
        assert (done.returncode, done.stderr) == (0, "")
        assert shared.beats[2] == 7.0
        assert exists(shared.name)


def test_owner_and_second_view_in_one_process_end_without_a_word() -> None:
    done = script(_OWNER)
    assert (done.returncode, done.stderr) == (0, "")
    assert not exists(done.stdout.strip())


@pytest.mark.skipif(sys.platform == "win32", reason="Windows frees the memory with its last user by itself")
def test_a_host_that_is_killed_leaves_nothing_behind() -> None:
    done = script(_ABANDONED)
    name = done.stdout.strip()
    assert name
    deadline = time.monotonic() + 10.0
    while exists(name) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not exists(name)


@pytest.mark.parametrize(("code", "words"), [
    ("from qsep_live.engine.shared import Board; Board()", "shared memory is too small: a session needs "),
    ("from qsep_live.cli.main import run; run(['doctor'])", "shared memory is too small"),
])  # fmt: skip
def test_shared_memory_that_is_too_small_is_told_and_ends_nothing(code: str, words: str) -> None:
    """A /dev/shm of one megabyte, which takes a larger segment without an error until it is touched."""
    if shutil.which("unshare") is None or os.geteuid() != 0:
        pytest.skip("needs unshare and root (a /dev/shm of its own)")
    mount = 'mount -t tmpfs -o size=1m none /dev/shm && exec "$@"'
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", mount, "sh", sys.executable, "-c", code],
        capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert words in done.stdout + done.stderr
    assert "in /dev/shm, 1.0 MB are free" in done.stdout + done.stderr
    assert done.returncode in (0, 1), done.stderr


def test_shared_memory_is_had_when_it_is_made() -> None:
    with board() as shared:
        assert Path(f"/dev/shm/{shared.name}").stat().st_blocks * 512 >= 20_000_000 or sys.platform != "linux"

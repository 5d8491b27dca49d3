"""A child process under the host's care: started, listened to, missed, started again."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable
from contextlib import suppress

from qsep_live.engine.child import Word, run_child

_CONTEXT = multiprocessing.get_context("spawn")
FIRST_WAIT = 0.2
LONGEST_WAIT = 4.0


class Worker:
    """One child. Threading: the host's thread only.

    Parameters
    ----------
    name
        For people.
    main
        The child's entry point, ``main(link, *arguments)``.
    arguments
        Makes the arguments for the n-th start, n from 1.
    """

    def __init__(self, name: str, main: Callable[..., None], arguments: Callable[[int], tuple[object, ...]]) -> None:
        self.name = name
        self.starts = 0
        self._main, self._arguments = main, arguments
        self._wait = FIRST_WAIT
        self._next = 0.0
        self._started = 0.0
        self._ready = 0.0
        self._kept: list[Word] = []

    @property
    def restarts(self) -> int:
        """Starts after the first."""
        return max(0, self.starts - 1)

    @property
    def alive(self) -> bool:
        return self.starts > 0 and self._process.is_alive()

    @property
    def pid(self) -> int | None:
        return self._process.pid if self.starts else None

    @property
    def exitcode(self) -> int | None:
        return self._process.exitcode if self.starts else None

    def hangs(self, beat: float, first: float, later: float) -> bool:
        """Whether a living child has not beaten for too long.

        Parameters
        ----------
        beat
            When it last did, `time.monotonic`.
        first, later
            Seconds that it may take until it says "ready", and that may lie between two beats after that.
        """
        now = time.monotonic()
        if not self.alive:
            return False
        if not self._ready:
            return now - self._started > first
        return now - max(beat, self._ready) > later

    def start(self) -> None:
        """Spawn the child."""
        self.starts += 1
        self._link, theirs = _CONTEXT.Pipe(duplex=False)
        self._process = _CONTEXT.Process(
            target=run_child,
            args=(self._main, theirs, *self._arguments(self.starts)),
            name=f"qsep-live {self.name}",
            daemon=True,
        )
        self._process.start()
        theirs.close()
        self._started, self._ready = time.monotonic(), 0.0

    def restart_when_due(self) -> bool:
        """Start the dead child again, sooner or later according to how long it lived; whether it was now."""
        now = time.monotonic()
        if self._next == 0.0:
            self._wait = FIRST_WAIT if now - self._started > 10.0 else min(LONGEST_WAIT, 2 * self._wait)
            self._next = now + self._wait
        if now < self._next:
            return False
        self._next = 0.0
        self.start()
        return True

    def words(self) -> list[Word]:
        """What the child said since the last call."""
        words, self._kept = self._kept, []
        with suppress(EOFError, OSError):
            while self.starts and self._link.poll():
                words.append(self._link.recv())
                if words[-1].kind == "ready":
                    self._ready = time.monotonic()
        return words

    def wait_for(self, kinds: tuple[str, ...], timeout: float) -> Word | None:
        """The next word of one of ``kinds``, or None if the child ends or ``timeout`` seconds pass first."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            alive = self.alive
            words = self.words()
            for place, word in enumerate(words):
                if word.kind in kinds:
                    self._kept = words[place + 1 :]
                    return word
            if not alive:
                return None
            time.sleep(0.01)
        return None

    def kill(self) -> None:
        """End the child at once: nothing in it can be asked any more."""
        if self.starts:
            self._process.kill()
            self._process.join(2.0)

    def join(self, timeout: float) -> None:
        """Wait for the child to end by itself, then make it."""
        if self.starts:
            self._process.join(timeout)
            if self._process.is_alive():
                self.kill()

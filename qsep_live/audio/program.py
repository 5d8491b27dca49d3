"""Sound that a program of its own makes: raw float32 frames, through its standard output as they come.

Threading: a `ProgramSound` belongs to one thread at a time, but for `close`.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, cast

import numpy as np
from numpy.typing import NDArray

from qsep_live.errors import QsepError

Block = NDArray[np.float32]

_WIDTH = 4


@dataclass(frozen=True)
class Program:
    """What to run, and what comes out of it.

    Attributes
    ----------
    name
        What a person calls it.
    command
        With all arguments; see `ours` for commands of qsep-live.
    rate
        Of its frames, in Hz.
    channels
        Of its frames; the samples of a frame stand together.
    """

    name: str
    command: tuple[str, ...]
    rate: int
    channels: int


def ours(*arguments: str) -> tuple[str, ...]:
    """The command line ``qsep-live ARGUMENTS`` with this interpreter."""
    return (sys.executable, "-m", "qsep_live", *arguments)


class ProgramSound:
    """A program that runs until it ends or `close` is called. It is never more than a pipe ahead of its reader.

    Raises
    ------
    QsepError
        It cannot be started.
    """

    def __init__(self, program: Program) -> None:
        self.name, self.rate, self.channels = program.name, program.rate, program.channels
        try:
            # Ctrl-C reaches the whole group; who reads decides when this ends.
            self._process = subprocess.Popen(
                program.command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            raise QsepError(f"{self.name}: cannot be started: {error.strerror or error}") from None

    def read(self, frames: int) -> Block:
        """The next ``frames``, waited for, float32 of shape (n, channels); fewer only at the end.

        Raises
        ------
        QsepError
            The program failed: says what it said last.
        """
        wanted = frames * self.channels * _WIDTH
        data = cast(IO[bytes], self._process.stdout).read(wanted)
        if len(data) < wanted and (code := self._process.wait()):
            said = cast(IO[bytes], self._process.stderr).read().decode(errors="replace").strip().splitlines()
            reason = said[-1].removeprefix("qsep-live: error: ") if said else f"it ended with code {code}"
            raise QsepError(f"{self.name}: {reason}")
        whole = len(data) - len(data) % (self.channels * _WIDTH)
        sound = np.frombuffer(data[:whole], "<f4").reshape(-1, self.channels)
        return np.where(np.isfinite(sound), sound, np.float32(0.0)).astype(np.float32, copy=False)

    def blocks(self, frames: int) -> Iterator[Block]:
        """All that is left, in blocks of ``frames``; the last may be shorter."""
        while len(block := self.read(frames)):
            yield block

    def close(self) -> None:
        """End the program."""
        with suppress(OSError):
            self._process.kill()
        self._process.wait()


class RawOutput:
    """Standard output as raw float32 frames, and nothing else: what libraries print goes to standard error from now on.

    A line among the frames would shift every sample after it by some bytes, and what is heard then is noise.
    """

    def __init__(self) -> None:
        sys.stdout.flush()
        place = sys.stdout.fileno()
        self._file = os.fdopen(os.dup(place), "wb")
        os.dup2(sys.stderr.fileno(), place)

    def write(self, sound: Block) -> None:
        """Samples in the order in which they are to be heard; waits until the reader has room.

        Raises
        ------
        BrokenPipeError
            Nobody reads any more.
        """
        self._file.write(sound.astype("<f4", copy=False).tobytes())
        self._file.flush()

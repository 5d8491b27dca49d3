"""Recording live sound to a file without ever making the sound wait.

Threading: `push` is for the audio callback alone and returns at once. A thread of the recorder's own writes
the file. `close` and the properties are for any other thread.
"""

from __future__ import annotations

import contextlib
import os
import threading
from pathlib import Path

import numpy as np

from qsep_live.audio.fifo import Block, FrameFifo
from qsep_live.audio.writer import CHUNK, AudioWriter
from qsep_live.errors import QsepError


class Recorder:
    """Records blocks from a real-time callback.

    When the file cannot be written (the disk is full), recording stops, `error` says why in one line and the
    callback goes on unharmed. What fitted is kept as a complete, readable WAV file; formats that cannot be
    completed on a full disk leave nothing. WAV files beyond 4 GiB become RF64 by themselves.

    Parameters
    ----------
    path : path
        The file; the suffix names the format. It appears under its name when the recorder is closed.
    rate : int
        Sample rate in Hz.
    channels : int
    subtype : str, optional
        As for `AudioWriter`; default 24 bits for WAV and FLAC.
    seconds : float
        How long the disk may stall before sound is lost.

    Raises
    ------
    QsepError, UsageError
        The file cannot be created; see `AudioWriter`.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        rate: int,
        channels: int,
        subtype: str | None = None,
        seconds: float = 10.0,
    ) -> None:
        self.path = Path(path)
        self.rate, self.channels = rate, channels
        self._writer = AudioWriter(path, rate, channels, subtype)
        self._fifo = FrameFifo(round(seconds * rate), channels)
        self._owed = 0
        self._overruns = self._lost = 0
        self._error: str | None = None
        self._kept: Path | None = None
        self._closed = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._drain, name="recorder", daemon=True)
        self._thread.start()

    def push(self, block: Block) -> None:
        """Record a block of shape (frames, channels). Never blocks and never raises for lack of room.

        A block that finds no room is counted and later becomes silence of the same length, so that what
        follows stays in time.
        """
        if self._error is not None or self._closed:
            return
        frames = len(block)
        if self._owed:
            # No more than a few blocks of silence per call: the callback's time stays bounded.
            self._owed -= self._fifo.write_silence(min(self._owed, 4 * frames))
        if self._owed or self._fifo.space < frames:
            self._owed += frames
            self._overruns += 1
            self._lost += frames
            return
        self._fifo.write(block)

    @property
    def seconds(self) -> float:
        """Seconds written to the file so far."""
        return self._writer.frames / self.rate

    @property
    def overruns(self) -> int:
        """Blocks that found no room because the disk was too slow."""
        return self._overruns

    @property
    def lost(self) -> int:
        """Frames of silence that stand for those blocks."""
        return self._lost

    @property
    def clipped(self) -> int:
        """Samples beyond full scale that an integer sample format cut off."""
        return self._writer.clipped

    @property
    def error(self) -> str | None:
        """Why recording stopped, in one line; None while all is well."""
        return self._error

    def close(self, timeout: float = 30.0) -> Path | None:
        """Write what is waiting, complete the file, and say where it is.

        Returns
        -------
        Path or None
            None when nothing was recorded, or nothing could be kept (`error` then says why).
        """
        if not self._closed:
            self._closed = True
            self._stop.set()
            self._thread.join(timeout)
            if self._thread.is_alive():
                self._error = f"{self.path}: the disk did not take the recording within {timeout:g} s"
        return self._kept

    def _drain(self) -> None:
        scratch = np.empty((CHUNK, self.channels), np.float32)
        try:
            while True:
                last = self._stop.is_set()
                while got := self._fifo.read_into(scratch):
                    self._writer.write(scratch[:got])
                if last:
                    break
                self._stop.wait(0.05)
            if self._writer.frames:
                self._kept = self._writer.close()
            else:
                self._writer.abort()
        except QsepError as error:
            self._fail(str(error))
        except Exception as error:  # the thread must not die silently
            self._fail(f"{self.path}: recording stopped: {error}")

    def _fail(self, line: str) -> None:
        with contextlib.suppress(QsepError):
            self._kept = self._writer.salvage()
        if self._kept is not None:
            line += f"; the first {self._writer.frames / self.rate:.1f} s were kept"
        self._error = line

"""A file, the demo song or a program's sound as a live input: read ahead in a thread, handed out block by block.

Threading: `read_into` is for the audio callback alone and never touches the file. A thread of the source's
own reads and resamples. The rest is for any other thread. The sink of a live session is `recorder.Recorder`.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from qsep_live.audio.fifo import Block, FrameFifo
from qsep_live.audio.files import SoundFileReader, open_audio
from qsep_live.audio.program import Program, ProgramSound
from qsep_live.errors import QsepError

_CHUNK = 4096


class FileSource:
    """Plays a sound file into a callback, at the stream's rate and channel count.

    Parameters
    ----------
    path : path or Program
        A sound file, ``"demo"`` for the demo song, or a program that is started.
    rate : int
        The stream's sample rate in Hz; the file is resampled where it differs.
    channels : int
        The stream's channels. One channel is copied to all; more channels than the stream has are folded onto
        them (channel i onto i modulo the count, divided by how many meet there).
    loop : bool
        Start again at the end.
    ahead : float
        Seconds read ahead.

    Raises
    ------
    QsepError
        The file cannot be read, see `open_audio`; or the program cannot be started.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | Program,
        rate: int,
        channels: int,
        loop: bool = False,
        ahead: float = 2.0,
    ) -> None:
        self.rate, self.channels, self.loop = rate, channels, loop
        self._reader: SoundFileReader | None = None
        self._song: Block | None = None
        self._program: ProgramSound | None = None
        frames = 0
        if isinstance(path, Program):
            self._program = ProgramSound(path)
            self.name, self.source_rate, self.source_channels = path.name, path.rate, path.channels
        elif os.fspath(path) == "demo":
            from qsep_live.audio.demo import demo_song

            song = demo_song()
            self.name, self.source_rate, self._song = "demo", song.rate, song.mixture
            frames, self.source_channels = self._song.shape
        else:
            self._reader = open_audio(path)
            self.name = Path(path).name
            self.source_rate, self.source_channels = self._reader.rate, self._reader.channels
            frames = self._reader.frames
        self.frames: int = round(frames * rate / self.source_rate)
        self.position = 0
        self.missed = 0
        self._fifo = FrameFifo(max(round(ahead * rate), 2 * _CHUNK), channels)
        self._error: str | None = None
        self._ended = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._fill, name="file source", daemon=True)
        self._thread.start()

    @property
    def seconds(self) -> float:
        """Length of the file in seconds (one round, when looping); 0 for a program, which does not say."""
        return self.frames / self.rate

    @property
    def repaired(self) -> int:
        """NaN and infinite samples replaced by zero so far."""
        return self._reader.repaired if self._reader else 0

    @property
    def error(self) -> str | None:
        """Why the file could not be read to its end, in one line."""
        return self._error

    @property
    def finished(self) -> bool:
        """Whether the last frame has been handed out (never while looping)."""
        return self._ended and not self._fifo.fill

    def wait_ready(self, timeout: float = 10.0) -> bool:
        """Wait until the start is read ahead, so that the first blocks are there. Not for the callback."""
        deadline = time.monotonic() + timeout
        while not self._ended and self._fifo.space >= 2 * _CHUNK and time.monotonic() < deadline:
            time.sleep(0.005)
        return self._ended or self._fifo.fill > 0

    def read_into(self, block: Block) -> int:
        """Callback: fill a block of shape (frames, channels); zeros where there is no sound.

        Returns
        -------
        int
            Frames of the file that are in the block. Less than asked for at the end, or in an underrun.
        """
        ended = self._ended
        got = self._fifo.read_into(block)
        self.position += got
        if got < len(block) and not ended:
            self.missed += len(block) - got
        return got

    def close(self) -> None:
        """Stop reading and close the file."""
        self._stop.set()
        if self._program is not None:
            self._program.close()
        self._thread.join(10.0)
        if self._reader is not None:
            self._reader.close()

    def _fill(self) -> None:
        try:
            for piece in self._resampled(self._pieces()):
                if not self._put(_fit(piece, self.channels)):
                    return
        except QsepError as error:
            self._error = str(error)
        except Exception as error:  # a reading thread that dies silently would be an endless underrun
            self._error = f"{self.name} could not be read: {error}"
        finally:
            self._ended = True

    def _put(self, piece: Block) -> bool:
        while len(piece):
            piece = piece[self._fifo.write(piece) :]
            if len(piece) and self._stop.wait(0.01):
                return False
        return not self._stop.is_set()

    def _pieces(self) -> Iterator[Block]:
        while True:
            if self._program is not None:
                yield from self._program.blocks(_CHUNK)
            elif self._song is not None:
                for start in range(0, len(self._song), _CHUNK):
                    yield self._song[start : start + _CHUNK]
            elif self._reader is not None:
                self._reader.seek(0)
                yield from self._reader.blocks(_CHUNK)
            if not self.loop or self._program is not None:
                return

    def _resampled(self, pieces: Iterator[Block]) -> Iterator[Block]:
        if self.source_rate == self.rate:
            yield from pieces
            return
        from pedalboard.io import StreamResampler

        converter: Any = StreamResampler(self.source_rate, self.rate, self.source_channels)
        made = 0
        for piece in pieces:
            out = converter.process(np.ascontiguousarray(piece.T)).T
            made += len(out)
            yield out
        # The flush may bring a frame more or less than the exact length.
        tail = np.zeros((max(0, self.frames - made), self.source_channels), np.float32)
        last = converter.process(None).T[: len(tail)]
        tail[: len(last)] = last
        yield tail


def _fit(piece: Block, channels: int) -> Block:
    """Bring a block (n, any) to (n, channels)."""
    have = piece.shape[1]
    if have == channels:
        return piece
    if have == 1:
        return np.repeat(piece, channels, axis=1)
    if have < channels:
        return np.concatenate([piece, np.zeros((len(piece), channels - have), np.float32)], axis=1)
    folded = [piece[:, start::channels].mean(axis=1) for start in range(channels)]
    return np.stack(folded, axis=1).astype(np.float32)

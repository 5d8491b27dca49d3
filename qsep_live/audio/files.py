"""Sound files read block by block: what libsndfile reads, and one line for what is not whole.

Threading: a reader belongs to one thread at a time. Writing is in `writer`.
"""

from __future__ import annotations

import contextlib
import difflib
import functools
import io
import os
import re
import shlex
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from qsep_live.audio.mpeg import Layout, mpeg_layout
from qsep_live.audio.ogg import SPEAKERS, ogg_parts
from qsep_live.audio.wav_header import unfinished_wav
from qsep_live.errors import QsepError

Block = NDArray[np.float32]

READS = "wav, flac, ogg, opus, mp3, aiff"
_OTHER = {".m4a", ".mp4", ".aac", ".wma", ".m4b", ".mov", ".mkv", ".webm"}
_PIECE = 1 << 20
#: WAV sizes from here on mean "unknown: written to a pipe".
_PIPED = 0x7FFF0000


class SoundFileReader:
    """A sound file that is read forwards, block by block.

    Attributes
    ----------
    path : Path
    rate : int
        Sample rate in Hz.
    channels : int
    frames : int
        Length of the file.
    subtype : str
        libsndfile's name of the sample format, for example ``"PCM_16"``.
    repaired : int
        NaN and infinite samples that were replaced by zero so far.
    position : int
        The frame that is read next.
    remark : str
        What the user should know of the file, one line; empty where there is nothing.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.repaired = 0
        self.position = 0
        self._file = _open(self.path)
        self.remark = ""
        try:
            self.remark = _remark(self.path, str(self._file.format))
            self.rate = int(self._file.samplerate)
            self.channels = int(self._file.channels)
            self.subtype = str(self._file.subtype)
            self.frames = _length(self.path, self._file)
        except BaseException:
            self._file.close()
            raise

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return self.frames / self.rate

    def read(self, frames: int = -1) -> Block:
        """Read the next frames.

        Parameters
        ----------
        frames : int
            How many; negative for all that are left.

        Returns
        -------
        ndarray
            float32, shape (n, channels), n less than asked for only at the end.

        Raises
        ------
        QsepError
            The file ends before its own header says, or cannot be decoded.
        """
        left = self.frames - self.position
        frames = left if frames < 0 else min(frames, left)
        if frames > _PIECE:
            # A damaged header may promise terabytes: believe only what has been read.
            pieces = [self.read(min(_PIECE, frames - start)) for start in range(0, frames, _PIECE)]
            return np.concatenate(pieces)
        block = np.empty((frames, self.channels), np.float32)
        done = 0
        while done < frames:
            try:
                got = len(self._file.read(out=block[done : done + 65536]))
            except RuntimeError as error:
                raise self._cut(done) from error
            if not got:
                raise self._cut(done)
            done += got
        if self._file.format == "OGG" and self.channels in SPEAKERS:
            block = np.ascontiguousarray(block[:, SPEAKERS[self.channels]])
        self.position += done
        if not np.isfinite(block).all():
            broken = ~np.isfinite(block)
            self.repaired += int(np.count_nonzero(broken))
            block[broken] = 0.0
        return block

    def blocks(self, frames: int) -> Iterator[Block]:
        """Read to the end in blocks of the given length (the last may be shorter)."""
        while len(block := self.read(frames)):
            yield block

    def seek(self, frame: int) -> None:
        """Continue reading at a frame, counted from the start of the file."""
        if not 0 <= frame <= self.frames:
            raise QsepError(f"{self.path}: cannot seek to frame {frame} of {self.frames}")
        if self._file.format == "MP3":
            # A seek inside an MP3 lands on a frame whose predecessors it needs and has not decoded.
            self._file.close()
            self._file = _open(self.path)
            self.position = 0
            while self.position < frame and len(self.read(min(65536, frame - self.position))):
                pass
        else:
            self._file.seek(frame)
        self.position = frame

    def close(self) -> None:
        """Close the file. May be called again."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _cut(self, done: int) -> QsepError:
        at = (self.position + done) / self.rate
        return QsepError(
            f"{self.path} is truncated or damaged: it can be read up to {at:.2f} s of {self.seconds:.2f} s"
        )


def open_audio(path: str | os.PathLike[str]) -> SoundFileReader:
    """Open a sound file for reading.

    Raises
    ------
    QsepError
        The file is missing, a folder, empty, truncated, or not sound that can be read.
    """
    return SoundFileReader(path)


def read_audio(path: str | os.PathLike[str]) -> tuple[Block, int]:
    """Read a whole sound file: samples of shape (frames, channels), and the rate in Hz."""
    with open_audio(path) as reader:
        return reader.read(), reader.rate


@functools.cache
def _forward_reader() -> Any:
    import soundfile

    class ForwardReader(soundfile.SoundFile):  # type: ignore[misc]
        """soundfile seeks after each read of a file that can seek, which breaks the sound of an MP3."""

        def seekable(self) -> bool:
            return False

    return ForwardReader


def _open(path: Path) -> Any:
    try:
        if not path.exists():
            raise QsepError(f"{path}: no such file{_nearest_file(path)}")
        if path.is_dir():
            raise QsepError(f"{path} is a folder, not a sound file")
        if not path.is_file():
            raise QsepError(f"{path} is not a regular file, so it cannot be read as a sound file")
        if path.stat().st_size == 0:
            raise QsepError(f"{path} is empty (0 bytes)")
        with path.open("rb") as file:
            head = file.read(4)
        if head[:3] == b"ID3" or (head[:1] == b"\xff" and head[1:2] >= b"\xe0"):
            layout = mpeg_layout(path)
            if layout is not None:
                return _open_mp3(path, layout)
        if head == b"RIFF" and (wav := unfinished_wav(path)) is not None:
            import soundfile

            return soundfile.SoundFile(_Part(path, wav.start + wav.size, wav.patches()))
        return _forward_reader()(path)
    except OSError as error:
        raise QsepError(f"{path} cannot be read: {error.strerror or error}") from error
    except (RuntimeError, TypeError, ValueError) as error:
        if path.suffix.lower() in _OTHER:
            raise QsepError(
                f"{path}: {path.suffix[1:].lower()} files are not read, only {READS}; convert it: {_mend(path)}"
            ) from error
        raise QsepError(f"{path} is damaged or not a sound file ({READS} are read)") from error


def _mend(path: Path) -> str:
    """A command that makes a file of this one that is read; it can be pasted."""
    return f"ffmpeg -i {shlex.quote(str(path))} {shlex.quote(str(path.with_suffix('.flac')))}"


def _open_mp3(path: Path, layout: Layout) -> Any:
    """All frames of an MP3, whatever else the file holds.

    Through a pipe libsndfile has no length to estimate, and reads to the end; but a tagged file, which says how much of
    its first and last frames is no sound, fails that way.
    """
    if layout.parts > 1:
        raise QsepError(f"{path} is {layout.parts} MP3s in a row; to make one of them: {_mend(path)}")
    if layout.tagged:
        return _forward_reader()(path if not layout.after else _Part(path, layout.end))
    reading, writing = os.pipe()
    threading.Thread(target=_feed, args=(path, layout, writing), daemon=True).start()
    try:
        return _forward_reader()(reading)
    except BaseException:
        with contextlib.suppress(OSError):
            os.close(reading)
        raise


def _feed(path: Path, layout: Layout, descriptor: int) -> None:
    """Write the frames of ``path`` into a pipe, until they are read or nobody reads them any more."""
    with contextlib.suppress(OSError), open(descriptor, "wb", buffering=0) as pipe, path.open("rb") as file:
        file.seek(layout.first)
        left = layout.end - layout.first
        while left > 0 and (piece := file.read(min(left, 1 << 16))):
            left -= len(piece)
            view = memoryview(piece)
            while view:
                view = view[pipe.write(view) :]


class _Part(io.RawIOBase):
    """The first bytes of a file, as a file; ``patches`` are bytes that stand in place of its own, by position."""

    def __init__(self, path: Path, end: int, patches: Mapping[int, bytes] | None = None) -> None:
        self._raw = path.open("rb")
        self._end = end
        self._patches = patches or {}

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        start = self._raw.tell()
        view = memoryview(buffer)[: max(0, self._end - start)]
        got = self._raw.readinto(view)
        for place, patch in self._patches.items():
            for offset, byte in enumerate(patch, start=place - start):
                if 0 <= offset < got:
                    view[offset] = byte
        return got

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if whence == io.SEEK_END:
            return self._raw.seek(self._end + offset)
        return self._raw.seek(offset, whence)

    def tell(self) -> int:
        return self._raw.tell()

    def close(self) -> None:
        self._raw.close()
        super().close()


def _remark(path: Path, kind: str) -> str:
    """What the user should know of a file of this kind, if anything."""
    if kind == "WAV" and (wav := unfinished_wav(path)) is not None:
        return f"{path}: its recorder wrote no length; {wav.size:,} bytes of sound were read, to the end of the file"
    if kind != "MP3":
        return ""
    layout = mpeg_layout(path)
    if layout is None or not layout.after:
        return ""
    return f"{path}: {layout.after:,} bytes behind the sound are no sound and were left out"


def _nearest_file(path: Path) -> str:
    try:
        names = [entry.name for entry in path.parent.iterdir() if entry.is_file()]
    except OSError:
        return ""
    near = difflib.get_close_matches(path.name, names, 1)
    return f" (did you mean {near[0]}?)" if near else ""


def _length(path: Path, file: Any) -> int:
    """The true length in frames; a QsepError where the file holds less than it says, or nothing."""
    frames, info = int(file.frames), str(file.extra_info)
    for said, held in re.findall(r"^data : (\d+) \(should be (\d+)\)", info, re.M):
        if int(held) < int(said) < _PIPED:
            raise QsepError(f"{path} is truncated: it holds {int(held):,} of {int(said):,} bytes of sound")
    if file.format == "OGG" and (parts := ogg_parts(path)) > 1:
        raise QsepError(f"{path} holds {parts} recordings in a row; to make one of them: {_mend(path)}")
    if file.format == "OGG" and re.search(r"end-of-stream bit|without an End-Of-Stream", info, re.I):
        raise QsepError(f"{path} is truncated: its end is missing; to use what is there: {_mend(path)}")
    if file.format == "MP3":
        frames = _mp3_length(path, file, frames)
    elif frames > 1 << 50:
        frames = _count(file)  # a FLAC that was written to a pipe does not say
        file.seek(0)
    if frames <= 0:
        raise QsepError(f"{path} holds no sound (0 frames)")
    return frames


def _count(file: Any) -> int:
    """Decode to the end and count the frames."""
    scratch = np.empty((65536, file.channels), np.float32)
    counted = 0
    while got := len(file.read(out=scratch)):
        counted += got
    return counted


def _mp3_length(path: Path, file: Any, said: int) -> int:
    """Count by decoding: without a Xing or VBRI tag there is only an estimate, with one a promise."""
    with contextlib.closing(_open(path)) as again:
        counted = _count(again)
    layout = mpeg_layout(path)
    if layout is not None and layout.tagged and counted < said:
        raise QsepError(
            f"{path} is truncated: it holds {counted / file.samplerate:.2f} s of {said / file.samplerate:.2f} s"
        )
    return counted

"""Sound files written atomically: they appear under their name only when they are complete.

Threading: a writer belongs to one thread at a time. Reading is in `files`.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import secrets
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from qsep_live.audio import riff
from qsep_live.audio.ogg import SPEAKERS
from qsep_live.errors import QsepError, UsageError
from qsep_live.unbroken import raise_lost, unbroken

#: Suffix to (libsndfile container, default subtype, subtypes that may be asked for).
FORMATS: dict[str, tuple[str, str, tuple[str, ...]]] = {
    ".wav": ("RF64", "PCM_24", ("PCM_16", "PCM_24", "PCM_32", "FLOAT")),
    ".flac": ("FLAC", "PCM_24", ("PCM_16", "PCM_24")),
    ".ogg": ("OGG", "VORBIS", ("VORBIS",)),
    ".opus": ("OGG", "OPUS", ("OPUS",)),
    ".mp3": ("MP3", "MPEG_LAYER_III", ("MPEG_LAYER_III",)),
    ".aiff": ("AIFF", "PCM_24", ("PCM_16", "PCM_24", "PCM_32")),
}
#: One OGG write of a minute in a single call crashed libsndfile; chunks of this many frames do not.
CHUNK = 4096


def choose_subtype(path: str | os.PathLike[str], like: str | None = None) -> str:
    """The sample format a render should have.

    Parameters
    ----------
    path : path
        The file to be written; its suffix decides the container.
    like : str, optional
        The subtype of the file the sound came from. It is kept where the container can hold it;
        otherwise, and for lossy inputs, lossless containers get 24 bits.
    """
    _, default, allowed = _format(Path(path))
    like = "FLOAT" if like == "DOUBLE" else like
    return like if like in allowed else default


def _format(path: Path) -> tuple[str, str, tuple[str, ...]]:
    suffix = path.suffix.lower()
    suffix = {".aif": ".aiff", ".oga": ".ogg", ".wave": ".wav"}.get(suffix, suffix)
    if suffix not in FORMATS:
        said = f"unknown file type {path.suffix!r}" if path.suffix else "no file type in the name"
        raise UsageError(f"{path}: {said}; these can be written: {', '.join(s[1:] for s in FORMATS)}")
    return FORMATS[suffix]


class _Disk(io.RawIOBase):
    """A file that keeps its first error: exceptions cannot pass through libsndfile's callbacks."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._raw = io.FileIO(path, "x+")
        self.error: OSError | None = None

    def write(self, data: Any) -> int:
        done, view = 0, memoryview(data)
        try:
            while done < len(view):
                done += self._raw.write(view[done:]) or 0
        except OSError as error:
            self.error = self.error or error
        return done

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._raw.seek(offset, whence)

    def tell(self) -> int:
        return self._raw.tell()

    def readinto(self, buffer: Any) -> int:
        return self._raw.readinto(buffer) or 0

    def read(self, size: int = -1) -> bytes:
        return self._raw.read(size) or b""

    def truncate(self, size: int | None = None) -> int:
        return self._raw.truncate(size)

    def fileno(self) -> int:
        return self._raw.fileno()

    def close(self) -> None:
        self._raw.close()
        super().close()


class AudioWriter:
    """Writes a sound file that appears under its name only when it is complete.

    A context manager: leaving it normally closes the file, leaving it with an exception removes it.

    Parameters
    ----------
    path : path
        The file to write; the suffix names the format. An existing file is replaced at the end.
    rate : int
        Sample rate in Hz.
    channels : int
    subtype : str, optional
        Sample format: ``PCM_16``, ``PCM_24``, ``PCM_32`` or ``FLOAT`` for WAV (a FLOAT WAV holds every
        float32 bit for bit, also beyond full scale). Default: 24 bits, or the only one the format has.

    Attributes
    ----------
    frames : int
        Frames written so far.
    clipped : int
        Samples beyond full scale that an integer format cut off so far.

    Raises
    ------
    UsageError
        Unknown suffix, or a subtype, rate or channel count that the format cannot hold.
    QsepError
        The folder is missing or not writable, or the disk is full.
    """

    def __init__(self, path: str | os.PathLike[str], rate: int, channels: int, subtype: str | None = None) -> None:
        import soundfile

        self.path = Path(path)
        self.rate, self.channels = rate, channels
        self.frames = self.clipped = 0
        container, default, allowed = _format(self.path)
        self.subtype = subtype or default
        if self.subtype not in allowed:
            raise UsageError(f"{self.path}: no {self.subtype} in this format, only {', '.join(allowed)}")
        self._wav, self._ogg = container == "RF64", container == "OGG"
        self._target = self._check_target()
        # A name may have 255 bytes: the temporary one must not be longer than that because of what is put around it.
        short = os.fsencode(self._target.name)[:200].decode("utf-8", "ignore")
        self._temporary = self._target.with_name(f".{short}.{secrets.token_hex(4)}.part")
        self._disk: _Disk | None = None
        self._sound: Any = None
        try:
            with unbroken():
                self._disk = _Disk(self._temporary)
                self._sound = soundfile.SoundFile(
                    self._disk, "w", rate, channels, subtype=self.subtype, format=container
                )
        except OSError as error:
            raise QsepError(f"{self.path} cannot be written: {error.strerror or error}") from error
        except (RuntimeError, ValueError, TypeError) as error:
            failure = self._disk.error if self._disk else None
            self._remove()
            if failure is not None:
                raise self._failed(failure) from error
            name = self._target.suffix[1:].lower()
            raise UsageError(f"{self.path}: {name} cannot hold {channels} channels at {rate} Hz; wav can") from error
        except BaseException:
            self.abort()
            raise

    def write(self, block: NDArray[np.floating[Any]]) -> None:
        """Append frames.

        Parameters
        ----------
        block : ndarray
            Shape (frames, channels), or (frames,) for a mono file; written as float32.

        Raises
        ------
        QsepError
            The disk is full or the write failed. The unfinished file is left to `abort` or `salvage`.
        """
        if self._disk is None:
            raise QsepError(f"{self.path} is already closed")
        data = np.ascontiguousarray(block if block.ndim > 1 else block[:, None], np.float32)
        if data.shape[1] != self.channels:
            raise ValueError(f"{data.shape[1]} channels for a file of {self.channels}")
        if self.subtype.startswith("PCM"):
            self.clipped += int(np.count_nonzero(np.abs(data) > 1.0))
        if self._ogg and self.channels in SPEAKERS:
            data = np.ascontiguousarray(data[:, np.argsort(SPEAKERS[self.channels])])
        for start in range(0, len(data), CHUNK):
            chunk = data[start : start + CHUNK]
            raise_lost()
            try:
                with unbroken():
                    self._sound.write(_rounded(chunk, self.subtype))
            except (RuntimeError, AssertionError) as error:
                raise self._failed(self._disk.error or error) from error
            if self._disk.error is not None:
                raise self._failed(self._disk.error)
            self.frames += len(chunk)

    def close(self) -> Path:
        """Complete the file and give it its name.

        Raises
        ------
        QsepError
            It could not be completed; nothing is left.
        """
        if self._disk is None:
            return self.path
        try:
            with unbroken():
                self._sound.close()
            if self._disk.error is not None:
                raise self._disk.error
            if self._wav:
                riff.settle(self._disk)
                if self._disk.error is not None:
                    raise self._disk.error
            self._publish(self._disk)
        except (OSError, RuntimeError, ValueError) as error:
            self._remove()
            raise self._failed(error) from error
        self._disk = None
        return self.path

    def salvage(self) -> Path | None:
        """After a failed write: complete the file with what fitted, where the format allows it.

        A WAV header can be completed without more room; the other formats' files are removed.

        Returns
        -------
        Path or None
            The readable file, or None if nothing was kept (and nothing is left).
        """
        if self._disk is None:
            return None
        with contextlib.suppress(RuntimeError):
            self._sound.close()
        kept = 0
        try:
            if self._wav:
                kept = self.frames = riff.settle(self._disk)
            if kept:
                self._publish(self._disk)
                self._disk = None
                return self.path
        except (OSError, ValueError):
            pass
        self._remove()
        return None

    def abort(self) -> None:
        """Give up: remove what was written. The target, if there was one before, is untouched."""
        if self._disk is not None:
            try:
                with contextlib.suppress(RuntimeError), unbroken():
                    if self._sound is not None:
                        self._sound.close()
            finally:
                self._remove()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.abort()

    def _check_target(self) -> Path:
        target = self.path.resolve()
        if target.is_dir():
            raise UsageError(f"{self.path} is a folder; give the name of a file")
        if target.exists() and not target.is_file():
            raise UsageError(f"{self.path} is not a regular file; give the name of a file")
        if not target.parent.is_dir():
            raise UsageError(f"{self.path}: the folder {target.parent} does not exist")
        return target

    def _publish(self, disk: _Disk) -> None:
        os.fsync(disk.fileno())
        disk.close()
        self._temporary.replace(self._target)

    def _remove(self) -> None:
        if self._disk is not None:
            self._disk.close()
            self._disk = None
        with contextlib.suppress(OSError):
            self._temporary.unlink(missing_ok=True)

    def _failed(self, error: BaseException) -> QsepError:
        number = error.errno if isinstance(error, OSError) else None
        why = {
            errno.ENOSPC: "the disk is full",
            getattr(errno, "EDQUOT", -1): "the disk quota is used up",
            errno.EFBIG: "the file size limit is reached",
        }.get(number or 0, str(getattr(error, "strerror", None) or error))
        return QsepError(f"{self.path} cannot be written: {why} (after {self.frames / self.rate:.1f} s of sound)")


def _rounded(chunk: NDArray[np.float32], subtype: str) -> NDArray[Any]:
    """Integers for a PCM format, rounded here once: libsndfile rounds WAV and AIFF down, FLAC to the nearest."""
    if not subtype.startswith("PCM_"):
        return chunk
    bits = int(subtype[4:])
    full = 2.0 ** (bits - 1)
    whole = np.clip(np.rint(np.nan_to_num(chunk.astype(np.float64)) * full), -full, full - 1.0)
    if bits == 16:
        return whole.astype(np.int16)
    return whole.astype(np.int32) << (32 - bits)


def write_audio(
    path: str | os.PathLike[str], samples: NDArray[np.floating[Any]], rate: int, subtype: str | None = None
) -> Path:
    """Write a whole sound file atomically; see `AudioWriter` for formats, subtypes and errors.

    Parameters
    ----------
    samples : ndarray
        Shape (frames, channels), or (frames,) for mono.
    rate : int
        Sample rate in Hz.
    """
    channels = 1 if samples.ndim == 1 else samples.shape[1]
    with AudioWriter(path, rate, channels, subtype) as writer:
        writer.write(samples)
    return writer.path

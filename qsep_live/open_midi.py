"""MIDI files, opened with mido. This module imports no room, so that every room may use it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from qsep_live.errors import QsepError, UsageError

if TYPE_CHECKING:
    from mido import MidiFile


def open_midi(path: Path, extra: str) -> MidiFile:
    """The file as mido reads it: of type 0 or 1, timed in ticks a beat; values out of range are brought into it.

    Parameters
    ----------
    extra
        The extra of this package that brings mido, to name where it is missing.

    Raises
    ------
    QsepError
        It cannot be read, or is no such file.
    UsageError
        The mido package is missing.
    """
    mido = mido_of(extra)
    try:
        file = mido.MidiFile(str(path), clip=True)
    except FileNotFoundError:
        raise QsepError(f"{path}: no such file") from None
    except Exception as error:  # mido raises whatever its parser stumbles on
        if isinstance(error, OSError) and error.errno is not None:
            raise QsepError(f"{path}: cannot be read: {error.strerror}") from None
        why = "it ends too early" if isinstance(error, EOFError) else str(error) or type(error).__name__
        raise QsepError(f"{path}: damaged or no MIDI file ({why})") from None
    if file.type == 2 or file.ticks_per_beat <= 0:
        raise QsepError(f"{path}: MIDI files of type 2, or timed by SMPTE frames, are not read; export it as type 1")
    return file


def mido_of(extra: str) -> Any:
    """The mido package, or a UsageError that names the extra which brings it."""
    try:
        import mido
    except ImportError:
        raise UsageError(f"MIDI files need the mido package: pip install 'qsep-live[{extra}]'") from None
    return mido

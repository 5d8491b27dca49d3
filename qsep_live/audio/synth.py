"""FluidSynth, offline: notes through a SoundFont's preset to mono sound.

Threading: `SoundFonts` may be used by several threads; each render has a synthesizer of its own.
"""

from __future__ import annotations

import ctypes
import difflib
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from qsep_live.errors import QsepError, UsageError

SUFFIXES = (".sf2", ".sf3")
RATES = (8_000, 96_000)
"""Hz, the range that FluidSynth renders at."""
TAIL = 4.0
"""Seconds that notes may ring on after the last event."""
DRUM_CHANNEL = 9
_DRUM_BANK = 128
_PIECE = 1 << 16
_LOG_LEVELS = 5


class Timed(Protocol):
    """A message (mido's), and when."""

    @property
    def seconds(self) -> float: ...

    @property
    def message(self) -> Any: ...


class Playable(Protocol):
    """What one General MIDI program plays; of a drum part, ``kit`` is the program."""

    @property
    def program(self) -> int: ...

    @property
    def kit(self) -> int: ...

    @property
    def is_drum(self) -> bool: ...

    @property
    def events(self) -> Sequence[Timed]: ...


class SoundFonts:
    """SoundFonts to choose presets from, by their General MIDI programs.

    Parameters
    ----------
    paths
        Files, each of which has been opened once when this returns.
    rate
        Hz that is rendered at.
    extra
        The extra of this package that brings pyfluidsynth, to name where it is missing.

    Raises
    ------
    UsageError
        FluidSynth is missing, or a file does not exist.
    QsepError
        A file is no SoundFont.
    """

    def __init__(self, paths: Sequence[Path], rate: int, extra: str = "train") -> None:
        self.paths, self._rate, self._extra = tuple(paths), rate, extra
        for path in self.paths:
            _check(path)
            with _quiet():
                synth, _ = self._open(path)
            synth.delete()

    def render(
        self, part: Playable, order: Sequence[int], seconds: float, progress: Callable[[float], None]
    ) -> tuple[Path, NDArray[np.float32]] | None:
        """Play ``part`` by the first SoundFont, of ``order``, that has its program.

        Parameters
        ----------
        order
            Indices of `paths`.
        seconds
            Length of the song; what rings on is kept for up to `TAIL` seconds more.
        progress
            Called with seconds of sound that were made since it was called last.

        Returns
        -------
        The SoundFont, and float32 (samples,) at least ``seconds`` long; None where no SoundFont has the program.
        """
        for index in order:
            synth, font = self._open(self.paths[index])
            try:
                if _select(synth, font, part):
                    sound = np.concatenate(list(_play(synth, part, self._rate, seconds, progress)))
                    return self.paths[index], sound
            finally:
                synth.delete()
        return None

    def _open(self, path: Path) -> tuple[Any, int]:
        settings = {"synth.dynamic-sample-loading": 1, "synth.cpu-cores": 1}
        synth = _library(self._extra).Synth(samplerate=float(self._rate), channels=16, **settings)
        font: int = synth.sfload(str(path))
        if font < 0:
            synth.delete()
            raise QsepError(f"{path}: damaged or no SoundFont ({', '.join(SUFFIXES)})")
        return synth, font


def find_soundfonts(names: Sequence[Path]) -> list[Path]:
    """The files of ``names``, folders searched through; one that has several names counts once.

    Raises
    ------
    UsageError
        A folder holds no SoundFont.
    """
    found: list[Path] = []
    for path in names:
        inside = (
            sorted(each for each in path.rglob("*") if each.suffix.lower() in SUFFIXES) if path.is_dir() else [path]
        )
        if not inside:
            raise UsageError(f"{path}: there is no SoundFont ({', '.join(SUFFIXES)}) in this folder")
        found += inside
    return list({path.resolve(): path for path in reversed(found)}.values())[::-1]


@cache
def _library(extra: str) -> Any:
    try:
        with redirect_stdout(None):  # pyfluidsynth prints where it found the library if CI is set
            import fluidsynth
    except ImportError as error:
        # The package is there and the library is not, or neither.
        missing = f"the pyfluidsynth package: pip install 'qsep-live[{extra}]'"
        if error.name != "fluidsynth":
            missing = "the FluidSynth library (Debian: apt-get install libfluidsynth3)"
        raise UsageError(f"rendering MIDI needs {missing}") from None
    pointer, number = ctypes.c_void_p, ctypes.c_int
    log = fluidsynth.cfunc(
        "fluid_set_log_function", pointer, ("level", number, 1), ("fun", pointer, 1), ("data", pointer, 1)
    )
    for level in range(_LOG_LEVELS):
        log(level, None, None)  # what is wrong is told here, in one line
    return fluidsynth


@cache
def _write_float() -> Any:
    """FluidSynth's output in float: its 16-bit one, the only one that pyfluidsynth wraps, clips."""
    import fluidsynth

    pointer, number = ctypes.c_void_p, ctypes.c_int
    sides = [
        (f"{side}{what}", pointer if what == "out" else number, 1) for side in "lr" for what in ("out", "off", "incr")
    ]
    return fluidsynth.cfunc("fluid_synth_write_float", number, ("synth", pointer, 1), ("len", number, 1), *sides)


@contextmanager
def _quiet() -> Iterator[None]:
    """Nothing on the process's stderr: the reader of DLS files, which FluidSynth tries next, complains there."""
    sys.stderr.flush()
    kept, nothing = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nothing)


def _check(path: Path) -> None:
    """What FluidSynth would tell on stderr in words of its own."""
    try:
        with path.open("rb") as file:
            head = file.read(12)
    except FileNotFoundError:
        near = difflib.get_close_matches(path.name, [each.name for each in path.parent.glob("*.sf?")], 1)
        hint = f" (did you mean {near[0]}?)" if near else ""
        raise UsageError(f"{path}: no such SoundFont{hint}") from None
    except OSError as error:
        raise QsepError(f"{path} cannot be read: {error.strerror or error}") from None
    if head[:4] != b"RIFF" or head[8:] != b"sfbk":
        raise QsepError(f"{path}: damaged or no SoundFont ({', '.join(SUFFIXES)})")
    said = int.from_bytes(head[4:8], "little") + 8
    if path.stat().st_size < said:
        raise QsepError(f"{path}: truncated: {path.stat().st_size:,} of {said:,} bytes")


def _select(synth: Any, font: int, part: Playable) -> bool:
    if not part.is_drum:
        return bool(synth.program_select(_channel(part), font, 0, part.program) == 0)
    # A kit that a SoundFont has not got is played by its standard kit, as synthesizers do.
    return any(synth.program_select(DRUM_CHANNEL, font, _DRUM_BANK, kit) == 0 for kit in (part.kit, 0))


def _channel(part: Playable) -> int:
    return DRUM_CHANNEL if part.is_drum else 0


def _play(
    synth: Any, part: Playable, rate: int, seconds: float, progress: Callable[[float], None]
) -> Iterator[NDArray[np.float32]]:
    channel, done = _channel(part), 0
    for event in part.events:
        yield from _samples(synth, round(event.seconds * rate) - done, rate, progress)
        done = max(done, round(event.seconds * rate))
        _send(synth, channel, event.message)
    yield from _samples(synth, round(seconds * rate) - done, rate, progress)
    synth.cc(channel, 64, 0)
    synth.all_notes_off(channel)
    left = round(TAIL * rate)
    while left > 0 and synth.get_active_voice_count():
        count = min(left, rate // 4)
        yield from _samples(synth, count, rate, progress)
        left -= count


def _send(synth: Any, channel: int, message: Any) -> None:
    match message.type:
        case "note_on" if message.velocity:
            synth.noteon(channel, message.note, message.velocity)
        case "note_on" | "note_off":
            synth.noteoff(channel, message.note)
        case "control_change":
            synth.cc(channel, message.control, message.value)
        case "pitchwheel":
            synth.pitch_bend(channel, message.pitch)


def _samples(synth: Any, count: int, rate: int, progress: Callable[[float], None]) -> Iterator[NDArray[np.float32]]:
    while count > 0:
        size = min(count, _PIECE)
        block = np.zeros((size, 2), np.float32)
        left = block.ctypes.data
        _write_float()(synth.synth, size, left, 0, 2, left, 1, 2)
        yield block.mean(axis=1)
        progress(size / rate)
        count -= size

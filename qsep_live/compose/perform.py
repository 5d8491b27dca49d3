"""Melodies to sound, by a SoundFont, and to a MIDI port in time.

Threading: one thread makes every call; `play` sleeps in it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from qsep_live.audio.synth import SUFFIXES, SoundFonts
from qsep_live.compose.melody import BAR, Melody
from qsep_live.errors import QsepError, UsageError
from qsep_live.open_midi import mido_of

VELOCITY = 90
_PEAK = 10.0 ** (-3.0 / 20.0)
_FOLDERS = ("/usr/share/sounds/sf2", "/usr/share/soundfonts", "/usr/local/share/soundfonts")
_EXTRA = "compose"
_NOTE_ON, _NOTE_OFF, _CONTROL, _PROGRAM = 0x90, 0x80, 0xB0, 0xC0
_ALL_NOTES_OFF = 123
_NAP = 0.02
"""Seconds after which a player looks again whether it is to stop."""


class Output(Protocol):
    """Where `play` sends MIDI to."""

    def send(self, message: bytes) -> None: ...


@dataclass(frozen=True)
class Event:
    """A note that begins or ends."""

    seconds: float
    pitch: int
    begins: bool

    @property
    def message(self) -> Any:
        """As mido has it."""
        kind = "note_on" if self.begins else "note_off"
        return mido_of(_EXTRA).Message(kind, note=self.pitch, velocity=VELOCITY if self.begins else 0)

    @property
    def data(self) -> bytes:
        """As it goes over the wire, on channel 1."""
        return bytes([_NOTE_ON if self.begins else _NOTE_OFF, self.pitch, VELOCITY if self.begins else 0])


@dataclass(frozen=True)
class Tune:
    """A melody at a tempo on a General MIDI program: what a SoundFont plays."""

    melody: Melody
    bpm: float
    program: int
    kit: int = 0
    is_drum: bool = False

    @property
    def seconds(self) -> float:
        return self.melody.steps * self._step

    @property
    def events(self) -> Sequence[Event]:
        """In time order; a note ends before the next one begins."""
        found = []
        for note in self.melody.notes:
            found.append(Event(note.start * self._step, note.pitch, True))
            found.append(Event(note.end * self._step, note.pitch, False))
        return found

    @property
    def _step(self) -> float:
        return 4.0 * 60.0 / self.bpm / BAR


def find_soundfont() -> Path:
    """The first SoundFont in the usual folders, by name.

    Raises
    ------
    UsageError
        There is none.
    """
    found = [path for folder in _FOLDERS if Path(folder).is_dir() for path in sorted(Path(folder).iterdir())]
    for path in found:
        if path.suffix.lower() in SUFFIXES:
            return path
    raise UsageError("no SoundFont found; give --soundfont FILE.sf2 (Debian: apt-get install timgm6mb-soundfont)")


def render(tune: Tune, soundfont: Path, rate: int) -> NDArray[np.float32]:
    """``tune`` as mono sound, ``(samples,)``, peak -3 dBFS; silent where it has no notes.

    Raises
    ------
    UsageError
        FluidSynth or the file is missing.
    QsepError
        The file is no SoundFont, or has no such program.
    """
    found = SoundFonts([soundfont], rate, _EXTRA).render(tune, [0], tune.seconds, lambda _: None)
    if found is None:
        raise QsepError(f"{soundfont}: has no program {tune.program}; choose another --program or --soundfont")
    _, sound = found
    peak = float(np.abs(sound).max(initial=0.0))
    return sound * np.float32(_PEAK / peak) if peak > 0.0 else sound


def play(
    tune: Tune, output: Output, wish: Callable[[], bool], clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> bool:  # fmt: skip
    """Send ``tune`` in time; False where ``wish`` ended it before. No note is left sounding, come what may.

    An event that is late does not make the next ones late: all are timed from the beginning.
    """
    began, on = clock(), None
    try:
        output.send(bytes([_PROGRAM, tune.program]))
        for event in tune.events:
            if not _wait(began + event.seconds, wish, clock, sleep):
                return False
            output.send(event.data)
            on = event.pitch if event.begins else None
        return _wait(began + tune.seconds, wish, clock, sleep)
    finally:
        if on is not None:
            output.send(Event(0.0, on, False).data)
        output.send(bytes([_CONTROL, _ALL_NOTES_OFF, 0]))


def _wait(until: float, wish: Callable[[], bool], clock: Callable[[], float], sleep: Callable[[float], None]) -> bool:
    while (left := until - clock()) > 0.0:
        if wish():
            return False
        sleep(min(left, _NAP))
    return not wish()

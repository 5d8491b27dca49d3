"""Melodies out of MIDI files and into them."""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from qsep_live.compose.beats import bar_start, grid_phase
from qsep_live.compose.melody import BAR, BARS, HIGHEST, LOWEST, Melody, Note, into_range
from qsep_live.compose.top_line import Line, choose_melody, top_line
from qsep_live.errors import QsepError
from qsep_live.open_midi import mido_of, open_midi
from qsep_live.whole_file import write_whole

if TYPE_CHECKING:
    from mido import MidiFile, MidiTrack

DRUMS = 9
LONGEST = 4000
"""Bars; a damaged file may ask for any number."""
LEAST_CONCORD = 0.5
_TICKS = 480
_EXTRA = "compose"


@dataclass(frozen=True)
class Found:
    """A melody, and how it was found.

    Attributes
    ----------
    bpm
        Quarters a minute, at the beginning.
    remarks
        What was changed on the way, for the user.
    """

    path: Path
    melody: Melody
    bpm: float
    remarks: tuple[str, ...]

    def sixteen_bars(self, bar: int = 0) -> Melody:
        """16 bars from ``bar`` on. Raises QsepError where there are fewer."""
        if self.melody.bars < bar + BARS:
            raise QsepError(f"{self.path}: has {_bars(self.melody.bars)}; a melody here has {BARS}, give a longer one")
        return self.melody.window(bar)


@dataclass(frozen=True)
class _Played:
    """A note in steps, as exactly as the file has it."""

    start: float
    length: float
    pitch: int


def read_melody(path: Path) -> Found:
    """The melody of a MIDI file, on the grid, from the first bar that has a note.

    Raises
    ------
    QsepError
        The file cannot be read, is no MIDI file, has no notes or drums only, or is not in 4/4 (2/4, 2/2, 1/4 count).
    UsageError
        The mido package is missing.
    """
    file = open_midi(path, _EXTRA)
    _require_duple(path, file)
    parts, drums = _parts(file)
    if not parts:
        raise QsepError(f"{path}: has {'drums only: no melody' if drums else 'no notes'}; give a file with a melody")
    everything = [note for _, _, notes in parts for note in notes]
    phase, concord = grid_phase(np.array([note.start for note in everything]))
    if concord < LEAST_CONCORD:
        raise QsepError(
            f"{path}: its notes do not fall on sixteenths of its beats (concord {concord:.2f}, at least"
            f" {LEAST_CONCORD:.2f}); quantise it first, or export it with its tempo"
        )
    steps = np.array([round(note.start - phase) for note in everything])
    accents = np.array([min(note.length, BAR) * (1.0 + (note.pitch < 55)) for note in everything])
    # A bar early, so that a pick-up has one.
    origin = phase + bar_start(steps, accents, phase, _signatures(file) != {(1, 4)}) - BAR
    lines = [Line(name, program, _on_grid(notes, origin)) for name, program, notes in parts]
    length = max(note.end for line in lines for note in line.notes)
    chosen = choose_melody(lines, length)
    kept = top_line(chosen.notes)
    if kept[-1].end > LONGEST * BAR:
        raise QsepError(f"{path}: lasts {kept[-1].end // BAR} bars, and {LONGEST} is the most; is it damaged?")
    remarks = []
    if len(kept) < len(chosen.notes):
        remarks.append(
            f"{path}: the melody is polyphonic: reduced to its top line, {len(kept)} of {len(chosen.notes)} notes"
        )
    folded = [note._replace(pitch=into_range(note.pitch)) for note in kept]
    if moved := sum(note.pitch != other.pitch for note, other in zip(kept, folded, strict=True)):
        remarks.append(f"{path}: {moved} notes outside of MIDI pitches {LOWEST} to {HIGHEST} were moved by octaves")
    first = kept[0].start // BAR * BAR
    notes = tuple(note._replace(start=note.start - first) for note in folded)
    bars = -(-notes[-1].end // BAR)
    return Found(path, Melody(notes, bars * BAR), _bpm(file), tuple(remarks))


def write_melody(path: Path, melody: Melody, bpm: float = 120.0, program: int = 0, velocity: int = 90) -> None:
    """Write ``melody`` as a MIDI file in 4/4.

    Raises
    ------
    QsepError
        It cannot be written.
    UsageError
        The mido package is missing.
    """
    mido = mido_of(_EXTRA)
    step = _TICKS * 4 // BAR
    track = mido.MidiTrack()
    track.append(mido.MetaMessage("track_name", name="melody"))
    track.append(mido.MetaMessage("set_tempo", tempo=mido.bpm2tempo(bpm)))
    track.append(mido.MetaMessage("time_signature", numerator=4, denominator=4))
    track.append(mido.Message("program_change", program=program))
    now = 0
    for note in melody.notes:
        track.append(mido.Message("note_on", note=note.pitch, velocity=velocity, time=(note.start - now) * step))
        track.append(mido.Message("note_off", note=note.pitch, time=note.length * step))
        now = note.end
    track.append(mido.MetaMessage("end_of_track", time=(melody.steps - now) * step))
    data = BytesIO()
    mido.MidiFile(type=0, ticks_per_beat=_TICKS, tracks=[track]).save(file=data)
    write_whole(path, data.getvalue())


def _signatures(file: MidiFile) -> set[tuple[int, int]]:
    found = {
        (message.numerator, message.denominator)
        for track in file.tracks
        for message in track
        if message.type == "time_signature"
    }
    return found or {(4, 4)}  # what a file means that says nothing (Standard MIDI Files 1.0)


def _require_duple(path: Path, file: MidiFile) -> None:
    for numerator, denominator in sorted(_signatures(file)):
        if numerator not in (1, 2, 4) or denominator not in (2, 4):
            raise QsepError(f"{path}: is in {numerator}/{denominator}, at least in part; only 4/4 (2/4, 2/2) is read")


def _bpm(file: MidiFile) -> float:
    tempos = (message.tempo for track in file.tracks for message in track if message.type == "set_tempo")
    return 60e6 / max(1, next(tempos, 500_000))


def _parts(file: MidiFile) -> tuple[list[tuple[str, int, list[_Played]]], bool]:
    """Name, program and notes of each channel of each track, and whether there were drums."""
    per_step = file.ticks_per_beat * 4 / BAR
    parts, drums = [], False
    for track in file.tracks:
        for channel, (program, notes) in _channels(track, per_step).items():
            if channel == DRUMS:
                drums = True
            else:
                parts.append((str(track.name), program, notes))
    return parts, drums


def _channels(track: MidiTrack, per_step: float) -> dict[int, tuple[int, list[_Played]]]:
    programs = [0] * 16
    sounding: dict[tuple[int, int], list[int]] = {}
    found: dict[int, tuple[int, list[_Played]]] = {}
    tick = 0
    for message in track:
        tick += message.time
        if message.type == "program_change":
            programs[message.channel] = message.program
        elif message.type in ("note_on", "note_off"):
            key = message.channel, message.note
            if message.type == "note_on" and message.velocity:
                sounding.setdefault(key, []).append(tick)
            elif sounding.get(key):
                begun = sounding[key].pop(0)
                _, notes = found.setdefault(message.channel, (programs[message.channel], []))
                notes.append(_Played(begun / per_step, (tick - begun) / per_step, message.note))
    return found


def _on_grid(notes: list[_Played], origin: float) -> tuple[Note, ...]:
    """Starts and ends to the nearest step; what is left of nothing lasts a step."""
    starts = [(round(note.start - origin), round(note.start + note.length - origin), note.pitch) for note in notes]
    return tuple(sorted(Note(start, max(1, end - start), pitch) for start, end, pitch in starts))


def _bars(count: int) -> str:
    return f"{count} bar{'' if count == 1 else 's'}"

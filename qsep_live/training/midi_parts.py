"""A MIDI file taken apart: one part for each program on each channel, with its velocities and controllers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from qsep_live.audio.synth import DRUM_CHANNEL
from qsep_live.errors import QsepError
from qsep_live.open_midi import open_midi
from qsep_live.training.general_midi import DRUM_PROGRAM, program_name

if TYPE_CHECKING:
    from mido import Message, MidiFile, MidiTrack

LONGEST = 20 * 60
"""Seconds that a file may last: all stems of it are in memory at once, and a damaged file may ask for years."""
_BANK_SELECT = (0, 32)
_KEPT_META = ("set_tempo", "time_signature", "key_signature", "track_name", "marker", "lyrics")


@dataclass(frozen=True)
class Event:
    """A message, and when: in ticks as the file counts, and in seconds."""

    tick: int
    seconds: float
    message: Message


@dataclass(frozen=True)
class Part:
    """The notes of one program on one channel.

    Attributes
    ----------
    program
        0 to 127; of the drum channel, which is Slakh's `DRUM_PROGRAM`.
    kit
        The drum channel's own program: which kit; 0 elsewhere.
    """

    channel: int
    program: int
    kit: int
    events: tuple[Event, ...]

    @property
    def is_drum(self) -> bool:
        return self.program == DRUM_PROGRAM

    def __str__(self) -> str:
        """What a person calls its program."""
        return f"drum kit {self.kit}" if self.is_drum else f"program {self.program} ({program_name(self.program)})"


@dataclass(frozen=True)
class Score:
    """What a MIDI file holds: parts in the order of their first notes, and the length until the last event."""

    path: Path
    ticks_per_beat: int
    meta: tuple[Event, ...]
    parts: tuple[Part, ...]
    seconds: float

    def part_file(self, part: Part) -> MidiFile:
        """``part`` as a MIDI file of its own, with the tempo of the whole."""
        import mido

        file = mido.MidiFile(type=1, ticks_per_beat=self.ticks_per_beat)
        file.tracks.append(_track(self.meta))
        program = part.kit if part.is_drum else part.program
        track = _track(part.events)
        track.insert(0, mido.Message("program_change", channel=part.channel, program=program))
        track.insert(0, mido.MetaMessage("track_name", name=program_name(part.program)))
        file.tracks.append(track)
        return file


def read_score(path: Path) -> Score:
    """Take a MIDI file apart.

    Controllers and pitch bends of a channel go to all its parts. Bank selects are left out: what they choose is not
    part of General MIDI, and few SoundFonts have it.

    Raises
    ------
    QsepError
        The file cannot be read, is no MIDI file, has no notes, or lasts longer than `LONGEST`.
    UsageError
        The mido package is missing.
    """
    file = open_midi(path, "train")
    events = _timed(file)
    parts = _parts(events)
    if not parts:
        raise QsepError(f"{path}: has no notes")
    seconds = max(part.events[-1].seconds for part in parts)
    if seconds > LONGEST:
        raise QsepError(f"{path}: lasts {seconds / 60:.0f} minutes, and {LONGEST // 60} is the most; is it damaged?")
    meta = tuple(event for event in events if event.message.type in _KEPT_META)
    return Score(path, file.ticks_per_beat, meta, parts, seconds)


def _timed(file: MidiFile) -> list[Event]:
    import mido

    events, tick, seconds, tempo = [], 0, 0.0, 500_000
    for message in mido.merge_tracks(file.tracks):
        tick += message.time
        seconds += mido.tick2second(message.time, file.ticks_per_beat, tempo)
        if message.type == "set_tempo":
            tempo = message.tempo
        events.append(Event(tick, seconds, message.copy(time=0)))
    return events


def _parts(events: list[Event]) -> tuple[Part, ...]:
    """Parts by channel and program; a note's end goes to the part that began it."""
    programs = [0] * 16
    notes: dict[tuple[int, int], list[int]] = {}
    controls: dict[int, list[int]] = {}
    open_notes: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for index, event in enumerate(events):
        message = event.message
        if message.is_meta or not hasattr(message, "channel"):
            continue
        channel = message.channel
        if message.type == "program_change":
            programs[channel] = message.program
        elif message.type == "note_on" and message.velocity:
            part = (channel, programs[channel])
            notes.setdefault(part, []).append(index)
            open_notes.setdefault((channel, message.note), []).append(part)
        elif message.type in ("note_on", "note_off"):
            if begun := open_notes.get((channel, message.note)):
                notes[begun.pop(0)].append(index)
        elif message.type != "control_change" or message.control not in _BANK_SELECT:
            controls.setdefault(channel, []).append(index)
    parts = []
    for (channel, program), own in notes.items():
        drums = channel == DRUM_CHANNEL
        chosen = tuple(events[index] for index in sorted([*own, *controls.get(channel, [])]))
        parts.append(Part(channel, DRUM_PROGRAM if drums else program, program if drums else 0, chosen))
    return tuple(parts)


def _track(events: tuple[Event, ...]) -> MidiTrack:
    import mido

    track, tick = mido.MidiTrack(), 0
    for event in events:
        track.append(event.message.copy(time=event.tick - tick))
        tick = event.tick
    return track

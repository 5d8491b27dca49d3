"""Raw MIDI bytes to small frozen messages, by one table.

Channels are 1 to 16, as printed on the gear; everything else is what the wire says.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

CHANNELS = range(1, 17)
DATA = range(128)
PITCH = range(-8192, 8192)


@dataclass(frozen=True, slots=True)
class NoteOff:
    """A key went up. A note-on of velocity 0 reads as this too, as the MIDI specification asks."""

    channel: int
    note: int
    velocity: int


@dataclass(frozen=True, slots=True)
class NoteOn:
    """A key went down; ``velocity`` is 1 to 127."""

    channel: int
    note: int
    velocity: int


@dataclass(frozen=True, slots=True)
class PolyPressure:
    """The pressure on one held key changed."""

    channel: int
    note: int
    pressure: int


@dataclass(frozen=True, slots=True)
class ControlChange:
    """A knob, slider or pedal moved."""

    channel: int
    control: int
    value: int


@dataclass(frozen=True, slots=True)
class ProgramChange:
    """A program was picked; ``program`` counts from 0, as on the wire."""

    channel: int
    program: int


@dataclass(frozen=True, slots=True)
class ChannelPressure:
    """The pressure on all held keys changed."""

    channel: int
    pressure: int


@dataclass(frozen=True, slots=True)
class PitchBend:
    """The bend wheel moved; ``pitch`` is -8192 to 8191, 0 at rest."""

    channel: int
    pitch: int


Message = NoteOff | NoteOn | PolyPressure | ControlChange | ProgramChange | ChannelPressure | PitchBend


class Spec(NamedTuple):
    """How one kind of message looks on the wire: its length in bytes, and what its data bytes make."""

    length: int
    make: Callable[..., Message]


def _note_on(channel: int, note: int, velocity: int) -> Message:
    return NoteOn(channel, note, velocity) if velocity else NoteOff(channel, note, velocity)


def _pitch_bend(channel: int, low: int, high: int) -> Message:
    return PitchBend(channel, (high << 7 | low) + PITCH.start)


SPECS: dict[int, Spec] = {
    0x80: Spec(3, NoteOff),
    0x90: Spec(3, _note_on),
    0xA0: Spec(3, PolyPressure),
    0xB0: Spec(3, ControlChange),
    0xC0: Spec(2, ProgramChange),
    0xD0: Spec(2, ChannelPressure),
    0xE0: Spec(3, _pitch_bend),
}


def parse(data: bytes) -> Message | None:
    """The one channel message that ``data`` is, or None.

    Never raises: system messages, running status, a wrong length and data bytes above 127 are all None.
    """
    if not data:
        return None
    spec = SPECS.get(data[0] & 0xF0)
    if spec is None or len(data) != spec.length or any(byte > DATA[-1] for byte in data[1:]):
        return None
    return spec.make((data[0] & 0x0F) + 1, *data[1:])

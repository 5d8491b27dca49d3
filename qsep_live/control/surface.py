"""All the knobs, keys and programs of the gear, turned into changes of parameters and presets.

Threading: one thread owns a `ControlSurface`; the clock is passed in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from qsep_live.control.mapping import Control, Mapping, Pick
from qsep_live.control.midi import ControlChange, Message, NoteOn, ProgramChange, parse
from qsep_live.control.takeover import SoftTakeover
from qsep_live.dsp.parameter import Parameter


@dataclass(frozen=True, slots=True)
class SetParameter:
    """Move the parameter ``name`` to ``value``, in the parameter's unit."""

    name: str
    value: float


@dataclass(frozen=True, slots=True)
class PickPreset:
    """Go to the preset ``name``."""

    name: str


Change = SetParameter | PickPreset


class _Pair:
    """The two halves of a controller on one channel.

    The value is always made of the newest of both, so it ends right whichever half the gear sends first.
    Until a fine half was ever seen the coarse one spans the whole travel.
    """

    def __init__(self) -> None:
        self.coarse: int | None = None
        self.fine: int | None = None

    @property
    def travel(self) -> float | None:
        """0 to 1, or None before the first coarse half."""
        if self.coarse is None:
            return None
        if self.fine is None:
            return self.coarse / 127
        return (self.coarse << 7 | self.fine) / 16383


class _Knob:
    """One control of the mapping at work."""

    def __init__(self, control: Control, parameter: Parameter) -> None:
        self.control = control
        self.parameter = control.ranged(parameter)
        self.takeover = SoftTakeover() if control.takeover else None
        self.pairs: dict[int, _Pair] = {}

    def turn(self, message: ControlChange) -> float | None:
        """The knob's new position as the parameter's travel; None when this message is not about it."""
        control = self.control
        if message.control not in (control.cc, control.fine) or not _hears(control.channel, message):
            return None
        pair = self.pairs.setdefault(message.channel, _Pair())
        if message.control == control.cc:
            pair.coarse = message.value
        else:
            pair.fine = message.value
        travel = pair.travel
        return travel if travel is None or not control.invert else 1 - travel


def _hears(channel: int | None, message: Message) -> bool:
    return channel is None or channel == message.channel


class ControlSurface:
    """A mapping at work on the parameters and presets of a session.

    Parameters
    ----------
    mapping
        What the gear does.
    parameters
        Everything that can be moved; each stands at its default until `moved` says otherwise.
    preset_names
        The chosen presets, in the order in which programs and notes count them.

    Raises
    ------
    UsageError
        The mapping names a parameter or a preset that is not there.
    """

    def __init__(self, mapping: Mapping, parameters: Sequence[Parameter], preset_names: Sequence[str]) -> None:
        mapping.check(parameters, preset_names)
        self._mapping = mapping
        self._presets = tuple(preset_names)
        known = {parameter.name: parameter for parameter in parameters}
        self._values = {parameter.name: parameter.default for parameter in parameters}
        self._knobs = [_Knob(control, known[control.parameter]) for control in mapping.controls]

    def handle(self, message: bytes, now: float) -> list[Change]:
        """What one raw MIDI message changes; nothing for bytes that are no message or mean nothing here.

        ``now`` is when it came, on any monotonic clock in seconds.
        """
        event = parse(message)
        if isinstance(event, ControlChange):
            return self._turn(event, now)
        if isinstance(event, ProgramChange | NoteOn):
            name = self._preset(event)
            return [] if name is None else [PickPreset(name)]
        return []

    def moved(self, name: str, value: float) -> None:
        """Take note that the parameter now stands at ``value`` because something else moved it.

        Raises KeyError for a parameter that is not there.
        """
        if name not in self._values:
            raise KeyError(f"no parameter '{name}'")
        self._values[name] = value

    def _turn(self, message: ControlChange, now: float) -> list[Change]:
        changes: list[Change] = []
        for knob in self._knobs:
            travel = knob.turn(message)
            if travel is None:
                continue
            name = knob.parameter.name
            position = knob.parameter.to_travel(self._values[name])
            if knob.takeover is None or knob.takeover.accepts(position, travel, now):
                self._values[name] = knob.parameter.from_travel(travel)
                changes.append(SetParameter(name, self._values[name]))
        return changes

    def _preset(self, message: ProgramChange | NoteOn) -> str | None:
        for pick in self._mapping.picks:
            if _hears(pick.channel, message) and _means(pick, message):
                return pick.preset
        if isinstance(message, ProgramChange):
            place = message.program if self._mapping.program_change else -1
        else:
            place = -1 if self._mapping.notes is None else message.note - self._mapping.notes
        return self._presets[place] if 0 <= place < len(self._presets) else None


def _means(pick: Pick, message: ProgramChange | NoteOn) -> bool:
    if isinstance(message, ProgramChange):
        return pick.program == message.program
    return pick.note == message.note

"""Which knob moves which parameter, and which note or program picks which preset."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from qsep_live.dsp.parameter import Parameter
from qsep_live.errors import UsageError

FIRST_NOTE = 36
SMOOTHING = 0.03


@dataclass(frozen=True)
class Control:
    """A controller that moves a parameter.

    Parameters
    ----------
    cc
        Controller number, 0 to 127. Of a 14-bit pair: the coarse one.
    parameter
        The name of the parameter.
    channel
        1 to 16; None hears all.
    minimum, maximum
        The part of the parameter's range that the knob's travel covers, in its unit; None for its own end.
    invert
        Whether turning up moves the parameter down.
    takeover
        Whether the knob must first meet the parameter where it stands.
    fine
        The controller number of the pair's fine half; None for an ordinary 7-bit knob.
    where
        The place in the file, for messages.
    """

    cc: int
    parameter: str
    channel: int | None = None
    minimum: float | None = None
    maximum: float | None = None
    invert: bool = False
    takeover: bool = True
    fine: int | None = None
    where: str = field(default="the default mapping", compare=False)

    def ranged(self, parameter: Parameter) -> Parameter:
        """``parameter`` narrowed to what the knob's travel covers; UsageError if that is not in its range."""
        low = parameter.minimum if self.minimum is None else self.minimum
        high = parameter.maximum if self.maximum is None else self.maximum
        if not parameter.minimum <= low < high <= parameter.maximum:
            raise UsageError(
                f"{self.where}: {low:g} to {high:g} is no part of the range of '{parameter.name}', "
                f"{parameter.minimum:g} to {parameter.maximum:g} {parameter.unit}".rstrip()
                + " (minimum must be below maximum; use invert to turn a knob round)"
            )
        default = min(high, max(low, parameter.default))
        return Parameter(parameter.name, low, high, default, parameter.unit, parameter.scale)


@dataclass(frozen=True)
class Pick:
    """A note or a program (exactly one of the two, 0 to 127) that picks a preset; channel as in `Control`."""

    preset: str
    note: int | None = None
    program: int | None = None
    channel: int | None = None
    where: str = field(default="the default mapping", compare=False)


@dataclass(frozen=True)
class Mapping:
    """What the MIDI gear does.

    Parameters
    ----------
    controls, picks
        In the order of the file. A pick goes before ``program_change`` and ``notes``.
    program_change
        Whether program N picks the N-th chosen preset (the wire counts from 0, most gear shows from 1).
    notes
        The note that picks the first chosen preset; the next one picks the second, and so on. None: none do.
    smoothing
        Time constant of the glide of a parameter to a knob's new value, in seconds.
    """

    controls: tuple[Control, ...] = ()
    picks: tuple[Pick, ...] = ()
    program_change: bool = True
    notes: int | None = FIRST_NOTE
    smoothing: float = SMOOTHING

    @staticmethod
    def default() -> Mapping:
        """Mod wheel morphs, volume is the gain, effect depth is dry/wet."""
        return Mapping(controls=(Control(1, "morph"), Control(7, "gain"), Control(91, "wet")))

    @staticmethod
    def load(path: Path | str) -> Mapping:
        """The mapping in a TOML file.

        Raises
        ------
        UsageError
            The file cannot be read, is no TOML, or says something a mapping does not know.
        """
        from qsep_live.control.mapping_file import read

        return read(Path(path))

    def check(self, parameters: Iterable[Parameter], presets: Sequence[str]) -> None:
        """Raise UsageError, listing what exists, when a parameter or preset that is named does not."""
        known = {parameter.name: parameter for parameter in parameters}
        for control in self.controls:
            if control.parameter not in known:
                raise UsageError(unknown(control.where, "parameter", control.parameter, known))
            control.ranged(known[control.parameter])
        for pick in self.picks:
            if pick.preset not in presets:
                raise UsageError(unknown(pick.where, "preset", pick.preset, presets))


def unknown(where: str, what: str, name: str, known: Iterable[str]) -> str:
    """One line on a name that is not among the known ones."""
    names = sorted(known)
    nearest = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"; did you mean '{nearest[0]}'?" if nearest else "."
    return f"{where}: unknown {what} {name!r}{hint} There are: {', '.join(names) or 'none'}"

"""Mapping files: TOML, where every mistake is told with the file, the line and what would be right."""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from qsep_live.control.mapping import Control, Mapping, Pick, unknown
from qsep_live.control.midi import CHANNELS, DATA
from qsep_live.errors import UsageError

SCHEMA = 1


def read(path: Path) -> Mapping:
    """The mapping in the file; UsageError when it cannot be read, is no TOML, or is no mapping."""
    return _Reader(path).mapping()


class _WrongValueError(ValueError):
    """What would be right; the reader adds the place and the key."""


def _shown(value: object) -> str:
    try:
        text = repr(value)
    except ValueError:
        return "a number of thousands of digits"
    return text if len(text) <= 40 else text[:40] + "…"


def _integer(legal: range) -> Callable[[Any], int]:
    def check(value: Any) -> int:
        if type(value) is not int or value not in legal:
            raise _WrongValueError(f"an integer from {legal[0]} to {legal[-1]}")
        return value

    return check


def _schema(value: Any) -> int:
    if type(value) is not int or value != SCHEMA:
        raise _WrongValueError(f"{SCHEMA}, the only one this version knows")
    return value


def _number(low: float = -math.inf, high: float = math.inf) -> Callable[[Any], float]:
    legal = f" from {low:g} to {high:g}" if math.isfinite(low) else ""

    def check(value: Any) -> float:
        try:
            if type(value) in (int, float) and math.isfinite(value) and low <= value <= high:
                return float(value)
        except OverflowError:
            pass
        raise _WrongValueError(f"a number{legal}")

    return check


def _flag(value: Any) -> bool:
    if type(value) is not bool:
        raise _WrongValueError("true or false")
    return value


def _name(value: Any) -> str:
    if type(value) is not str or not value:
        raise _WrongValueError("a name in quotes")
    return value


def _first_note(value: Any) -> int | None:
    if value is False:
        return None
    if type(value) is not int or value not in DATA:
        raise _WrongValueError("the first note, an integer from 0 to 127, or false")
    return value


def _tables(value: Any) -> list[dict[str, Any]]:
    if type(value) is not list or not all(type(entry) is dict for entry in value):
        raise _WrongValueError("a list of tables, each under a header in double brackets")
    return value


_Keys = dict[str, Callable[[Any], Any]]

_TOP: _Keys = {
    "schema": _schema,
    "program_change": _flag,
    "notes": _first_note,
    "smoothing": _number(0, 10),
    "control": _tables,
    "preset": _tables,
}
_CONTROL: _Keys = {
    "cc": _integer(DATA),
    "channel": _integer(CHANNELS),
    "parameter": _name,
    "minimum": _number(),
    "maximum": _number(),
    "invert": _flag,
    "takeover": _flag,
    "fine": _integer(DATA),
    "bits14": _flag,
}
_PRESET: _Keys = {
    "note": _integer(DATA),
    "program": _integer(DATA),
    "channel": _integer(CHANNELS),
    "preset": _name,
}


class _Reader:
    """One pass over one file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            data = path.read_bytes()
        except OSError as error:
            raise UsageError(f"cannot read the mapping file {path}: {error.strerror or error}") from error
        try:
            text = data.decode("utf-8-sig")
            self._document = tomllib.loads(text)
        except UnicodeDecodeError as error:
            raise self._error(data.count(b"\n", 0, error.start) + 1, "the text is not UTF-8") from error
        except tomllib.TOMLDecodeError as error:
            reason, _, place = str(error).partition(" (at ")
            line = re.match(r"line (\d+)", place)
            raise self._error(
                int(line[1]) if line else len(text.rstrip().split("\n")), f"no valid TOML: {reason}"
            ) from error
        except (RecursionError, ValueError) as error:
            raise self._error(1, "no valid TOML: a number too long, or nested too deeply") from error
        self._lines = text.split("\n")

    def mapping(self) -> Mapping:
        """What the file says."""
        if "schema" not in self._document:
            raise self._error(1, f"'schema' is missing; write: schema = {SCHEMA}")
        # First, because another schema has other keys.
        self._checked({"schema": self._document["schema"]}, _TOP, None, 0)
        top = self._checked(self._document, _TOP, None, 0)
        tables = {name: top.pop(name, []) for name in ("control", "preset")}
        top.pop("schema")
        controls = tuple(self._control(table, index) for index, table in enumerate(tables["control"]))
        picks = tuple(self._pick(table, index) for index, table in enumerate(tables["preset"]))
        self._refuse_clashes(controls)
        return Mapping(controls, picks, **top)

    def _control(self, table: dict[str, Any], index: int) -> Control:
        values = self._checked(table, _CONTROL, "control", index)
        self._require(values, "control", index, "cc")
        self._require(values, "control", index, "parameter")
        if values.pop("bits14", False):
            line = self._line("bits14", "control", index)
            if values["cc"] > 31:
                raise self._error(line, f"a 14-bit pair starts at a cc from 0 to 31, not {values['cc']}")
            if values.setdefault("fine", values["cc"] + 32) != values["cc"] + 32:
                raise self._error(line, "with 'fine' leave 'bits14' out: it would mean cc + 32")
        if values.get("fine") == values["cc"]:
            raise self._error(self._line("fine", "control", index), "'fine' must be another cc than 'cc'")
        if not values.get("minimum", -math.inf) < values.get("maximum", math.inf):
            line = self._line("minimum", "control", index)
            raise self._error(line, "'minimum' must be below 'maximum'; use invert = true to turn a knob round")
        return Control(**values, where=self._where(self._line("parameter", "control", index)))

    def _pick(self, table: dict[str, Any], index: int) -> Pick:
        values = self._checked(table, _PRESET, "preset", index)
        self._require(values, "preset", index, "preset")
        if ("note" in values) == ("program" in values):
            raise self._error(self._line(None, "preset", index), "a preset needs either 'note' or 'program'")
        return Pick(**values, where=self._where(self._line("preset", "preset", index)))

    def _refuse_clashes(self, controls: Sequence[Control]) -> None:
        """A number is part of one knob only, and one knob moves a parameter once."""
        for index, control in enumerate(controls):
            for other in controls[:index]:
                if None not in (control.channel, other.channel) and control.channel != other.channel:
                    continue
                line = self._line("cc", "control", index)
                if (control.cc, control.parameter) == (other.cc, other.parameter):
                    raise self._error(line, f"cc {control.cc} moves '{control.parameter}' already")
                shared = ({control.cc, control.fine} & {other.cc, other.fine}) - {None}
                if control.cc != other.cc and shared:
                    raise self._error(line, f"cc {shared.pop()} belongs to a 14-bit pair already")

    def _checked(self, table: dict[str, Any], keys: _Keys, section: str | None, index: int) -> dict[str, Any]:
        values = {}
        for key, value in table.items():
            line = self._line(key, section, index)
            if key not in keys:
                raise UsageError(unknown(self._where(line), "key", key, keys))
            try:
                values[key] = keys[key](value)
            except _WrongValueError as error:
                raise self._error(line, f"'{key}' must be {error}, not {_shown(value)}") from error
        return values

    def _require(self, values: dict[str, Any], section: str, index: int, key: str) -> None:
        if key not in values:
            raise self._error(self._line(None, section, index), f"this {section} has no '{key}'")

    def _line(self, key: str | None, section: str | None, index: int) -> int:
        """The line of a key in the index-th table of a section, by its look; of the table itself for None."""
        start, stop = 0, len(self._lines)
        name = rf"[\"']?{re.escape(key or '')}[\"']?\s*"
        if section is not None:
            heads = self._matching(rf"\[\[\s*[\"']?{section}[\"']?\s*\]\]", 0, stop)
            inline = self._matching(rf"[\"']?{section}[\"']?\s*=", 0, stop)
            start = heads[index] if index < len(heads) else inline[0] if inline else 0
        if key is None:
            return start + 1
        end = next(iter(self._matching(r"\[", start + (section is not None), stop)), stop)
        found = self._matching(rf"{name}[=.]", start, end)
        if section is None:
            found = found or self._matching(rf"\[\[?\s*{name}[\].]", start, stop)
        found = found or self._matching(rf".*\b{re.escape(key)}\b", start, stop)
        return (found[0] if found else start) + 1

    def _matching(self, pattern: str, start: int, stop: int) -> list[int]:
        look = re.compile(rf"\s*{pattern}")
        return [number for number in range(start, stop) if look.match(self._lines[number])]

    def _where(self, line: int) -> str:
        return f"{self._path}:{line}"

    def _error(self, line: int, message: str) -> UsageError:
        return UsageError(f"{self._where(line)}: {message}")

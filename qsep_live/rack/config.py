"""Rack files: TOML to a checked, frozen description. Nothing here imports pedalboard.

    schema = 1

    [[effect]]
    type = "Reverb"            # a pedalboard effect, in any case or in snake_case
    name = "space"             # the handle in `rack.space.room_size`; the type in lower case when left out
    bypass = false
    [effect.parameters]
    room_size = 0.7

    [[effect]]
    plugin = "~/.vst3/Some.vst3"   # VST3 or Audio Unit; relative to this file or a standard folder
    plugin_name = "Some Synth FX"  # only where one bundle holds several
    block = 64                     # only for a plugin that must always be given the same number of frames

Names of a plugin's parameters can be checked only once it is loaded (see `plugins.py`).
"""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from qsep_live.dsp.parameter import Parameter
from qsep_live.errors import QsepError, UsageError
from qsep_live.rack.effects import Effect, Option, Value, find
from qsep_live.rack.messages import unknown

SCHEMA = 1
_KEYS = ("type", "plugin", "plugin_name", "name", "bypass", "block", "parameters")
_HEADER = re.compile(r"^\s*\[\[\s*effect\s*\]\]")
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")


@dataclass(frozen=True)
class EffectConfig:
    """One effect of a rack file.

    Parameters
    ----------
    name
        Its handle, unique in the rack.
    effect
        The pedalboard effect, or None for a plugin.
    plugin, plugin_name
        The bundle as the file names it, and which of the plugins in it.
    bypass
        Whether it starts bypassed.
    block
        Frames a plugin is always given at once; 0 lets the rack find out.
    values
        What ``[effect.parameters]`` says, checked for pedalboard effects, as written for plugins.
    where
        ``"file:line"`` for errors.
    folder
        What relative paths are relative to.
    """

    name: str
    effect: Effect | None = None
    plugin: str | None = None
    plugin_name: str | None = None
    bypass: bool = False
    block: int = 0
    values: Mapping[str, Value] = field(default_factory=dict)
    where: str = "rack"
    folder: Path = Path()

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """The pedalboard effect's parameters with this file's values as defaults; none for a plugin."""
        if self.effect is None:
            return ()
        return tuple(replace(p, default=float(self.values.get(p.name, p.default))) for p in self.effect.parameters)


@dataclass(frozen=True)
class RackConfig:
    """A checked rack file: the effects in the order the sound meets them."""

    effects: tuple[EffectConfig, ...] = ()
    path: Path | None = None

    @classmethod
    def load(cls, path: Path | str) -> RackConfig:
        """Read and check a rack file.

        Raises
        ------
        UsageError
            Unreadable file, bad TOML, unknown names or values out of range: one line with file and line.
        """
        path = Path(path).expanduser()
        try:
            text = path.read_text(encoding="utf-8-sig")
        except OSError as error:
            raise UsageError(f"{path}: cannot read the rack file: {error.strerror or error}") from error
        except UnicodeDecodeError as error:
            raise UsageError(f"{path}: not a text file in UTF-8") from error
        return cls.parse(text, path)

    @classmethod
    def parse(cls, text: str, path: Path) -> RackConfig:
        """Check the text of a rack file; ``path`` is for errors and relative paths."""
        lines = text.splitlines()
        try:
            document = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            found = re.search(r"line (\d+)", str(error))
            line = int(found[1]) if found else max(1, len(lines))
            raise UsageError(f"{path}:{line}: not TOML: {error}") from error
        reader = _Reader(path, lines)
        for key in document:
            if key not in ("schema", "effect"):
                raise reader.error(None, key, unknown("key", key, ("schema", "effect")))
        schema = document.get("schema")
        if type(schema) is not int or schema != SCHEMA:
            said = "is missing" if schema is None else f"is {schema!r}"
            raise reader.error(None, "schema", f"schema {said}; this program reads schema = {SCHEMA}")
        tables = document.get("effect", [])
        if not isinstance(tables, list) or not all(isinstance(each, dict) for each in tables):
            raise reader.error(None, "effect", "effects are written as [[effect]] tables")
        return cls(reader.effects(tables), path)

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """The parameters known without loading plugins, named ``rack.<effect>.<parameter>``."""
        out: list[Parameter] = []
        for effect in self.effects:
            own = (*effect.parameters, bypass_parameter(effect.bypass))
            out += [replace(p, name=f"rack.{effect.name}.{p.name}") for p in own]
        return tuple(out)


def bypass_parameter(bypassed: bool) -> Parameter:
    """The 0/1 parameter that every effect has: at 0.5 and above the effect is bypassed."""
    return Parameter("bypass", 0.0, 1.0, 1.0 if bypassed else 0.0)


class _Reader:
    """Checks the tables of one file and knows on which line each key stands."""

    def __init__(self, path: Path, lines: list[str]) -> None:
        self.path = path
        self.lines = lines
        self.headers = [number for number, line in enumerate(lines) if _HEADER.match(line)]

    def line(self, index: int | None, key: str) -> int | None:
        """The line (from 1) of ``key`` in the index-th effect, or in the file's head when index is None."""
        first, last = 0, len(self.lines)
        if index is not None and index < len(self.headers):
            first = self.headers[index]
            last = self.headers[index + 1] if index + 1 < len(self.headers) else last
        written = re.compile(rf"""^\s*(\[+\s*)?["']?{re.escape(key)}["']?\s*[=\]]""")
        for number in range(first, last):
            if written.match(self.lines[number]):
                return number + 1
        return first + 1 if index is not None and self.headers else None

    def where(self, index: int | None, key: str) -> str:
        line = self.line(index, key)
        return str(self.path) if line is None else f"{self.path}:{line}"

    def error(self, index: int | None, key: str, text: str) -> UsageError:
        return UsageError(f"{self.where(index, key)}: {text}")

    def effects(self, tables: list[dict[str, Any]]) -> tuple[EffectConfig, ...]:
        out: list[EffectConfig] = []
        named = [str(t["name"]) for t in tables if "name" in t]
        for index, table in enumerate(tables):
            out.append(self.effect(index, table, {e.name for e in out}, set(named)))
        return tuple(out)

    def effect(self, index: int, table: dict[str, Any], taken: set[str], named: set[str]) -> EffectConfig:
        for key in table:
            if key not in _KEYS:
                raise self.error(index, key, unknown("key", key, _KEYS))
        for key in ("type", "plugin", "plugin_name", "name"):
            if key in table and (not isinstance(table[key], str) or not table[key].strip()):
                raise self.error(index, key, f"{key} must be a text, not {table[key]!r}")
        if ("type" in table) == ("plugin" in table):
            raise self.error(index, "effect", "an effect needs either type or plugin, and not both")
        bypass = table.get("bypass", False)
        if not isinstance(bypass, bool):
            raise self.error(index, "bypass", f"bypass must be true or false, not {bypass!r}")
        values = table.get("parameters", {})
        if not isinstance(values, dict):
            raise self.error(index, "parameters", "parameters must be a table: [effect.parameters]")
        if "plugin" in table:
            return self.plugin(index, table, taken, named)
        for key in ("plugin_name", "block"):
            if key in table:
                raise self.error(index, key, f"{key} goes with plugin, not with type")
        try:
            effect = find(table["type"])
        except QsepError as error:
            raise self.error(index, "type", str(error)) from error
        return EffectConfig(
            name=self.name(index, table, effect.type.lower(), taken, named),
            effect=effect,
            bypass=bypass,
            values=self.values(index, effect, values),
            where=self.where(index, "type"),
            folder=self.path.parent,
        )

    def plugin(self, index: int, table: dict[str, Any], taken: set[str], named: set[str]) -> EffectConfig:
        block = table.get("block", 0)
        if type(block) is not int or (block and not 16 <= block <= 8192):
            raise self.error(index, "block", f"block must be a whole number from 16 to 8192, not {block!r}")
        for key, value in table.get("parameters", {}).items():
            if not isinstance(value, (int, float, str)):
                raise self.error(index, key, f"{key} must be a number, true, false or a text")
        stem = re.sub(r"[^a-z0-9]+", "-", Path(table["plugin"]).stem.lower()).strip("-") or "plugin"
        return EffectConfig(
            name=self.name(index, table, stem, taken, named),
            plugin=table["plugin"],
            plugin_name=table.get("plugin_name"),
            bypass=table.get("bypass", False),
            block=block,
            values=dict(table.get("parameters", {})),
            where=self.where(index, "plugin"),
            folder=self.path.parent,
        )

    def name(self, index: int, table: dict[str, Any], default: str, taken: set[str], named: set[str]) -> str:
        if "name" in table:
            name = str(table["name"])
            if not _NAME.fullmatch(name):
                raise self.error(index, "name", f"name '{name}' may hold a-z, 0-9, - and _ only")
            if name in taken:
                raise self.error(index, "name", f"name '{name}' is used twice")
            return name
        candidate, number = default, 2
        while candidate in taken or candidate in named:
            candidate, number = f"{default}-{number}", number + 1
        return candidate

    def values(self, index: int, effect: Effect, values: dict[str, Any]) -> dict[str, Value]:
        out: dict[str, Value] = {}
        parameters = {p.name: p for p in effect.parameters}
        options = {o.name: o for o in effect.options}
        for key, value in values.items():
            if key in parameters:
                out[key] = self.number(index, key, value, parameters[key])
            elif key in options:
                out[key] = self.option(index, options[key], value)
            else:
                raise self.error(index, key, unknown(f"parameter of {effect.type}", key, effect.names))
        for option in effect.options:
            if option.default is None and option.name not in out:
                raise self.error(index, "type", f"{effect.type} needs {option.name} in [effect.parameters]")
        return out

    def number(self, index: int, key: str, value: object, legal: Parameter | Option) -> float:
        unit = f" {legal.unit}" if legal.unit else ""
        if isinstance(value, bool) or not isinstance(value, (int, float)) or math.isnan(value):
            raise self.error(index, key, f"{key} must be a number, not {value!r}")
        if not legal.minimum <= value <= legal.maximum:
            legal_range = f"{legal.minimum:g} to {legal.maximum:g}{unit}"
            raise self.error(index, key, f"{key} = {value:g} is out of range: {legal_range}")
        return float(value)

    def option(self, index: int, option: Option, value: object) -> Value:
        if option.kind == "number":
            return self.number(index, option.name, value, option)
        if option.kind == "flag":
            if not isinstance(value, bool):
                raise self.error(index, option.name, f"{option.name} must be true or false, not {value!r}")
            return value
        if not isinstance(value, str):
            raise self.error(index, option.name, f"{option.name} must be a text, not {value!r}")
        if option.kind == "choice":
            matches = [each for each in option.choices if each.lower() == value.lower()]
            if not matches:
                raise self.error(index, option.name, unknown(option.name, value, option.choices))
            return matches[0]
        file = Path(value).expanduser()
        file = file if file.is_absolute() else self.path.parent / file
        if not file.is_file():
            raise self.error(index, option.name, f"there is no file {file}")
        return str(file)

"""The TOML file of a preset, ``NAME.toml``: strict reading, atomic writing.

Threading: any thread but the audio callback; it reads and writes files.
"""

from __future__ import annotations

import os
import re
import secrets
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w

from qsep_live.errors import QsepError, UsageError
from qsep_live.latent.preset import Preset
from qsep_live.latent.preset_fields import PresetError, check_name
from qsep_live.latent.wording import kind, nearest, one_line, shown

SCHEMA = 2
"""What is written. 1 and 2 are read: 1 had latents alone, and 2 says the same of them."""
# A preset has 1 to 10 KiB. Dotted keys take quadratic time to parse, so a hostile file must be small.
MAX_BYTES = 32 * 1024
SUFFIX = ".toml"

_KEYS = ("schema", "model", "latent", "stems", "description", "effects", "provenance")
_NEEDS = "a preset needs schema, and either model and latent, or stems"


def load_preset(path: Path) -> Preset:
    """Read the preset in ``path``; its name is the file's name without ``.toml``.

    Raises
    ------
    QsepError
        The file cannot be read or is not a preset: one line with the file, the line where known, and what
        would be right.
    """
    try:
        if not path.is_file():
            raise QsepError(one_line(f"{path}: there is no such file"))
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise QsepError(one_line(f"{path}: cannot be read ({error.strerror or error})")) from None
    if len(data) > MAX_BYTES:
        raise QsepError(one_line(f"{path}: larger than {MAX_BYTES // 1024} KiB, so it is no preset"))
    return parse_preset(data, path.stem, str(path))


def parse_preset(data: bytes, name: str, where: str) -> Preset:
    """Make a preset of the bytes of a TOML file; ``where`` stands for the file in errors.

    Raises
    ------
    QsepError
        As in `load_preset`.
    """
    try:
        check_name(name)
    except UsageError as error:
        raise QsepError(one_line(f"{where}: {error}")) from None
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise QsepError(one_line(f"{where}:{line}: is not UTF-8 text")) from None
    try:
        table = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise QsepError(one_line(_toml_message(where, error))) from None
    try:
        return _preset_of(table, name)
    except PresetError as error:
        line_number = _line_of(text, error.key)
        place = where if line_number is None else f"{where}:{line_number}"
        raise QsepError(one_line(f"{place}: {error}")) from None


def dump_preset(preset: Preset) -> str:
    """The text of the preset's TOML file; reading it back gives an equal preset."""
    table: dict[str, object] = {"schema": SCHEMA}
    if not preset.stems:
        table["model"] = preset.model
    if preset.description:
        table["description"] = preset.description
    if preset.effects is not None:
        table["effects"] = preset.effects
    numbers = [_shortest(value) for value in preset.latent]
    if preset.stems:
        table["stems"] = dict(zip(preset.stems, numbers, strict=True))
    else:
        table["latent"] = numbers
    if preset.provenance:
        table["provenance"] = dict(preset.provenance)
    return tomli_w.dumps(table)


def save_preset(preset: Preset, folder: Path) -> Path:
    """Write ``NAME.toml`` into ``folder`` (made if missing), whole or not at all; returns its path.

    An existing file of that name is replaced; `PresetLibrary.save` is the one that asks.

    Raises
    ------
    QsepError
        The file cannot be written, or would be too large to be read again.
    """
    data = dump_preset(preset).encode("utf-8")
    path = folder / f"{preset.name}{SUFFIX}"
    if len(data) > MAX_BYTES:
        raise QsepError(
            one_line(f"preset {preset.name!r} needs {len(data)} bytes and may have {MAX_BYTES}: shorten its texts")
        )
    temporary = folder / f".{preset.name}.{secrets.token_hex(4)}.tmp"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise QsepError(one_line(f"{path}: cannot be written ({error.strerror or error})")) from None
    return path


def _preset_of(table: dict[str, object], name: str) -> Preset:
    schema = table.get("schema")
    if "schema" in table and (type(schema) is not int or not 1 <= schema <= SCHEMA):
        newer = isinstance(schema, int) and schema > SCHEMA
        hint = "update qsep-live, or make the preset again" if newer else f"write schema = {SCHEMA}"
        raise PresetError("schema", f"this version reads presets of schema 1 to {SCHEMA}: {hint}")
    for key in table:
        if key not in _KEYS:
            raise PresetError(key, _unknown_key(key))
    if "schema" not in table:
        raise PresetError("schema", f"'schema' is missing; {_NEEDS}")
    for key in ("model", "description", "effects"):
        if key in table and not isinstance(table[key], str):
            raise PresetError(key, f"{key} is {kind(table[key])}, must be text in quotes")
    # Preset itself checks the rest, whatever the types are.
    texts: dict[str, Any] = {
        "description": str(table.get("description", "")),
        "provenance": table.get("provenance", {}),
        "effects": str(table["effects"]) if "effects" in table else None,
    }
    if "stems" in table:
        return _of_stems(table, name, texts)
    for key in ("model", "latent"):
        if key not in table:
            raise PresetError(key, f"{key!r} is missing; {_NEEDS}")
    latent: Any = table["latent"]
    return Preset(name, latent, str(table["model"]), **texts)


def _of_stems(table: dict[str, object], name: str, texts: dict[str, Any]) -> Preset:
    if table["schema"] == 1:
        raise PresetError("stems", "stems came with schema 2: write schema = 2")
    for key in ("model", "latent"):
        if key in table:
            raise PresetError(key, f"a preset has stems, or model and latent, not both: leave {key} or [stems] out")
    stems = table["stems"]
    if not isinstance(stems, dict) or not stems:
        is_what = "empty" if isinstance(stems, dict) else kind(stems)
        raise PresetError("stems", f"stems is {is_what}, must be a table of names and weights: [stems]")
    for stem, weight in stems.items():
        if isinstance(weight, bool) or not isinstance(weight, int | float):
            raise PresetError("stems", f"the weight of stem {shown(stem)} is {kind(weight)}, must be a number")
    weights: Any = list(stems.values())
    return Preset(name, weights, stems=tuple(stems), **texts)


def _unknown_key(key: str) -> str:
    if key == "name":
        return "a preset's name is its file's name: leave 'name' out, or rename the file"
    guess = nearest(key, _KEYS)
    hint = f"did you mean {guess!r}?" if guess else f"the keys are {', '.join(_KEYS)}"
    return f"unknown key {shown(key)}; {hint}"


def _shortest(value: np.float32) -> float:
    """The number with the fewest digits that is this float32 when read again."""
    short = float(str(value))
    return short if np.float32(short) == value else float(value)


def _toml_message(where: str, error: Exception) -> str:
    if isinstance(error, RecursionError):
        return f"{where}: is nested too deeply to be a preset"
    message = str(error)
    found = re.search(r" \(at line (\d+), column \d+\)$", message)
    if found:
        return f"{where}:{found[1]}: is not TOML: {message[: found.start()]}"
    return f"{where}: is not TOML: {message}"


def _line_of(text: str, key: str) -> int | None:
    """Line on which top-level ``key`` is set.

    A line that looks right may lie inside a multi-line string; it does not when all before it is TOML.
    """
    quoted = rf"""(?:{re.escape(key)}|"{re.escape(key)}"|'{re.escape(key)}')"""
    pattern = re.compile(rf"^[ \t]*(?:\[+[ \t]*{quoted}[ \t]*[\].]|{quoted}[ \t]*[=.])", re.MULTILINE)
    for attempt, match in enumerate(pattern.finditer(text)):
        if attempt == 8:
            break
        try:
            before = tomllib.loads(text[: match.start()])
        except (ValueError, RecursionError):
            continue
        if key not in before:
            return text.count("\n", 0, match.start()) + 1
    return None

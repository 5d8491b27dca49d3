"""The fields of a preset: what each may be, and what is said of one that cannot be meant.

Threading: pure functions, any thread.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from qsep_live.errors import QsepError, UsageError
from qsep_live.latent.stem_weights import normalised
from qsep_live.latent.wording import kind, one_line, shown

Scalar = str | float | int
Provenance = Mapping[str, Scalar | list[Scalar]]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_FINGERPRINT = re.compile(r"[0-9a-f]{8,128}")
# Windows opens a device for these, whatever the suffix.
_RESERVED = {"con", "prn", "aux", "nul"} | {f"{port}{n}" for port in ("com", "lpt") for n in range(1, 10)}


class PresetError(QsepError):
    """A field of a preset cannot be meant; ``key`` names the field."""

    def __init__(self, key: str, message: str) -> None:
        super().__init__(one_line(message))
        self.key = key


def is_name(name: str) -> bool:
    """Whether ``name`` can name a preset."""
    return bool(_NAME.fullmatch(name)) and name.lower() not in _RESERVED


def check_name(name: str) -> None:
    """Raise UsageError unless ``name`` can name a preset (and its file, on every platform)."""
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"{shown(name)} cannot name a preset: use 1 to 64 of A-Z a-z 0-9 _ -, and begin with a letter or digit"
        )
    if name.lower() in _RESERVED:
        raise UsageError(f"{name!r} cannot name a preset: Windows keeps that name for a device; choose another")


def checked_latent(value: object) -> NDArray[np.float32]:
    """``value`` as a latent, (n,) float32, read-only; raises PresetError unless it is two finite numbers or more."""
    numbers = _checked_numbers(value)
    with np.errstate(over="ignore"):
        latent = np.array(numbers, dtype=np.float32)
    wrong = np.flatnonzero(~np.isfinite(latent))
    if wrong.size:
        raise PresetError(
            "latent", f"latent value {wrong[0] + 1} is NaN, infinite or too large, must be a finite number"
        )
    if latent.size < 2:
        raise PresetError("latent", f"latent has {latent.size} numbers, must have those of its model, 2 at least")
    latent.flags.writeable = False
    return latent


def _checked_numbers(value: object) -> list[float]:
    if isinstance(value, np.ndarray):
        if value.dtype.kind not in "fiu":
            raise PresetError("latent", f"latent holds {value.dtype}, must hold numbers")
        if value.ndim != 1:
            raise PresetError("latent", f"latent has shape {value.shape}, must have (n,)")
        return [float(number) for number in value]
    if isinstance(value, list | tuple):
        for index, item in enumerate(value, start=1):
            if isinstance(item, bool) or not isinstance(item, int | float):
                raise PresetError("latent", f"latent value {index} is {kind(item)}, must be a number")
        return [_as_float(item) for item in value]
    raise PresetError("latent", f"latent is {kind(value)}, must be a list of numbers")


def checked_stems(value: object) -> tuple[str, ...]:
    """``value`` as names of stems; raises PresetError unless they are printable and differ."""
    if not isinstance(value, list | tuple):
        raise PresetError("stems", f"stems is {kind(value)}, must be names")
    for name in value:
        if not isinstance(name, str) or not name.strip() or len(name) > 64 or not name.isprintable():
            is_what = shown(name) if isinstance(name, str) else kind(name)
            raise PresetError("stems", f"a stem is called {is_what}, must be 1 to 64 printable characters")
    if len(set(value)) != len(value):
        raise PresetError("stems", "two stems have one name")
    return tuple(value)


def checked_weights(value: object, stems: tuple[str, ...]) -> NDArray[np.float32]:
    """``value`` as a weight for each of ``stems``, (stems,) float32 of length 1, read-only; raises PresetError."""
    try:
        numbers = _checked_numbers(value)
    except PresetError as error:
        raise PresetError("stems", str(error)) from None
    if len(numbers) != len(stems):
        raise PresetError("stems", f"there are {len(numbers)} weights for {len(stems)} stems")
    for stem, weight in zip(stems, numbers, strict=True):
        if not (math.isfinite(weight) and weight >= 0.0):
            raise PresetError("stems", f"the weight of stem {shown(stem)} is {weight:g}, must be 0 or more")
    if not any(numbers):
        raise PresetError("stems", "the weights of all stems are 0: give one of them more")
    weights = normalised(numbers)
    weights.flags.writeable = False
    return weights


def _as_float(number: int | float) -> float:
    try:
        return float(number)
    except OverflowError:
        return math.inf


def checked_model(value: object) -> str:
    """``value`` as a fingerprint in small letters; raises PresetError unless it is one."""
    if isinstance(value, str) and _FINGERPRINT.fullmatch(value.lower()):
        return value.lower()
    is_what = shown(value) if isinstance(value, str) else kind(value)
    raise PresetError("model", f"model is {is_what}, must be a fingerprint: 8 to 128 hex digits")


def checked_text(key: str, value: object) -> str:
    """``value`` as the text of ``key``; raises PresetError if it is none or holds control characters."""
    if not isinstance(value, str):
        raise PresetError(key, f"{key} is {kind(value)}, must be text in quotes")
    # Control characters would reach the terminal of whoever lists a stranger's presets.
    for char in value:
        if unicodedata.category(char) in ("Cc", "Cs") and char not in "\n\t":
            raise PresetError(key, f"{key} holds the control character U+{ord(char):04X}: remove it")
    return value


def checked_provenance(value: object) -> dict[str, Scalar | list[Scalar]]:
    """A copy of the table ``value``; raises PresetError unless it holds text, numbers and lists of these alone."""
    if not isinstance(value, Mapping):
        raise PresetError("provenance", f"provenance is {kind(value)}, must be a table: [provenance]")
    checked: dict[str, Scalar | list[Scalar]] = {}
    for key, item in value.items():
        checked_text("provenance", key)
        if isinstance(item, list | tuple):
            checked[key] = [_checked_scalar(key, one) for one in item]
        else:
            checked[key] = _checked_scalar(key, item)
    return checked


def _checked_scalar(key: str, value: object) -> Scalar:
    if isinstance(value, str):
        return checked_text("provenance", value)
    # TOML's whole numbers have 64 bits; Python would not even print the largest that it reads.
    if isinstance(value, int) and -(2**63) <= value < 2**63:
        return value
    if isinstance(value, float) and math.isfinite(value):
        return float(value)
    raise PresetError(
        "provenance",
        f"provenance {shown(key)} is {kind(value)}, must be text, a finite 64-bit number, or a list of these",
    )

"""A preset: a named point in the condition space of one model, or of all models that have certain stems.

Threading: presets do not change once made; any thread may read them.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from qsep_live.errors import QsepError, UsageError
from qsep_live.latent.slerp import LATENT_SIZE
from qsep_live.latent.stem_weights import normalised, projected
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


@dataclass(frozen=True, eq=False)
class Preset:
    """A latent of one model, or weights of stems that any model with these stems understands; with a name.

    Parameters
    ----------
    name : str
        1 to 64 of ``A-Z a-z 0-9 _ -``; also the name of its file.
    latent : (n,) float32
        Copied and made read-only. Of a model: as many numbers as its latent has. Of stems: a weight each, none
        negative, brought to length 1 (the squares are shares of the energy).
    model : str
        Fingerprint (hex) of the only model to which the latent means something; empty with ``stems``.
    description : str
        A short text for people.
    provenance : mapping
        How the latent came about: a free table of strings, numbers and lists of these.
    effects : str, optional
        Name or path of the rack file that belongs behind this preset.
    stems : tuple of str
        The stems that the weights are of, in their order; empty with ``model``.

    Raises
    ------
    UsageError
        The name has characters that a preset's name cannot have.
    PresetError
        Any other field is wrong.
    """

    name: str
    latent: NDArray[np.float32]
    model: str = ""
    description: str = ""
    provenance: Provenance = field(default_factory=dict)
    effects: str | None = None
    stems: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_name(self.name)
        if self.stems:
            if self.model:
                raise PresetError("stems", "a preset has a model and a latent, or stems, not both")
            object.__setattr__(self, "stems", _checked_stems(self.stems))
            object.__setattr__(self, "latent", _checked_weights(self.latent, self.stems))
        else:
            object.__setattr__(self, "latent", _checked_latent(self.latent))
            object.__setattr__(self, "model", _checked_model(self.model))
        object.__setattr__(self, "description", _checked_text("description", self.description))
        object.__setattr__(self, "provenance", _checked_provenance(self.provenance))
        if self.effects is not None:
            object.__setattr__(self, "effects", _checked_text("effects", self.effects))
            if not self.effects:
                raise PresetError("effects", "effects is empty: name a rack file, or leave the key out")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Preset) and self._identity() == other._identity()

    def __hash__(self) -> int:
        return hash((self.name, self.model, self.stems, self.latent.tobytes()))

    def __reduce__(self) -> tuple[type[Preset], tuple[object, ...]]:
        # By way of __init__, so that the latent is read-only in a spawned process too.
        return Preset, self._fields()

    def _fields(self) -> tuple[object, ...]:
        return self.name, self.latent, self.model, self.description, dict(self.provenance), self.effects, self.stems

    def _identity(self) -> tuple[object, ...]:
        name, _latent, *rest = self._fields()
        return name, self.latent.tobytes(), *rest

    @property
    def kind(self) -> str:
        """What it is a point of, for people: ``latent of f5028640``, ``stems vocals, drums``."""
        return f"stems {', '.join(self.stems)}" if self.stems else f"latent of {self.model[:8]}"

    def require_model(self, fingerprint: str, size: int = LATENT_SIZE) -> None:
        """Refuse to be used with another model than the one the latent was made for.

        Parameters
        ----------
        fingerprint
            Of the model that is loaded.
        size
            Numbers in its latent: the own networks' unless another is given.

        Raises
        ------
        UsageError
            ``fingerprint`` is not this preset's model, or the latent has another size than the model's.
        """
        wanted = fingerprint.lower()
        again = f"make it again for this one: qsep-live presets new {self.name} --query FILE"
        if self.stems:
            loaded = shown(wanted[:8])[1:-1] or "without fingerprint"
            raise UsageError(
                f"preset {self.name!r} holds weights of stems ({one_line(', '.join(self.stems))}), but model {loaded} "
                f"takes a latent: choose a model with these stems with --model, or {again}"
            )
        if wanted != self.model:
            mine, loaded = _short_pair(self.model, wanted)
            raise UsageError(
                f"preset {self.name!r} is a latent of model {mine}, but model {loaded} is loaded: choose its "
                f"model with --model, or {again}"
            )
        if self.latent.size != size:
            raise UsageError(
                f"preset {self.name!r} has {self.latent.size} numbers, but a latent of its model has {size}: {again}"
            )

    def for_stems(self, stems: tuple[str, ...], owner: str = "the model") -> Preset:
        """This preset with its weights in the order of a model's stems, 0 where it names none.

        Parameters
        ----------
        stems
            Of the model.
        owner
            What to call the model in an error.

        Raises
        ------
        UsageError
            It is a latent, or names a stem that the model does not have.
        """
        if not self.stems:
            raise UsageError(
                f"preset {self.name!r} is a latent of model {self.model[:8]}, but {owner} takes weights of stems "
                f"({one_line(', '.join(stems))}): make it for this one: "
                f"qsep-live presets new {self.name} --query FILE --model NAME"
            )
        if self.stems == stems:
            return self
        missing = [name for name in self.stems if name not in stems]
        if missing:
            raise UsageError(
                f"preset {self.name!r} needs the stem {shown(missing[0])}, but {owner} has "
                f"{one_line(', '.join(stems))}: choose another preset, or a model with this stem"
            )
        return replace(self, latent=projected(self.latent, self.stems, stems), stems=stems)

    def without_silent_stems(self) -> Preset:
        """This preset without the stems whose weight is 0, so that it fits models that lack them; a latent as it is."""
        heard = tuple(name for name, weight in zip(self.stems, self.latent, strict=False) if weight > 0.0)
        return replace(self, latent=self.latent[self.latent > 0.0], stems=heard) if heard != self.stems else self

    def beside(self, other: Preset) -> Preset:
        """This preset as it can lie on one path with ``other``: the same model, or its stems in their order.

        Raises
        ------
        UsageError
            There is nothing between the two.
        """
        if bool(self.stems) != bool(other.stems):
            raise UsageError(
                f"presets {other.name!r} ({one_line(other.kind)}) and {self.name!r} ({one_line(self.kind)}) cannot be "
                "on one path: take presets of one kind"
            )
        if self.stems:
            return self.for_stems(other.stems, f"what {other.name!r} plays with")
        self.require_model(other.model, other.latent.size)
        return self


def together(presets: Sequence[Preset]) -> list[Preset]:
    """Presets of stems, each with a weight for every stem that one of them names, so that slerp joins them."""
    names = tuple(dict.fromkeys(name for preset in presets for name in preset.stems))
    return [preset.for_stems(names) for preset in presets]


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


def _checked_latent(value: object) -> NDArray[np.float32]:
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


def _checked_stems(value: object) -> tuple[str, ...]:
    if not isinstance(value, list | tuple):
        raise PresetError("stems", f"stems is {kind(value)}, must be names")
    for name in value:
        if not isinstance(name, str) or not name.strip() or len(name) > 64 or not name.isprintable():
            is_what = shown(name) if isinstance(name, str) else kind(name)
            raise PresetError("stems", f"a stem is called {is_what}, must be 1 to 64 printable characters")
    if len(set(value)) != len(value):
        raise PresetError("stems", "two stems have one name")
    return tuple(value)


def _checked_weights(value: object, stems: tuple[str, ...]) -> NDArray[np.float32]:
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


def _checked_model(value: object) -> str:
    if isinstance(value, str) and _FINGERPRINT.fullmatch(value.lower()):
        return value.lower()
    is_what = shown(value) if isinstance(value, str) else kind(value)
    raise PresetError("model", f"model is {is_what}, must be a fingerprint: 8 to 128 hex digits")


def _checked_text(key: str, value: object) -> str:
    if not isinstance(value, str):
        raise PresetError(key, f"{key} is {kind(value)}, must be text in quotes")
    # Control characters would reach the terminal of whoever lists a stranger's presets.
    for char in value:
        if unicodedata.category(char) in ("Cc", "Cs") and char not in "\n\t":
            raise PresetError(key, f"{key} holds the control character U+{ord(char):04X}: remove it")
    return value


def _checked_provenance(value: object) -> dict[str, Scalar | list[Scalar]]:
    if not isinstance(value, Mapping):
        raise PresetError("provenance", f"provenance is {kind(value)}, must be a table: [provenance]")
    checked: dict[str, Scalar | list[Scalar]] = {}
    for key, item in value.items():
        _checked_text("provenance", key)
        if isinstance(item, list | tuple):
            checked[key] = [_checked_scalar(key, one) for one in item]
        else:
            checked[key] = _checked_scalar(key, item)
    return checked


def _checked_scalar(key: str, value: object) -> Scalar:
    if isinstance(value, str):
        return _checked_text("provenance", value)
    # TOML's whole numbers have 64 bits; Python would not even print the largest that it reads.
    if isinstance(value, int) and -(2**63) <= value < 2**63:
        return value
    if isinstance(value, float) and math.isfinite(value):
        return float(value)
    raise PresetError(
        "provenance",
        f"provenance {shown(key)} is {kind(value)}, must be text, a finite 64-bit number, or a list of these",
    )


def _short_pair(one: str, other: str) -> tuple[str, str]:
    """Both fingerprints, shortened as far as they still differ."""
    size = 8
    while one[:size] == other[:size] and size < max(len(one), len(other)):
        size += 8
    return one[:size], shown(other[:size])[1:-1] or "without fingerprint"

"""A preset: a named point in the condition space of one model, or of all models that have certain stems.

Threading: presets do not change once made; any thread may read them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from qsep_live.errors import UsageError
from qsep_live.latent.preset_fields import (
    PresetError,
    Provenance,
    check_name,
    checked_latent,
    checked_model,
    checked_provenance,
    checked_stems,
    checked_text,
    checked_weights,
)
from qsep_live.latent.slerp import LATENT_SIZE
from qsep_live.latent.stem_weights import projected
from qsep_live.latent.wording import one_line, shown


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
            object.__setattr__(self, "stems", checked_stems(self.stems))
            object.__setattr__(self, "latent", checked_weights(self.latent, self.stems))
        else:
            object.__setattr__(self, "latent", checked_latent(self.latent))
            object.__setattr__(self, "model", checked_model(self.model))
        object.__setattr__(self, "description", checked_text("description", self.description))
        object.__setattr__(self, "provenance", checked_provenance(self.provenance))
        if self.effects is not None:
            object.__setattr__(self, "effects", checked_text("effects", self.effects))
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


def _short_pair(one: str, other: str) -> tuple[str, str]:
    """Both fingerprints, shortened as far as they still differ."""
    size = 8
    while one[:size] == other[:size] and size < max(len(one), len(other)):
        size += 8
    return one[:size], shown(other[:size])[1:-1] or "without fingerprint"

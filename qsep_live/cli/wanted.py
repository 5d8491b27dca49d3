"""What `qsep-live render` makes of each input: presets or stems, and perhaps what they leave over."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from qsep_live.cli import choices
from qsep_live.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from qsep_live.models.registry import Entry
    from qsep_live.rack.config import RackConfig

#: Presets of the own networks that `--stems` separates; what they leave over is the fourth stem.
STEMS = ("vocals", "drums", "bass")
OTHER, REST = "other", "rest"


@dataclass(frozen=True)
class Wanted:
    """What is made of each input.

    Attributes
    ----------
    names
        Of the presets or stems.
    latents, racks
        Of each.
    rest
        What they leave over is called so; None where it is not written.
    """

    names: tuple[str, ...]
    latents: tuple[NDArray[np.float32], ...]
    racks: tuple[RackConfig | None, ...]
    rest: str | None = None


def refuse_mix(ctx: click.Context, option: str) -> None:
    """The parts of a whole are given as they are."""
    for name in ("stems", "two", "presets", "mode", "wet", "gain", "rack"):
        source = ctx.get_parameter_source(name)
        given = "--preset" if name == "presets" else f"--{name}"
        if source is not None and source.name == "COMMANDLINE" and given != option:
            raise UsageError(f"{option}: its files add up to the input, so {given} means nothing with it")


def wanted_of_presets(model: choices.ModelChoice, names: tuple[str, ...], given: dict[str, Any]) -> Wanted:
    """Of an own network."""
    whole, rest = _whole(STEMS, OTHER, given)
    presets = choices.choose_presets(whole or tuple(dict.fromkeys(names)), model)
    # A rack that cannot be meant is the whole batch's fault, not each file's.
    racks = [None if whole else choices.choose_rack(given["rack"], (preset,)) for preset in presets]
    return Wanted(
        tuple(preset.name for preset in presets), tuple(preset.latent for preset in presets), tuple(racks), rest
    )


def wanted_of_stems(entry: Entry, names: tuple[str, ...], given: dict[str, Any]) -> Wanted:
    """Of a separator of stems."""
    from qsep_live.engine.stem_render import remainder
    from qsep_live.latent.stem_weights import axis

    spec, left = entry.spec, remainder(entry.spec.stems)
    whole, rest = _whole(tuple(name for name in spec.stems if name != left), left, given)
    if given["stems"]:  # the stems themselves, whatever presets of their names there are
        return Wanted(whole, tuple(axis(name, spec.stems) for name in whole), (None,) * len(whole), rest)
    presets = choices.stem_presets(whole or tuple(dict.fromkeys(names)), spec)
    racks = [None if whole else choices.choose_rack(given["rack"], (preset,)) for preset in presets]
    return Wanted(
        tuple(preset.name for preset in presets), tuple(preset.latent for preset in presets), tuple(racks), rest
    )


def _whole(stems: tuple[str, ...], left: str, given: dict[str, Any]) -> tuple[tuple[str, ...], str | None]:
    """With ``--stems`` and ``--two``, what is separated and what the remainder is called; ``left`` of all stems."""
    if given["stems"]:
        return stems, left
    if given["two"] is not None:
        if given["two"] == REST:
            raise UsageError("--two rest: name the other part, the rest comes by itself")
        return (given["two"],), REST
    return (), None

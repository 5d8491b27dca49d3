"""`qsep-live presets`: list, show, make, blend, retrain and remove."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from qsep_live import __version__
from qsep_live.cli import choices, options
from qsep_live.cli.lazy import LazyGroup
from qsep_live.errors import QsepError, UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from qsep_live.latent.preset import Scalar


@click.group(
    cls=LazyGroup,
    commands_at={name: f"qsep_live.cli.preset_retrain:{name}" for name in ("retrain", "compare")},
    invoke_without_command=True,
)
@click.pass_context
def presets(ctx: click.Context) -> None:
    """List, show, make, blend, retrain and remove presets. Without a command: list."""
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_presets, model=None, as_json=False)


@presets.command("list")
@click.option("--model", metavar="FILE", help="Mark the presets of this model.")
@options.json_option
def list_presets(model: str | None, as_json: bool) -> None:
    """List all presets, and whether they belong to the model."""
    from qsep_live.latent.library import PresetLibrary
    from qsep_live.ui.columns import columns
    from qsep_live.ui.lines import json_line

    library = PresetLibrary()
    try:
        fingerprint = choices.choose_model(model).fingerprint
    except QsepError:
        if model is not None:
            raise
        fingerprint = None
    found = library.presets()
    if as_json:
        for preset in found:
            values = {"name": preset.name, "bundled": library.is_bundled(preset.name), "model": preset.model}
            values |= {"usable": preset.model == fingerprint, "description": preset.description}
            click.echo(json_line("preset", values))
    elif found:
        rows = []
        for preset in found:
            origin = "bundled" if library.is_bundled(preset.name) else "yours"
            fits = "?" if fingerprint is None else "yes" if preset.model == fingerprint else "no"
            rows.append((preset.name, origin, fits, " ".join(preset.description.split())))
        for line in columns(rows, ("PRESET", "ORIGIN", "FITS MODEL", "DESCRIPTION")):
            click.echo(line)
    else:
        click.echo("no presets; make one: qsep-live presets new NAME --query FILE")
    for problem in library.problems():
        click.echo(f"qsep-live: warning: {problem}", err=True)


@presets.command()
@click.argument("name")
@options.json_option
def show(name: str, as_json: bool) -> None:
    """Show what a preset says about itself."""
    from qsep_live.latent.library import PresetLibrary
    from qsep_live.ui.columns import columns
    from qsep_live.ui.lines import json_line

    library = PresetLibrary()
    preset, path = library.get(name), library.path(name)
    if as_json:
        values: dict[str, Any] = {
            "name": preset.name,
            "file": str(path),
            "model": preset.model,
            "description": preset.description,
            "effects": preset.effects,
            "provenance": dict(preset.provenance),
            "latent": [float(value) for value in preset.latent],
        }
        click.echo(json_line("preset", values))
        return
    rows = [("name", preset.name), ("file", str(path)), ("model", preset.model)]
    rows += [("description", " ".join(preset.description.split()))] if preset.description else []
    rows += [("effects", preset.effects)] if preset.effects else []
    rows += [(key, _words(value)) for key, value in preset.provenance.items()]
    rows.append(("latent", " ".join(f"{value:+.3f}" for value in preset.latent)))
    for line in columns(rows):
        click.echo(line)


@presets.command()
@click.argument("name")
@click.option(
    "-q",
    "--query",
    "queries",
    metavar="FILE",
    multiple=True,
    required=True,
    help="Sound of the instrument alone; more than one may be given.",
)
@click.option("--description", default="", help="A short text.")
@click.option("--model", metavar="FILE", help="Checkpoint (.safetensors); the one that comes along by default.")
@options.overwrite_option
def new(name: str, queries: tuple[str, ...], description: str, model: str | None, overwrite: bool) -> None:
    """Make a preset from sound: the Query-net's mean latent over all 3-second segments of the queries."""
    from qsep_live.latent.library import PresetLibrary
    from qsep_live.latent.preset import Preset, check_name
    from qsep_live.latent.query import query_latent, sounding_segments
    from qsep_live.nets.encode import encode
    from qsep_live.nets.model import load_model

    library = PresetLibrary()
    check_name(name)
    _refuse_taken(library.names(), name, overwrite)
    chosen = choices.choose_model(model)
    sounds = [_query(Path(query).expanduser()) for query in queries]
    found = query_latent(partial(encode, load_model(chosen.path)), sounds)
    segments = sum(len(sounding_segments(sound)) for sound in sounds)
    provenance: dict[str, Scalar | list[Scalar]] = {
        "made_by": f"qsep-live {__version__}",
        "date": _today(),
        "queries": [Path(query).name for query in queries],
        "segments": segments,
        "spread": round(found.spread, 4),
    }
    path = library.save(Preset(name, found.latent, chosen.fingerprint, description, provenance), overwrite)
    click.echo(f"{path}: {name} from {segments} segments of {len(sounds)} queries, spread {found.spread:.3f}")


@presets.command()
@click.argument("name")
@click.option("--between", nargs=2, metavar="A B", required=True, help="The two presets.")
@click.option("--at", "place", type=options.SHARE, default="0.5", show_default=True, help="0 is A, 1 is B.")
@click.option("--description", default="", help="A short text.")
@options.overwrite_option
def blend(name: str, between: tuple[str, str], place: float, description: str, overwrite: bool) -> None:
    """Make a preset that lies between two others, on the great circle (slerp)."""
    from qsep_live.latent.library import PresetLibrary
    from qsep_live.latent.morph import Morph
    from qsep_live.latent.preset import Preset

    library = PresetLibrary()
    ends = [library.get(end) for end in between]
    latent = Morph(ends).latent(place)
    provenance: dict[str, Scalar | list[Scalar]] = {
        "made_by": f"qsep-live {__version__}",
        "date": _today(),
        "between": list(between),
        "at": place,
    }
    made = Preset(name, latent, ends[0].model, description or Morph(ends).describe(place), provenance)
    click.echo(f"{library.save(made, overwrite)}: {made.name}, {Morph(ends).describe(place)}")


@presets.command()
@click.argument("name")
def remove(name: str) -> None:
    """Remove one of your presets."""
    from qsep_live.latent.library import PresetLibrary

    click.echo(f"removed {PresetLibrary().remove(name)}")


def _query(path: Path) -> NDArray[np.float32]:
    """A query as the network takes it: mono at the model's rate."""
    from qsep_live.audio.files import open_audio
    from qsep_live.audio.resample import resample
    from qsep_live.dsp.grid import MODEL_RATE

    with open_audio(path) as reader:
        blocks: Iterator[NDArray[np.float32]] = reader.blocks(1 << 16)
        mono = _joined(block.mean(axis=1, keepdims=True, dtype="float32") for block in blocks)
        if reader.repaired:
            raise QsepError(f"{path}: holds {reader.repaired} NaN or infinite samples: export the sound again")
        return resample(mono, reader.rate, MODEL_RATE)[:, 0]


def _joined(pieces: Iterator[NDArray[np.float32]]) -> NDArray[np.float32]:
    import numpy as np

    return np.concatenate(list(pieces))


def _refuse_taken(names: list[str], name: str, overwrite: bool) -> None:
    """Before the work, not after it; the library itself looks again when it saves."""
    if not overwrite and name.lower() in (taken.lower() for taken in names):
        raise UsageError(f"there is a preset {name!r} already: choose another name, or say --overwrite")


def _words(value: object) -> str:
    return ", ".join(str(item) for item in value) if isinstance(value, list) else str(value)


def _today() -> str:
    return datetime.datetime.now(datetime.UTC).date().isoformat()

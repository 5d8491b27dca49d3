"""`qsep-live presets`: list, show, make, blend, retrain and remove."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Sequence
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

    from qsep_live.latent.preset import Preset
    from qsep_live.latent.preset_fields import Scalar
    from qsep_live.models.registry import Entry


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
@click.option("--model", metavar="MODEL", help="Mark the presets of this model: a checkpoint, or a model's name.")
@options.json_option
def list_presets(model: str | None, as_json: bool) -> None:
    """List all presets, and whether they belong to the model."""
    from qsep_live.latent.library import PresetLibrary, fits
    from qsep_live.ui.columns import columns
    from qsep_live.ui.lines import json_line

    library = PresetLibrary()
    entry = _stems_of(model)
    spec = None if entry is None else entry.spec
    try:
        fingerprint = choices.choose_model(model).fingerprint if spec is None else spec.fingerprint
    except QsepError:
        if model is not None:
            raise
        fingerprint = None
    found = library.every(spec)
    if as_json:
        for preset, path in found:
            values: dict[str, Any] = {"name": preset.name, "bundled": library.origin(path) == "bundled"}
            values |= {"origin": library.origin(path), "model": preset.model or None, "stems": list(preset.stems)}
            usable = fingerprint is not None and fits(preset, spec, fingerprint)
            values |= {"usable": usable, "description": preset.description}
            click.echo(json_line("preset", values))
    elif found:
        rows = []
        for preset, path in found:
            answer = "?" if fingerprint is None else "yes" if fits(preset, spec, fingerprint) else "no"
            rows.append((preset.name, library.origin(path), answer, preset.kind, " ".join(preset.description.split())))
        for line in columns(rows, ("PRESET", "ORIGIN", "FITS MODEL", "KIND", "DESCRIPTION")):
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
    from qsep_live.latent.stem_weights import gains, shares_in_words
    from qsep_live.ui.columns import columns
    from qsep_live.ui.lines import json_line

    library = PresetLibrary()
    preset, path = library.get(name), library.path(name)
    if as_json:
        values: dict[str, Any] = {
            "name": preset.name,
            "file": str(path),
            "model": preset.model or None,
            "stems": list(preset.stems),
            "description": preset.description,
            "effects": preset.effects,
            "provenance": dict(preset.provenance),
            "latent": [float(value) for value in preset.latent],
        }
        click.echo(json_line("preset", values))
        return
    rows = [("name", preset.name), ("file", str(path))]
    rows += [] if preset.stems else [("model", preset.model)]
    rows += [("description", " ".join(preset.description.split()))] if preset.description else []
    rows += [("effects", preset.effects)] if preset.effects else []
    rows += [(key, _words(value)) for key, value in preset.provenance.items()]
    if preset.stems:
        rows.append(("energy", shares_in_words(preset.latent, preset.stems)))
        heard = zip(preset.stems, gains(preset.latent), strict=True)
        rows.append(("gains", ", ".join(f"{stem} {gain:.3f}" for stem, gain in heard)))
    else:
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
@click.option(
    "--model",
    metavar="MODEL",
    help="Checkpoint (.safetensors), or a model's name; the one that comes along by default.",
)
@options.overwrite_option
def new(name: str, queries: tuple[str, ...], description: str, model: str | None, overwrite: bool) -> None:
    """Make a preset from sound: the Query-net's mean latent over all 3-second segments of the queries.

    With a model that gives stems: the square roots of the stems' shares of the energy in the queries.
    """
    from qsep_live.latent.library import PresetLibrary
    from qsep_live.latent.preset import Preset
    from qsep_live.latent.preset_fields import check_name

    library = PresetLibrary()
    check_name(name)
    _refuse_taken(library.names(), name, overwrite)
    entry = _stems_of(model)
    if entry is not None:
        _refuse_taken(entry.spec.stems, name, overwrite)
        made, told = _of_stems(entry, name, queries, description)
        click.echo(f"{library.save(made, overwrite)}: {name} from {len(queries)} queries: {told}")
        return
    from qsep_live.dsp.grid import MODEL_RATE
    from qsep_live.latent.query import query_latent, sounding_segments
    from qsep_live.nets.encode import encode
    from qsep_live.nets.model import load_model

    chosen = choices.choose_model(model)
    sounds = [_query(Path(query).expanduser(), MODEL_RATE, 1)[0] for query in queries]
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
@click.option("--model", metavar="NAME", help="Model that gives stems: each of them is a preset.")
@options.overwrite_option
def blend(
    name: str, between: tuple[str, str], place: float, description: str, model: str | None, overwrite: bool
) -> None:
    """Make a preset that lies between two others, on the great circle (slerp)."""
    from qsep_live.latent.library import PresetLibrary
    from qsep_live.latent.morph import Morph
    from qsep_live.latent.preset import Preset, together

    library = PresetLibrary()
    entry = _stems_of(model)
    if model is not None and entry is None:
        raise UsageError(f"--model {model}: there is no model of this name here that gives stems")
    ends = [library.get(end) if entry is None else library.for_model(end, entry.spec).preset for end in between]
    if all(end.stems for end in ends):
        ends = together(ends)
    latent = Morph(ends).latent(place)
    provenance: dict[str, Scalar | list[Scalar]] = {
        "made_by": f"qsep-live {__version__}",
        "date": _today(),
        "between": list(between),
        "at": place,
    }
    text = description or Morph(ends).describe(place)
    made = Preset(name, latent, ends[0].model, text, provenance, stems=ends[0].stems).without_silent_stems()
    click.echo(f"{library.save(made, overwrite)}: {made.name}, {Morph(ends).describe(place)}")


@presets.command()
@click.argument("name")
def remove(name: str) -> None:
    """Remove one of your presets."""
    from qsep_live.latent.library import PresetLibrary

    click.echo(f"removed {PresetLibrary().remove(name)}")


def _stems_of(model: str | None) -> Entry | None:
    """The model of ``--model``, if that is the name of one that gives stems."""
    from qsep_live.models.registry import find_stems

    return None if model is None else find_stems(model)


def _of_stems(entry: Entry, name: str, queries: tuple[str, ...], description: str) -> tuple[Preset, str]:
    """The preset of queries that a model's stems were got from, and the shares of the energy in words."""
    from qsep_live.latent.preset import Preset
    from qsep_live.latent.stem_query import query_weights
    from qsep_live.latent.stem_weights import shares_in_words

    spec = entry.spec
    sounds = [_query(Path(query).expanduser(), spec.rate, spec.channels) for query in queries]
    weights = query_weights(entry.open(threads=choices.offline_threads(None)), sounds)
    provenance: dict[str, Scalar | list[Scalar]] = {
        "made_by": f"qsep-live {__version__}",
        "date": _today(),
        "model": spec.name,
        "queries": [Path(query).name for query in queries],
        "seconds": round(sum(sound.shape[1] for sound in sounds) / spec.rate, 2),
    }
    made = Preset(name, weights, description=description, provenance=provenance, stems=spec.stems)
    return made.without_silent_stems(), shares_in_words(weights, spec.stems)


def _query(path: Path, rate: int, channels: int) -> NDArray[np.float32]:
    """A query as a model takes it, (channels, samples) at its rate: one channel is twice, or several are mixed."""
    import numpy as np

    from qsep_live.audio.files import open_audio
    from qsep_live.audio.resample import resample

    with open_audio(path) as reader:
        blocks: Iterator[NDArray[np.float32]] = reader.blocks(1 << 16)
        # Channels that are as many as the model's are its own; any others are mixed to the middle.
        kept = (b if b.shape[1] == channels else b.mean(axis=1, keepdims=True, dtype="float32") for b in blocks)
        sound = _joined(kept)
        if reader.repaired:
            raise QsepError(f"{path}: holds {reader.repaired} NaN or infinite samples: export the sound again")
    resampled = resample(sound, reader.rate, rate).T
    return np.ascontiguousarray(np.broadcast_to(resampled, (channels, resampled.shape[1])))


def _joined(pieces: Iterator[NDArray[np.float32]]) -> NDArray[np.float32]:
    import numpy as np

    return np.concatenate(list(pieces))


def _refuse_taken(names: Sequence[str], name: str, overwrite: bool) -> None:
    """Before the work, not after it; the library itself looks again when it saves."""
    if not overwrite and name.lower() in (taken.lower() for taken in names):
        raise UsageError(f"there is a preset {name!r} already: choose another name, or say --overwrite")


def _words(value: object) -> str:
    return ", ".join(str(item) for item in value) if isinstance(value, list) else str(value)


def _today() -> str:
    return datetime.datetime.now(datetime.UTC).date().isoformat()

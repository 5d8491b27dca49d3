"""`qsep-live presets retrain` and `compare`: move a preset's latent to an emotion's pitch and density."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from qsep_live import __version__
from qsep_live.cli import choices, options
from qsep_live.cli.evaluate import finish, output_option, prepare_folder, track_bar
from qsep_live.errors import QsepError, UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from qsep_live.cli.choices import ModelChoice
    from qsep_live.compose.preset_retrain import Retrained
    from qsep_live.evaluation.report import Report

METHOD = "actor-critic"


@click.command()
@click.argument("name")
@click.option("--emotion", metavar="WORD", required=True, help="One of nine, in English or Korean: bright, 밝음, …")
@click.option("-o", "--output", "target", metavar="NAME", required=True, help="The preset that is made.")
@click.option("--audio", "files", metavar="FILE", multiple=True, help="Music to listen to; by default the demo song.")
@click.option("--strength", type=options.SHARE, default="1", show_default=True, help="Share of the emotion's shift.")
@click.option(
    "--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True, help="Equal seed, equal preset."
)
@click.option("--references", metavar="FILE", help="Table of `compose references`; the default one otherwise.")
@click.option("--description", default="", help="A short text.")
@click.option("--model", metavar="FILE", help="Checkpoint (.safetensors); the one that comes along by default.")
@options.overwrite_option
@options.json_option
def retrain(
    name: str, emotion: str, target: str, files: tuple[str, ...], strength: float, seed: int, references: str | None,
    description: str, model: str | None, overwrite: bool, as_json: bool,
) -> None:  # fmt: skip
    """Move preset NAME until what it lets through has more of an emotion's pitch and density."""
    from qsep_live.compose.emotions import DEFAULT, emotion_of, load_references
    from qsep_live.latent.library import PresetLibrary
    from qsep_live.latent.preset import Preset
    from qsep_live.latent.preset_fields import check_name

    english = emotion_of(emotion)
    table = load_references(Path(references).expanduser()) if references else DEFAULT
    library = PresetLibrary()
    check_name(target)
    taken = {each.lower() for each in library.names()}
    if not overwrite and target.lower() in taken:
        raise UsageError(f"there is a preset {target!r} already: choose another name, or say --overwrite")
    chosen = choices.choose_model(model)
    (preset,) = choices.choose_presets((name,), chosen)
    sounds = _sounds(files)

    from qsep_live.compose.preset_retrain import emotion_shift, retrain, windows_of
    from qsep_live.nets.model import load_model
    from qsep_live.ui.progress import progress_bar

    windows = _together([windows_of(sound, which) for which, sound in sounds])
    shift = emotion_shift(table, english, strength)
    latents = _others(chosen, name)
    with progress_bar(f"{name} to {english}", 1.0, hidden=as_json) as progress:
        result = retrain(load_model(chosen.path), preset.latent, latents, windows, shift, seed, progress)
    provenance: dict[str, Any] = {
        "made_by": f"qsep-live {__version__}",
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "method": METHOD,
        "preset": name,
        "emotion": english,
        "strength": strength,
        "seed": seed,
        "audio": [which for which, _ in sounds],
    }
    provenance["structure_limit"] = round(result.limit, 4)
    for when, state in (("before", result.before), ("after", result.after)):
        provenance |= {f"{key}_{when}": round(value, 4) for key, value in state._asdict().items()}
    text = description or f"{name}, {english}"
    path = library.save(Preset(target, result.latent, chosen.fingerprint, text, provenance, preset.effects), overwrite)
    if as_json:
        from qsep_live.ui.lines import json_line

        values = asdict(result) | {"latent": [float(value) for value in result.latent]}
        states = {key: getattr(result, key)._asdict() for key in ("before", "after", "asked", "got", "short")}
        click.echo(json_line("retrained", {"name": target, "file": str(path), "emotion": english} | values | states))
        return
    _tell(result, english)
    click.echo(f"{path}: {target} from {name}, {english}")


@click.command()
@click.argument("names", metavar="NAME[,NAME]...")
@click.option("--emotions", metavar="WORDS", default="bright,gloomy", show_default=True, help="Comma separated.")
@click.option("--audio", "files", metavar="FILE", multiple=True, help="Music to listen to; by default the demo song.")
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True)
@click.option("--model", metavar="FILE", help="Checkpoint (.safetensors); the one that comes along by default.")
@output_option(required=True)
def compare(
    names: str, emotions: str, files: tuple[str, ...], seed: int, model: str | None, output: Path
) -> None:  # fmt: skip
    """Hold `retrain` against plain gradient search and random search.

    All three may ask the Separator about the same number of latents. Writes a table (Markdown, CSV), and no preset.
    """
    import time

    from qsep_live.compose.emotions import DEFAULT, emotion_of

    english = [emotion_of(word) for word in emotions.split(",")]
    chosen = choices.choose_model(model)
    presets = choices.choose_presets(tuple(each.strip() for each in names.split(",")), chosen)
    sounds = _sounds(files)
    prepare_folder(output)

    from qsep_live.compose.preset_retrain import METHODS, emotion_shift, retrain, windows_of
    from qsep_live.nets.model import load_model

    loaded, windows = load_model(chosen.path), _together([windows_of(sound, which) for which, sound in sounds])
    cases = [(preset, emotion, method) for preset in presets for emotion in english for method in METHODS]
    rows = []
    with track_bar("retrain", len(cases)) as tell:
        for number, (preset, emotion, method) in enumerate(cases, 1):
            shift, others = emotion_shift(DEFAULT, emotion), _others(chosen, preset.name)
            began = time.process_time()
            result = retrain(loaded, preset.latent, others, windows, shift, seed, method=method)
            rows.append((preset.name, emotion, method, result, time.process_time() - began))
            tell(number)
    finish(_comparison(rows, METHODS, ", ".join(which for which, _ in sounds)), output)


def _comparison(
    rows: Sequence[tuple[str, str, str, Retrained, float]], methods: Sequence[str], audio: str
) -> Report:  # fmt: skip
    import numpy as np

    from qsep_live.evaluation.report import Report, Table

    table = Table(
        f"Presets moved to emotions, {audio}",
        ("preset", "emotion", "method", "semitones asked", "got", "density asked, %", "got ", "way closed, %",
         "level, dB", "structure before", "after", "real up to", "CPU s"),
    )  # fmt: skip
    for preset, emotion, method, each, seconds in rows:
        densities = [100.0 * (2.0**shift.density - 1.0) for shift in (each.asked, each.got)]
        table.rows.append(
            (preset, emotion, method, each.asked.pitch, each.got.pitch, *map(float, densities), 100.0 * each.closed,
             each.after.level - each.before.level, each.before.structure, each.after.structure, each.limit, seconds)
        )  # fmt: skip
    for method in methods:
        own = [(each.closed, seconds) for _, _, which, each, seconds in rows if which == method]
        share, spent = np.mean(own, axis=0)
        nothing = float("nan")
        table.rows.append(("mean", "", method, *[nothing] * 4, 100.0 * float(share), *[nothing] * 4, float(spent)))
    table.notes.append("way closed: 1 - |got - asked| / |asked|, pitch and density both in octaves")
    return Report("presets", table)


def _others(model: ModelChoice, name: str) -> list[NDArray[np.float32]]:
    """Latents of the model's other presets, without those that `retrain` made: they came from no sound."""
    from qsep_live.latent.library import PresetLibrary

    return [
        each.latent for each in PresetLibrary().latents_of(model.fingerprint)
        if each.name != name and each.provenance.get("method") != METHOD
    ]  # fmt: skip


def _sounds(files: Sequence[str]) -> list[tuple[str, NDArray[np.float32]]]:
    """What each is called, and its samples at the model's rate, (n, 1 or 2)."""
    from qsep_live.audio.demo import demo_song
    from qsep_live.audio.files import open_audio
    from qsep_live.audio.resample import resample
    from qsep_live.dsp.grid import MODEL_RATE

    if not files:
        song = demo_song()
        return [("demo song", resample(song.mixture, song.rate, MODEL_RATE))]
    found = []
    for file in files:
        path = Path(file).expanduser()
        with open_audio(path) as reader:
            sound = reader.read()
            if reader.repaired:
                raise QsepError(f"{path}: holds {reader.repaired} NaN or infinite samples: export the sound again")
            # More than two channels have no side.
            stereo = sound if sound.shape[1] <= 2 else sound.mean(axis=1, keepdims=True, dtype="float32")
            found.append((path.name, resample(stereo, reader.rate, MODEL_RATE)))
    return found


def _together(windows: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Windows of all files, mono ones as stereo where others are stereo."""
    import numpy as np

    channels = max(each.shape[1] for each in windows)
    return np.concatenate([np.broadcast_to(each, (len(each), channels, each.shape[2])) for each in windows])


def _tell(result: Retrained, emotion: str) -> None:
    from qsep_live.ui.columns import columns

    before, after, asked, got, short = result.before, result.after, result.asked, result.got, result.short
    rows = [
        (
            "pitch",
            f"{before.pitch:.0f} Hz",
            f"{after.pitch:.0f} Hz",
            f"{got.pitch:+.1f} semitones",
            f"{asked.pitch:+.1f}",
        ),
        (
            "density",
            f"{before.density:.2f}/s",
            f"{after.density:.2f}/s",
            _percent(got.density),
            _percent(asked.density),
        ),
        ("level", f"{before.level:.1f} dB", f"{after.level:.1f} dB", f"{after.level - before.level:+.1f} dB", ""),
        ("structure", f"{before.structure:.2f}", f"{after.structure:.2f}", f"real up to {result.limit:.2f}", ""),
    ]
    for line in columns(rows, ("", "BEFORE", "AFTER", "SHIFT", "ASKED")):
        click.echo(line)
    missed = []
    for what, value, size in (
        ("pitch", short.pitch, f"{abs(short.pitch):.1f} semitones"),
        ("density", short.density, f"{abs(short.density):.2f} octaves"),
    ):
        if value:
            missed.append(f"{what} {'falls short' if value > 0 else 'goes too far'} by {size}")
    if after.structure > result.limit:
        click.echo(f"less real than real latents are, like the preset itself (up to {result.allowed:.2f} was taken)")
    if missed:
        click.echo(f"{emotion} is not reached: {'; '.join(missed)}")


def _percent(octaves: float) -> str:
    return f"{100.0 * (2.0**octaves - 1.0):+.0f} %"

"""`qsep-live compose`: melodies from a MusicVAE, and what steers them."""

from __future__ import annotations

import time
from dataclasses import fields
from pathlib import Path
from typing import Any

import click

from qsep_live.cli import choices, options
from qsep_live.cli.assignments import assign
from qsep_live.cli.interrupt import Interrupted, Noted
from qsep_live.cli.lazy import LazyGroup
from qsep_live.cli.slakh import find_midi
from qsep_live.errors import UsageError

_PATH = click.Path(path_type=Path)
_COMMANDS = {
    "melody": "qsep_live.cli.melody:melody",
    "train-actor": "qsep_live.cli.melody:train_actor",
    "evaluate": "qsep_live.cli.melody:evaluate",
    "spectrogram": "qsep_live.cli.spectrogram:spectrogram",
}


@click.group(cls=LazyGroup, commands_at=_COMMANDS)
def compose() -> None:
    """Melodies from a model, steered by emotions; and music that goes on from a clip."""


@compose.command("train-vae")
@click.argument("inputs", metavar="DIR...", type=_PATH, nargs=-1, required=True)
@click.option(
    "--minutes", metavar="N", type=click.FloatRange(0.0, min_open=True), help="Budget: the schedule spans it."
)
@click.option("--steps", metavar="N", type=click.IntRange(1), help="Budget in steps.")
@click.option("--stop-after", metavar="MINUTES", type=click.FloatRange(0.0, min_open=True),
              help="Stop and save after so many minutes; the same command goes on.")  # fmt: skip
@click.option("--validate-every", metavar="MINUTES", type=click.FloatRange(0.0, min_open=True), default=3.0,
              show_default=True, help="Accuracy on the validation songs, and the state to go on from.")  # fmt: skip
@click.option("--set", "assignments", metavar="NAME=VALUE", multiple=True,
              help="Change a size or a setting: latent=64, free_bits=48; may be repeated.")  # fmt: skip
@click.option("--precision", type=click.Choice(options.PRECISIONS), default="fp32", show_default=True,
              help="bf16: autocast, weights stay fp32; twice as fast where the CPU has it.")  # fmt: skip
@click.option("--threads", metavar="N", type=click.IntRange(1, 1024), help="Of the network; all cores by default.")
@click.option("-o", "--output", metavar="RUN", type=_PATH, required=True,
              help="Folder of the run; one that is there already goes on where it was saved.")  # fmt: skip
def train_vae(**given: Any) -> None:
    """Train the MusicVAE on the melodies of MIDI files.

    DIR is a folder of MIDI files in 4/4 (or a file, or the songs.safetensors of another run). A tenth of the songs
    validates, a tenth is held out for the report at the end. RUN gets songs.safetensors, state, log.csv, the best
    network so far (best.safetensors) and, when the budget is used, model.safetensors.
    """
    started = time.monotonic()
    missing = [path for path in given["inputs"] if not path.exists()]
    if missing:
        raise UsageError(f"{missing[0]}: no such file or folder; give folders of MIDI files")
    if (given["minutes"] is None) == (given["steps"] is None):
        raise UsageError("how long? give --minutes N or --steps N, one of them")
    import torch

    from qsep_live.compose.train_vae import Budget, VaeTrainer, VaeTraining
    from qsep_live.compose.vae import VaeConfig
    from qsep_live.compose.vae_run import VaeRun
    from qsep_live.training.reporter import Lines

    config, training = assign(VaeConfig(), VaeTraining(precision=given["precision"]), given["assignments"])
    budget = Budget(steps=given["steps"]) if given["steps"] else Budget(seconds=60.0 * given["minutes"])
    files = find_midi(list(given["inputs"]))
    run = VaeRun(given["output"])
    torch.set_num_threads(given["threads"] or choices.cores())
    with Noted() as noted, Lines() as reporter:
        settings = {each.name: getattr(part, each.name) for part in (config, training) for each in fields(part)}
        songs = run.claim(
            settings, files, lambda text: click.echo(text, err=True),
            lambda share: reporter.advance(share, "reading MIDI"),
        )  # fmt: skip
        trainer = VaeTrainer(config, training, songs, run, reporter, 60.0 * given["validate_every"])
        split = trainer.split
        windows = sum(len(song.windows) for song in split.train)
        reporter.line(
            f"{len(split.train)} songs with {windows} windows to learn from, {len(split.validation)} to validate on,"
            f" {len(split.held_out)} held out; {sum(each.numel() for each in trainer.vae.parameters()):,} weights;"
            f" from step {trainer.progress.step}"
        )
        deadline = started + 60.0 * given["stop_after"] if given["stop_after"] else None
        noted.defer()
        scores = trainer.train(budget, lambda: noted.wished or (deadline is not None and time.monotonic() >= deadline))
    if scores is not None:
        click.echo(f"{run.model}: held-out songs: {scores.told()}")
    elif noted.wished:
        raise Interrupted(noted.number)
    else:
        click.echo(f"{run.path}: stopped at step {trainer.progress.step}; the same command goes on")


@compose.command()
@click.argument("folder", metavar="[DIR]", type=_PATH, required=False)
@click.option("-o", "--output", metavar="FILE", type=_PATH, help="Write the table as TOML, to be used or edited.")
def references(folder: Path | None, output: Path | None) -> None:
    """Mean pitch and density of the melodies of each emotion.

    DIR holds a folder of MIDI files for each emotion, named in English or Korean. Without it the default table is
    shown.
    """
    from qsep_live.compose.emotions import DEFAULT, KOREAN, save_references
    from qsep_live.ui.columns import columns

    if folder is None:
        table = dict(DEFAULT)
        rows = [(name, f"{each.pitch:.2f}", f"{each.density:.2f}", KOREAN[name]) for name, each in table.items()]
        lines = columns(rows, ("EMOTION", "PITCH", "NOTES A BAR", ""))
    else:
        from qsep_live.compose.references import measure_folder

        found = measure_folder(folder, lambda text: click.echo(text, err=True))
        table = {name: each.reference for name, each in found.items()}
        measured = [
            (name, f"{each.reference.pitch:.2f}", f"{each.reference.density:.2f}",
             f"{each.pitch_spread:.2f}", f"{each.density_spread:.2f}", f"{each.in_key:.2f}", f"{each.similarity:.2f}",
             str(each.melodies), KOREAN[name])
            for name, each in found.items()
        ]  # fmt: skip
        heads = ("EMOTION", "PITCH", "NOTES A BAR", "±PITCH", "±NOTES", "IN KEY", "SIMILARITY", "MELODIES", "")
        lines = columns(measured, heads)
    for line in lines:
        click.echo(line)
    if output:
        save_references(table, output)
        click.echo(f"{output}: written")

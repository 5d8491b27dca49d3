"""`qsep-live train`: a model from stems, in one go or in stretches; `qsep-live ship`: make it the default one."""

from __future__ import annotations

import math
import re
import time
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from qsep_live.cli import choices, options
from qsep_live.cli.interrupt import Interrupted, Noted
from qsep_live.errors import QsepError, UsageError
from qsep_live.training.schedule import Budget, Every

if TYPE_CHECKING:
    from qsep_live.training.distributed import Ranks
    from qsep_live.training.loop import Ending
    from qsep_live.training.settings import Settings

_FOLDER = click.Path(path_type=Path)
_STEPS = re.compile(r"(\d+)\s*(?:steps?)?")


class _Span(options._ParamType):
    """Minutes of training, or steps."""

    name = "SPAN"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Every:
        if isinstance(value, Every):
            return value
        if found := _STEPS.fullmatch(value.strip()):
            if int(found[1]) > 0:
                return Every(steps=int(found[1]))
            self.fail(f"{value!r} is out of range: give 10m, 90s, or a number of steps", param, ctx)
        try:
            return Every(seconds=options.DURATION.convert(value, None, None))
        except click.BadParameter:
            self.fail(f"{value!r} is neither a time nor a number of steps: give 10m, 90s, or 500", param, ctx)


def _list_recipes(ctx: click.Context, _param: click.Parameter, value: str) -> str:
    """``--recipe list`` prints what the recipes hold, and ends."""
    if value == "list" and not ctx.resilient_parsing:
        _print_recipes()
        ctx.exit()
    return value


def _print_recipes() -> None:
    from qsep_live.training.recipe import RECIPES
    from qsep_live.training.settings import settings_of
    from qsep_live.ui.columns import columns

    names = list(RECIPES)
    flat = [settings_of(name).flat() for name in names]
    settings = list(dict.fromkeys(key for each in flat for key in each))
    rows = [(key, *(_shown(each[key]) if key in each else "–" for each in flat)) for key in settings]
    for line in columns(rows, ("SETTING", *names)):
        click.echo(line)
    for name in names:
        if notes := settings_of(name).notes:
            click.echo(f"\n{name}: {' '.join(notes.split())}")


@click.command()
@click.option("--musdb", type=_FOLDER, metavar="DIR", help="MUSDB18 or MUSDB18-HQ as published: train/…")
@click.option(
    "--musdb-weight",
    metavar="SHARE",
    type=click.FloatRange(0.0, min_open=True),
    default=2.0,
    show_default=True,
    help="How often songs are drawn from MUSDB18, beside 1 for each other source.",
)
@click.option("--slakh", type=_FOLDER, metavar="DIR", help="Slakh2100 as published: train/Track00001/…")
@click.option(
    "--slakh-tracks",
    type=click.IntRange(1),
    metavar="N",
    help="Read so many tracks of each split; all of Slakh2100 takes more memory than most machines have.",
)
@click.option(
    "--stems",
    type=_FOLDER,
    metavar="DIR",
    multiple=True,
    help="A folder of SONG/CLASS.wav or CLASS/FILE.wav (flac, ogg); may be repeated.",
)
@click.option(
    "--instruments",
    type=_FOLDER,
    metavar="DIR",
    multiple=True,
    help="A folder of single instruments, CLASS/INSTRUMENT/FILE.wav, for fine classes only; may be repeated.",
)
@click.option(
    "--validation",
    type=_FOLDER,
    metavar="DIR",
    help="Songs to validate on, SONG/CLASS.wav; by default the validation songs of --musdb or --slakh.",
)
@click.option("--data", "words", metavar="TEXT", default="", help="What the model's card says the data was.")
@click.option(
    "--recipe",
    metavar="NAME",
    default="shipped",
    show_default=True,
    is_eager=True,
    callback=_list_recipes,
    help="Networks, losses, mixing, optimiser and schedule; 'list' shows them all.",
)
@click.option(
    "--set",
    "assignments",
    metavar="NAME=VALUE",
    multiple=True,
    help="Change one setting of the recipe: losses.kl=0.02; may be repeated.",
)
@click.option(
    "--batch", metavar="N", type=click.IntRange(1), help="Windows a step, over all processes; the recipe's by default."
)
@click.option(
    "--lr", metavar="RATE", type=click.FloatRange(0.0, min_open=True), help="Learning rate; the recipe's by default."
)
@click.option(
    "--minutes", metavar="N", type=click.FloatRange(0.0, min_open=True), help="Budget: the schedule spans it."
)
@click.option("--steps", metavar="N", type=click.IntRange(1), help="Budget in steps.")
@click.option(
    "--stop-after",
    type=click.FloatRange(0.0, min_open=True),
    metavar="MINUTES",
    help="Stop and save after so many minutes; the same command goes on.",
)
@click.option("--log-every", type=_Span(), default="1m", show_default=True, help="A line and a row of log.csv.")
@click.option("--save-every", type=_Span(), default="5m", show_default=True, help="The state to go on from.")
@click.option("--validate-every", type=_Span(), default="10m", show_default=True, help="SDR per class, and figures.")
@click.option(
    "--latent-segments",
    metavar="N",
    type=click.IntRange(1),
    default=256,
    show_default=True,
    help="Segments behind each class's mean latent in the finished model.",
)
@click.option(
    "--warm-start",
    type=_FOLDER,
    metavar="FILE",
    help="Begin a new run with the weights of a model: both networks, or the one that is the same.",
)
@click.option("--seed", metavar="N", type=click.IntRange(0, 2**31 - 1), default=0, show_default=True)
@click.option(
    "--precision",
    type=click.Choice(options.PRECISIONS),
    default="fp32",
    show_default=True,
    help="bf16: autocast, weights stay fp32.",
)
@click.option("--device", type=click.Choice(options.DEVICES), default="auto", show_default=True)
@click.option(
    "--threads", metavar="N", type=click.IntRange(1, 1024), help="Of the networks on the CPU; all cores by default."
)
@click.option(
    "--workers",
    metavar="N",
    type=click.IntRange(0, 256),
    help="Processes that mix ahead; 1 by default, more for a GPU.",
)
@click.option("--compile", "compiled", is_flag=True, help="torch.compile the networks; needs a C++ compiler.")
@click.option("-o", "--output", type=_FOLDER, metavar="RUN", required=True,
              help="Folder of the run; one that is there already goes on where it was saved.")  # fmt: skip
def train(**given: Any) -> None:
    """Train a model on stems.

    The run lives in a folder: state, log.csv, figures, the best model so far (best.safetensors) and, when the budget
    is used, model.safetensors. Ctrl-C saves; the same command goes on at the very step. Several GPUs or machines:
    torchrun --nproc-per-node 2 -m qsep_live train …
    """
    started = time.monotonic()
    settings = _settings(given)
    budget = _budget(given, settings)
    if not (given["musdb"] or given["slakh"] or given["stems"]):
        raise UsageError("nothing to train on: give --musdb DIR, --slakh DIR or --stems DIR")

    from qsep_live.training.distributed import ranks_from_environment

    ranks = ranks_from_environment()
    try:
        with Noted() as noted:
            ending = _run(given, settings, budget, ranks, noted, started)
    except QsepError as error:
        # Every process tells its own error: say whose it is.
        raise error if ranks.size == 1 else type(error)(f"process {ranks.rank} of {ranks.size}: {error}") from None
    if ending.name == "INTERRUPTED":
        raise Interrupted(noted.number)


def _run(
    given: dict[str, Any], settings: Settings, budget: Budget, ranks: Ranks, noted: Noted, started: float
) -> Ending:
    from qsep_live.training.loop import Ending, LoopConfig
    from qsep_live.training.reporter import Lines, Silent
    from qsep_live.training.run_folder import RunFolder
    from qsep_live.training.session import DataConfig, Machine, train_model

    recipe = settings.recipe
    config = LoopConfig(
        budget,
        recipe.batch,
        recipe.learning_rate,
        recipe.losses,
        settings.optimiser,
        settings.schedule,
        seed=given["seed"],
        log_every=given["log_every"],
        save_every=given["save_every"],
        validate_every=given["validate_every"],
        precision=given["precision"],
        compile=given["compiled"],
        workers=_workers(given, ranks),
    )
    data = DataConfig(
        given["musdb"],
        given["musdb_weight"],
        given["slakh"],
        given["slakh_tracks"],
        given["stems"],
        given["instruments"],
        given["validation"],
        given["words"],
        given["latent_segments"],
    )
    machine = Machine(given["device"], given["threads"] or max(1, choices.cores() // ranks.local_size))
    deadline = started + 60.0 * (given["stop_after"] or math.inf)

    def wish() -> Ending | None:
        if noted.wished:
            return Ending.INTERRUPTED
        return Ending.STRETCH if time.monotonic() >= deadline else None

    with Lines() if ranks.first else nullcontext(Silent()) as reporter:
        return train_model(
            settings, data, config, machine, RunFolder(given["output"]), reporter, ranks, given["warm_start"],
            lambda: noted.defer(), wish,
        )  # fmt: skip


def _settings(given: dict[str, Any]) -> Settings:
    from qsep_live.training.settings import settings_of

    assignments = list(given["assignments"])
    assignments += [f"batch={given['batch']}"] if given["batch"] else []
    assignments += [f"learning_rate={given['lr']!r}"] if given["lr"] else []
    return settings_of(given["recipe"]).changed(assignments)


def _budget(given: dict[str, Any], settings: Settings) -> Budget:
    minutes, steps = given["minutes"], given["steps"]
    if minutes is not None and steps is not None:
        raise UsageError("--minutes and --steps are two budgets: give one of them")
    if minutes is not None:
        return Budget(seconds=60.0 * minutes)
    steps = steps or settings.schedule.natural_end(settings.recipe.learning_rate)
    if steps is None:
        raise UsageError("how long? give --minutes N or --steps N: the learning rate falls over this budget")
    return Budget(steps=steps)


def _workers(given: dict[str, Any], ranks: Ranks) -> int:
    if given["workers"] is not None:
        return int(given["workers"])
    import torch

    gpu = given["device"] in ("auto", "cuda") and torch.cuda.is_available()
    return max(1, min(12, choices.cores() // ranks.local_size - 1)) if gpu else 1


@click.command()
@click.argument("run", type=_FOLDER)
@click.option("--last", is_flag=True, help="The weights at the end; by default those that validated best.")
@click.option("-o", "--output", type=_FOLDER, metavar="DIR", default=Path(), show_default="this folder",
              help="Gets models/ and presets/.")  # fmt: skip
def ship(run: Path, last: bool, output: Path) -> None:
    """Make the model of a run the default one.

    Writes DIR/models/default.safetensors (float16), its card default.md, and DIR/presets with a preset for each class
    that the model has a mean latent of. In a checkout these are the ones that come with qsep-live.
    """
    from qsep_live.training.ship import ship_run

    for line in ship_run(run, output, last):
        click.echo(line)


def _shown(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)

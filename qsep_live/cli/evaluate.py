"""`qsep-live evaluate`: SDR on MUSDB18, beside the mixture, the oracle and published figures."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from qsep_live.cli import choices, options
from qsep_live.errors import QsepError, UsageError

if TYPE_CHECKING:
    from qsep_live.evaluation.latents import Latent, Source
    from qsep_live.evaluation.network import NetworkSpec
    from qsep_live.evaluation.report import Report
    from qsep_live.evaluation.scores import Conditions
    from qsep_live.evaluation.tracks import Tracks

Command = TypeVar("Command", bound=Callable[..., Any])
SPLITS = ("valid", "test", "train")
METRICS = ("museval", "sdr")
LATENTS = ("mean", "random", "truth", "iterative")


def _latents(_ctx: click.Context, _param: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(options.split_names(_ctx, _param, values)))
    for name in names:
        if name not in LATENTS:
            near = get_close_matches(name, LATENTS, 1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise click.BadParameter(f"there are no latents {name!r}; {hint}there are {', '.join(LATENTS)}")
    return names


musdb_option = click.option(
    "--musdb", "musdb", metavar="DIR", required=True, type=click.Path(path_type=Path),
    help="MUSDB18's or MUSDB18-HQ's folder, with train/ and test/.",
)  # fmt: skip
split_option = click.option(
    "--split", type=click.Choice(SPLITS), default="valid", show_default=True,
    help="valid: the 14 validation songs that musdb names.",
)  # fmt: skip
means_option = click.option(
    "--means", type=click.Choice(("presets", "train")), default="presets", show_default=True,
    help="Mean latents: the model's presets, or made from the training songs now.",
)  # fmt: skip
metric_option = click.option("--metric", type=click.Choice(METRICS), default="museval", show_default=True)
seed_option = click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of what is random.")


def running_options(command: Command) -> Command:
    """How much is measured, and on what: ``--limit``, ``--seconds``, ``--model``, ``--device``, ``--jobs`` …"""
    several = (
        click.option("--limit", type=click.IntRange(1), metavar="N", help="The first N tracks only."),
        click.option("--seconds", type=click.FloatRange(3.0), metavar="S",
                     help="The middle S seconds of each track only."),
        click.option("--jobs", type=click.IntRange(1, 256), default=1, show_default=True, metavar="N",
                     help="Processes, a track each."),
    )  # fmt: skip
    command = options.network_options(command)
    for option in reversed(several):
        command = option(command)
    return command


def output_option(required: bool) -> Callable[[Command], Command]:
    """``-o``: a folder, made if need be."""
    return click.option(
        "-o", "--output", metavar="DIR", required=required, type=click.Path(path_type=Path),
        help="Folder for the table (Markdown, CSV) and the figure (PNG).",
    )  # fmt: skip


@click.command(short_help="Measure the model on MUSDB18.")
@musdb_option
@split_option
@click.option("--latents", "latents", metavar="NAMES", multiple=True, callback=_latents, default=("mean",),
              help="Steered by, comma separated: mean (of the class), random (a segment of another song), truth (the "
                   "song's own stem), iterative (its own first output).  [default: mean]")  # fmt: skip
@click.option("--delay", "delays", type=options.DELAY, multiple=True,
              help="What live gives at 23ms, 0.1s …, too; may be repeated.")  # fmt: skip
@click.option("--streaming", is_flag=True, help="Delays through the live engine, block by block, masks a period late.")
@click.option("--blocksize", type=click.IntRange(16, options.LARGEST_BLOCK), default=256, show_default=True,
              help="Frames in a block of --streaming.")  # fmt: skip
@click.option("--period", type=options.DURATION, default="60ms", show_default=True,
              help="Between masks, with --delay; qsep-live bench mask says what this machine needs.")  # fmt: skip
@options.ahead_option
@options.window_option
@click.option("--wiener", is_flag=True, help="Also with a multichannel Wiener filter behind it.")
@click.option("--fast", is_flag=True, help="A model that gives stems: in bfloat16, as render --fast.")
@metric_option
@means_option
@seed_option
@running_options
@output_option(required=False)
def evaluate(
    musdb: Path, split: str, latents: tuple[Source, ...], delays: tuple[float | str, ...], streaming: bool,
    blocksize: int, period: float, ahead: int | None, window: int | None, wiener: bool, metric: Any, means: str,
    seed: int, limit: int | None, seconds: float | None, jobs: int, model: str | None, device: str,
    threads: int | None, fast: bool, output: Path | None,
) -> None:  # fmt: skip
    """Median SDR of each class through the engine, beside the mixture, the oracle mask and published figures."""
    from qsep_live.evaluation.rendering import Live
    from qsep_live.evaluation.scores import measured, score_report
    from qsep_live.evaluation.tracks import MusdbTracks
    from qsep_live.models.registry import find_stems

    if model is not None and find_stems(model) is not None:
        if latents != ("mean",) or delays or streaming or wiener or ahead is not None or window is not None:
            raise UsageError(f"--model {model} gives stems: no --latents, --delay, --streaming, --window or --wiener")
        _evaluate_stems(model, device, threads, jobs, MusdbTracks(musdb, split, limit, seconds), metric, fast, output)
        return
    if fast:
        raise UsageError("--fast is for a model that gives stems; give its name as --model")
    timed = timed_delays(delays, window)
    if streaming and not timed:
        raise UsageError("--streaming needs to know at which delay: add --delay 46ms, for example")
    prepare_folder(output)
    chosen = choices.choose_model(model)
    ahead = choices.choose_ahead(ahead, chosen)
    live = Live(period, blocksize if streaming else 0, ahead, foresight=chosen.foresight, window=window)
    tracks = MusdbTracks(musdb, split, limit, seconds)
    spec = network_spec(model, device, threads, jobs)
    conditions = make_conditions(
        spec, tracks, musdb, latents, means, seed, delays=(None, *timed), live=live, wiener=wiener, metric=metric
    )
    with track_bar("tracks", len(tracks)) as tell:
        scores = measured(conditions, spec, tracks, jobs, tell)
    finish(score_report("evaluate", "SDR by class", scores, tracks.label, metric, live), output)


def _evaluate_stems(
    name: str, device: str, threads: int | None, jobs: int, tracks: Tracks, metric: Any, fast: bool,
    output: Path | None,
) -> None:  # fmt: skip
    """A model that gives stems, as ``render`` makes files with it."""
    from qsep_live.evaluation.rendering import Live
    from qsep_live.evaluation.scores import measured, score_report
    from qsep_live.evaluation.stem_scores import StemConditions, StemModel

    prepare_folder(output)
    count = threads if threads is not None else max(1, choices.cores() // jobs)
    spec = StemModel(name, device, count, exact=not fast)
    row = f"{name}, offline{', --fast' if fast else ''}"
    with track_bar("tracks", len(tracks)) as tell:
        scores = measured(StemConditions(row, metric), spec, tracks, jobs, tell)
    finish(score_report("evaluate", "SDR by class", scores, tracks.label, metric, Live()), output)


def timed_delays(delays: tuple[float | str, ...], window: int | None = None) -> tuple[float, ...]:
    """What ``--delay`` means to a measurement: seconds, each once; files are measured without being asked.

    Raises
    ------
    UsageError
        One is out of the engine's range, too long for ``window``, or ``auto``.
    """
    from qsep_live.engine.delay import plan_delay

    if "auto" in delays:
        raise UsageError("--delay auto is of a live session: give a time, such as 46ms")
    timed = tuple(dict.fromkeys(delay for delay in delays if isinstance(delay, float)))
    for delay in timed:
        plan_delay(delay, 44_100)
        choices.choose_window(window, delay)
    return timed


def network_spec(model: str | None, device: str, threads: int | None, jobs: int) -> NetworkSpec:
    """The model to measure; without ``--threads`` the jobs share the cores."""
    from qsep_live.evaluation.network import NetworkSpec

    count = threads if threads is not None else max(1, choices.cores() // jobs)
    return NetworkSpec(choices.choose_model(model).path, device, count)


def make_conditions(
    spec: NetworkSpec, tracks: Tracks, musdb: Path, latents: tuple[Source, ...], means: str, seed: int, **more: Any
) -> Conditions:
    """Encode what the latents need, and put it together."""
    from qsep_live.evaluation.scores import Conditions, needed_latents

    mean = class_latents(spec, musdb, means)
    with track_bar("encoding", len(tracks)) as tell:
        truths, queries = needed_latents(spec.open(), tracks, latents, seed, tell)
    return Conditions(mean, truths, queries, latents, **more)


def class_latents(spec: NetworkSpec, musdb: Path, means: str) -> dict[str, Latent]:
    """The mean latents of ``--means``."""
    from qsep_live.evaluation.latents import class_means
    from qsep_live.evaluation.tracks import MusdbTracks

    fingerprint = choices.choose_model(str(spec.path)).fingerprint
    count = len(MusdbTracks(musdb, "train")) if means == "train" else 1
    with track_bar("mean latents", count) as tell:
        return class_means(spec.open(), fingerprint, musdb, means, tell)


@contextmanager
def track_bar(label: str, tracks: int) -> Iterator[Callable[[float], None]]:
    """A progress bar that counts tracks."""
    from qsep_live.ui.progress import progress_bar

    with progress_bar(label, float(tracks)) as tell:
        yield tell


def prepare_folder(output: Path | None) -> None:
    """Make the folder and see that figures can be drawn, before hours have been spent on numbers."""
    from qsep_live.evaluation.extra import pyplot

    pyplot()
    if output is None:
        return
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise QsepError(f"{output}: the folder cannot be made: {error.strerror or error}") from None


def finish(report: Report, output: Path | None) -> None:
    """Print the table, write everything."""
    click.echo(report.table.markdown(), nl=False)
    if output is not None:
        written = report.write(output)
        click.echo(f"\nwrote {', '.join(map(str, written))}", err=True)

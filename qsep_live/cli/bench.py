"""`qsep-live bench`: measurements on this machine, each in a module of the evaluation room."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from qsep_live.cli import choices, options
from qsep_live.cli.evaluate import (
    Command,
    finish,
    metric_option,
    network_spec,
    output_option,
    prepare_folder,
    running_options,
    timed_delays,
    track_bar,
)
from qsep_live.errors import UsageError

if TYPE_CHECKING:
    from qsep_live.evaluation.bench_callback import CallbackRow
    from qsep_live.evaluation.tracks import Tracks

_model = click.option("--model", metavar="FILE", help="Checkpoint; the one that comes along by default.")
_seconds = click.option("--seconds", type=options.DURATION, default="10", show_default=True, help="For each run.")
HELP_RUNS = 5


@click.group()
def bench() -> None:
    """Measure this machine: masks, callbacks, delay, a live session, start-up, memory."""


@bench.command()
@_model
@click.option("--threads", type=click.IntRange(1, 1024), multiple=True, default=(1, 2), show_default=True)
@click.option("--repeats", type=click.IntRange(2), default=20, show_default=True, help="Windows for each row.")
@click.option(
    "--presets",
    type=click.IntRange(1, 8),
    multiple=True,
    default=(1,),
    show_default=True,
    help="Presets at once; repeat it to compare.",
)
@click.option("--window", "windows", type=click.IntRange(1), multiple=True, default=(128,), show_default=True,
              metavar="FRAMES", help="Frames of 12 ms in a window: live has 128, files have 256.")  # fmt: skip
@options.json_option
def mask(
    model: str | None, threads: tuple[int, ...], repeats: int, presets: tuple[int, ...], windows: tuple[int, ...],
    as_json: bool,
) -> None:  # fmt: skip
    """Time, memory and share of the machine's ceiling of a mask, for each backend and number of threads."""
    from qsep_live.evaluation.bench_mask import mask_bench, mask_table

    rows = mask_bench(choices.choose_model(model).path, threads, repeats, presets, windows)
    if as_json:
        _tell_json("mask", ({**asdict(row), "share": row.share} for row in rows))
    else:
        click.echo(mask_table(rows))


@bench.command()
@click.argument("models", metavar="FILE...", nargs=-1, type=click.Path(path_type=Path))
@click.option("--presets", type=click.IntRange(1, 8), multiple=True, default=(1, 4), show_default=True,
              help="Presets at once; repeat it to compare.")  # fmt: skip
@click.option("--repeats", type=click.IntRange(2), default=200, show_default=True, help="Hops of each.")
@options.json_option
def hop(models: tuple[Path, ...], presets: tuple[int, ...], repeats: int, as_json: bool) -> None:
    """Time that a hop of 11.6 ms takes on one thread: the default model's, then each FILE's, in turns."""
    from qsep_live.evaluation.bench_hop import hop_bench, hop_table

    rows = hop_bench([choices.choose_model(None).path, *models], presets, repeats)
    if as_json:
        _tell_json("hop", ({**asdict(row), "share": row.share} for row in rows))
    else:
        click.echo(hop_table(rows))


@bench.command()
@_model
@click.option("--threads", type=click.IntRange(1, 1024), default=1, show_default=True)
@click.option("--repeats", type=click.IntRange(1), default=10, show_default=True, help="Steps of each.")
@options.json_option
def peers(model: str | None, threads: int, repeats: int, as_json: bool) -> None:
    """What other separators cost for a second of sound, at the same delay. Needs qsep-live[peers]."""
    from qsep_live.evaluation.bench_peers import peers_bench, peers_table

    rows = peers_bench(choices.choose_model(model).path, threads, repeats)
    if as_json:
        _tell_json("peers", ({"name": row.peer.name, "step": row.step, "cost": row.cost, "stems": row.peer.stems,
                              "run": row.peer.how, "sdr": row.peer.sdr} for row in rows))  # fmt: skip
    else:
        click.echo(peers_table(rows))


@bench.command()
@_model
@click.option("--blocksize", "blocksizes", type=click.IntRange(16, options.LARGEST_BLOCK), multiple=True,
              default=(64, 128, 256, 512), show_default=True)  # fmt: skip
@_seconds
@options.json_option
def callback(model: str | None, blocksizes: tuple[int, ...], seconds: float, as_json: bool) -> None:
    """Time for a block against its budget, with and without the mask process."""
    from qsep_live.evaluation.bench_callback import callback_bench

    chosen = choices.choose_model(model)
    rows = callback_bench(chosen.path, blocksizes, seconds, foresight=chosen.foresight)
    if as_json:
        _tell_json("callback", (asdict(row) for row in rows))
        return
    for row in rows:
        shares = ", ".join(
            f"{name} {1e6 * value:.0f} µs ({100 * value / row.budget:.0f} %)"
            for name, value in (("median", row.median), ("p99", row.p99), ("p99.9", row.p999))
        )
        click.echo(f"{row.blocksize:>4} frames {_with_masks(row)}: {shares} of {1e3 * row.budget:.2f} ms")


@bench.command()
@_model
@_seconds
@options.json_option
def memory(model: str | None, seconds: float, as_json: bool) -> None:
    """Memory of the sound and the mask process together."""
    from qsep_live.evaluation.bench_callback import callback_bench

    chosen = choices.choose_model(model)
    rows = callback_bench(chosen.path, (256,), seconds, foresight=chosen.foresight)
    if as_json:
        _tell_json("memory", ({"mask": row.mask, "bytes": row.memory} for row in rows))
        return
    for row in rows:
        click.echo(f"{_with_masks(row)}: {row.memory / 2**20:.0f} MiB")


@bench.command()
@_model
@options.parts_option
@click.option("--blocksize", "blocksizes", type=click.IntRange(16, options.LARGEST_BLOCK), multiple=True,
              default=(256,), show_default=True, help="May be repeated, for a table.")  # fmt: skip
@click.option("--minutes", type=click.FloatRange(0.05), default=1.0, show_default=True, help="At each block size.")
@options.window_option
@options.json_option
def live(
    model: str | None, parts: tuple[options.PartOption, ...], blocksizes: tuple[int, ...], minutes: float,
    window: int | None, as_json: bool,
) -> None:  # fmt: skip
    """A session beside a bare passthrough on a JACK server of their own: who misses how many blocks."""
    from qsep_live.engine.machine_delay import this_machine
    from qsep_live.engine.session_config import SessionConfig
    from qsep_live.evaluation.bench_live import live_bench, live_table
    from qsep_live.ui.progress import progress_bar
    from qsep_live.ui.summary import summary

    chosen = choices.choose_model(model)
    threads = choices.live_threads(None)
    dial = choices.machine_delay(
        chosen, "auto", threads, lambda text: click.echo(text, err=True), len(parts), window=window
    )
    config = SessionConfig(
        choices.choose_parts(parts, (), chosen),
        chosen.path,
        listen=False,
        delay=dial.delay,
        threads=threads,
        ahead=chosen.ahead,
        window=dial.window,
    )
    rows = []
    for blocksize in blocksizes:
        with progress_bar(f"live, {blocksize} frames", 1.0, hidden=as_json) as progress:
            rows.append(live_bench(config, blocksize, minutes, progress=progress))
    if as_json:
        _tell_json("live", ({"blocksize": row.blocksize, "minutes": minutes, "memory": row.memory,
                             "status": row.status.as_json(), "passthrough_underruns": row.passthrough_underruns}
                            for row in rows))  # fmt: skip
        return
    if len(rows) > 1:
        machine = this_machine()
        click.echo(live_table(rows, dial, f"{machine['cores']} cores of {machine['processor']}").markdown())
        return
    for line in summary(rows[0].status):
        click.echo(line)
    click.echo(f"{'beside':<11} a bare passthrough with {rows[0].passthrough_underruns} underruns")
    click.echo(f"{'memory':<11} {rows[0].memory / 2**20:.0f} MiB, all processes")


def stems_options(command: Command) -> Command:
    """Where songs with true stems are: ``--musdb``, ``--stems``."""
    several = (
        click.option("--musdb", metavar="DIR", type=click.Path(path_type=Path),
                     help="MUSDB18's or MUSDB18-HQ's folder; its 14 validation songs measure."),
        click.option("--stems", metavar="DIR", type=click.Path(path_type=Path),
                     help="Songs of your own: a folder each, with vocals.wav, drums.wav, bass.wav and other.wav."),
    )  # fmt: skip
    for option in reversed(several):
        command = option(command)
    return command


marks_option = click.option("--mark", "marks", type=options.DELAY, multiple=True,
                            help="A delay to measure; may be repeated.")  # fmt: skip


@bench.command()
@stems_options
@marks_option
@click.option("--period", type=options.DURATION, help="Between masks; by default measured first, with the live loop.")
@options.ahead_option
@options.window_option
@metric_option
@running_options
@output_option(required=False)
def delay(
    musdb: Path | None, stems: Path | None, period: float | None, marks: tuple[float | str, ...], ahead: int | None,
    window: int | None, metric: Any, limit: int | None, seconds: float | None, jobs: int, model: str | None,
    device: str, threads: int | None, output: Path | None,
) -> None:  # fmt: skip
    """SDR against total delay with this machine's masks, ideal ones and the oracle's: the dial's frontier."""
    from qsep_live.engine.frontier import save_frontier
    from qsep_live.evaluation.bench_delay import MARKS, DelayBench, delay_report, frontier_of
    from qsep_live.evaluation.latents import preset_means

    tracks = open_songs(musdb, stems, limit, seconds)
    timed = timed_delays(marks, window) or MARKS
    prepare_folder(output)
    chosen, spec = choices.choose_model(model), network_spec(model, device, threads, jobs)
    means = preset_means(chosen.fingerprint)
    if period is None:
        period = _measured_period(chosen, device, threads, window)
    ahead = choices.choose_ahead(ahead, chosen)
    work = DelayBench(means, period, ahead, timed, metric, chosen.foresight, window)
    with track_bar("delay", len(tracks)) as tell:
        report = delay_report(work, spec, tracks, jobs, tell)
    finish(report, output)
    if output is not None:
        path = output / f"{chosen.path.stem}.frontier.json"
        save_frontier(frontier_of(work, report, chosen.fingerprint, tracks.label), path)
        click.echo(f"wrote {path}: beside {chosen.path.name} it is what default delays are chosen by", err=True)


@bench.command()
@stems_options
@marks_option
@click.option("--period", type=options.DURATION, default="20ms", show_default=True,
              help="Between masks; each comes as much later.")  # fmt: skip
@click.option("--ideal", is_flag=True, help="A mask for every frame, there at once, in place of --period.")
@metric_option
@running_options
@output_option(required=False)
def gains(
    musdb: Path | None, stems: Path | None, period: float, marks: tuple[float | str, ...], ideal: bool, metric: Any,
    limit: int | None, seconds: float | None, jobs: int, model: str | None, device: str, threads: int | None,
    output: Path | None,
) -> None:  # fmt: skip
    """Ways to apply the newest gains at equal delay: windows, filters, gains held or smoothed."""
    from qsep_live.evaluation import bench_gains
    from qsep_live.evaluation.latents import preset_means

    tracks = open_songs(musdb, stems, limit, seconds)
    timed = timed_delays(marks) or bench_gains.MARKS
    prepare_folder(output)
    chosen, spec = choices.choose_model(model), network_spec(model, device, threads, jobs)
    how = bench_gains.ideal(chosen.foresight) if ideal else bench_gains.late(period, chosen.foresight)
    work = bench_gains.GainsBench(preset_means(chosen.fingerprint), how, timed, metric)
    with track_bar("gains", len(tracks)) as tell:
        report = bench_gains.gains_report(work, spec, tracks, jobs, tell)
    finish(report, output)


def open_songs(
    musdb: Path | None, stems: Path | None, limit: int | None, seconds: float | None, split: str = "valid"
) -> Tracks:
    """The songs of `stems_options`; ``split`` is of MUSDB18.

    Raises
    ------
    UsageError
        Neither option was given, or both.
    """
    from qsep_live.evaluation.tracks import FolderTracks, MusdbTracks

    if stems is not None and musdb is None:
        return FolderTracks(stems, limit, seconds)
    if musdb is not None and stems is None:
        return MusdbTracks(musdb, split, limit, seconds)
    raise UsageError("say where the songs are: --musdb DIR or --stems DIR")


def _measured_period(model: choices.ModelChoice, device: str, threads: int | None, window: int | None) -> float:
    from qsep_live.engine.delay import LIVE_FRAMES
    from qsep_live.engine.mask_process import MaskSettings
    from qsep_live.engine.pace import mask_pace

    settings = MaskSettings(
        model.path, device, threads=choices.live_threads(threads), ahead=model.ahead, window=window or LIVE_FRAMES
    )
    pace = mask_pace(settings)
    click.echo(f"masks here: {1e3 * pace.step:.1f} ms each, one every {1e3 * pace.period:.1f} ms", err=True)
    return pace.period


@bench.command()
@options.json_option
def startup(as_json: bool) -> None:
    """Time of `qsep-live --help`, and of Python alone."""
    rows = {
        "python": _best([sys.executable, "-c", "pass"]),
        "help": _best([sys.executable, "-m", "qsep_live", "--help"]),
    }
    if as_json:
        _tell_json("startup", [{**rows, "runs": HELP_RUNS}])
        return
    for name, seconds in rows.items():
        click.echo(f"{name:<7} {1e3 * seconds:.0f} ms, the best of {HELP_RUNS}")


def _best(command: list[str]) -> float:
    times = []
    for _ in range(HELP_RUNS):
        start = time.perf_counter()
        subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
        times.append(time.perf_counter() - start)
    return min(times)


def _with_masks(row: CallbackRow) -> str:
    return f"with masks every {1e3 * row.period:.0f} ms" if row.mask else "without masks"


def _tell_json(kind: str, rows: Iterable[dict[str, Any]]) -> None:
    from qsep_live.ui.lines import json_line

    for row in rows:
        click.echo(json_line(kind, {key: _plain(value) for key, value in row.items()}))


def _plain(value: Any) -> Any:
    """numpy's numbers as Python's."""
    return value.item() if hasattr(value, "item") else value

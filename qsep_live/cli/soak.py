"""`qsep-live soak`: the live engine for a long time, with faults, beside a bare passthrough."""

from __future__ import annotations

from pathlib import Path

import click

from qsep_live.cli import choices, options
from qsep_live.errors import QsepError


@click.command(short_help="Run the live engine for long, with faults, and report.")
@click.option("--minutes", type=click.FloatRange(0.2), default=30.0, show_default=True)
@click.option("--blocksize", type=click.IntRange(16, options.LARGEST_BLOCK), default=512, show_default=True)
@click.option("--seed", type=int, default=0, show_default=True, help="Of knob moves, preset changes and faults.")
@click.option(
    "--server", metavar="NAME", help="A JACK server that runs; one with the dummy driver is started by default."
)
@click.option("-o", "--output", "folder", metavar="DIR", type=click.Path(path_type=Path), default=Path("soak"),
              show_default=True, help="Where the report goes.")  # fmt: skip
@click.option("--model", metavar="FILE", help="Checkpoint; the one that comes along by default.")
@click.option("-p", "--preset", "presets", metavar="NAMES", multiple=True, callback=options.split_names,
              default=("vocals,drums,bass",), show_default=True, help="What the knob morphs between.")  # fmt: skip
@click.option("--rack", metavar="FILE", help="Effects behind the separator, a TOML file.")
@options.json_option
def soak(
    minutes: float, blocksize: int, seed: int, server: str | None, folder: Path, model: str | None,
    presets: tuple[str, ...], rack: str | None, as_json: bool,
) -> None:  # fmt: skip
    """Run the live engine on a JACK server with the dummy driver, with random knob moves, preset changes and faults
    (processes killed and stopped, preset files broken), beside a bare passthrough. Writes a report.

    The exit code is 1 when a target is missed: underruns (none from 512 frames on, no more than the passthrough's
    below), fallbacks that no fault explains, memory that grows.
    """
    from qsep_live.engine.session_config import SessionConfig
    from qsep_live.evaluation.extra import pyplot
    from qsep_live.evaluation.soak import soak as run_soak
    from qsep_live.evaluation.soak_report import soak_report, soak_values, targets, write_soak
    from qsep_live.ui.lines import json_line
    from qsep_live.ui.progress import progress_bar

    pyplot()
    if folder.exists() and not folder.is_dir():
        raise click.BadParameter(f"{folder} is not a folder", param_hint="--output")
    chosen = choices.choose_model(model)
    parts = choices.choose_parts((options.PartOption(presets),), () if rack is None else (rack,), chosen)
    config = SessionConfig(parts, chosen.path, threads=choices.live_threads(None), ahead=chosen.ahead)
    with progress_bar("soak", 1.0, hidden=as_json) as progress:
        run = run_soak(config, blocksize, minutes, seed, server, progress)
    written = write_soak(run, folder)
    if as_json:
        click.echo(json_line("soak", soak_values(run)))
    else:
        click.echo(soak_report(run).table.markdown())
        click.echo(f"written: {', '.join(map(str, written))}")
    missed = [f"{target.name} {target.value} ({target.wanted})" for target in targets(run) if target.met is False]
    if missed:
        raise QsepError(f"the soak missed {len(missed)} of its targets: {'; '.join(missed)}")

"""`qsep-live foresight`: what a model's gains do after its newest mask, learned from music."""

from __future__ import annotations

from pathlib import Path

import click

from qsep_live.cli import choices
from qsep_live.cli.bench import open_songs, stems_options
from qsep_live.cli.evaluate import network_spec, running_options, seed_option, track_bar


@click.command(short_help="Learn how gains go on after the newest mask.")
@stems_options
@click.option("--split", type=click.Choice(("train", "valid")), default="train", show_default=True, help="Of --musdb.")
@click.option("--pieces", type=click.IntRange(1, 1000), default=3, show_default=True, metavar="N",
              help="Half seconds that are heard of each song.")  # fmt: skip
@seed_option
@running_options
@click.option("-o", "--output", metavar="FILE", type=click.Path(path_type=Path),
              help="By default beside the model, where it is used.")  # fmt: skip
def foresight(
    musdb: Path | None, stems: Path | None, split: str, pieces: int, seed: int, limit: int | None,
    seconds: float | None, jobs: int, model: str | None, device: str, threads: int | None, output: Path | None,
) -> None:  # fmt: skip
    """Learn how gains go on after the newest mask from the sound that was heard since, for a short --delay.

    Writes MODEL.foresight.safetensors. The music may be any; the latents are those of the model's presets and between
    them. What it brings, `qsep-live bench gains` tells on songs that it was not learned from.
    """
    from qsep_live.engine.foresight import foresight_file, save_foresight
    from qsep_live.evaluation.foresight_fit import Pieces, fit_foresight
    from qsep_live.evaluation.latents import all_presets

    tracks = open_songs(musdb, stems, limit, seconds, split)
    chosen, spec = choices.choose_model(model), network_spec(model, device, threads, jobs)
    work = Pieces(all_presets(chosen.fingerprint), pieces, seed)
    with track_bar("foresight", len(tracks)) as tell:
        coefficients, count = fit_foresight(work, spec, tracks, jobs, tell)
    path = output or foresight_file(chosen.path)
    save_foresight(coefficients, chosen.fingerprint, f"{count} half seconds of {tracks.label}", path)
    click.echo(f"{path}: from {count} half seconds of {tracks.label}")

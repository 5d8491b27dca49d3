"""`qsep-live slakh`: multitracks in Slakh2100's layout, made from MIDI files and SoundFonts."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from qsep_live.cli import options
from qsep_live.errors import QsepError, UsageError

if TYPE_CHECKING:
    from qsep_live.training.slakh_render import Rendered, SlakhRenderer

MIDI_SUFFIXES = (".mid", ".midi", ".kar")


@click.group()
def slakh() -> None:
    """Make multitracks to train on, in Slakh2100's layout."""


@slakh.command()
@click.argument("inputs", metavar="MIDI...", nargs=-1, required=True)
@click.option(
    "-s",
    "--soundfont",
    "soundfonts",
    metavar="FILE",
    multiple=True,
    required=True,
    help="SoundFont (.sf2, .sf3) or a folder of them; may be repeated.",
)
@click.option("-o", "--output", metavar="DIR", required=True, help="The data set's folder; it is made if missing.")
@click.option(
    "--split",
    type=click.Choice(("train", "validation", "test")),
    default="train",
    show_default=True,
    help="Which part of the data set the tracks go to.",
)
@click.option("--rate", type=options.RATE, default="44100", show_default=True, help="Sample rate of the stems.")
@click.option(
    "--seed", type=click.IntRange(0), default=0, show_default=True, help="Chooses the SoundFont of each stem."
)
@click.option("--jobs", type=click.IntRange(1, 256), metavar="N", help="Stems played at once; all cores by default.")
@options.json_option
@click.pass_context
def render(
    ctx: click.Context,
    /,
    inputs: tuple[str, ...],
    soundfonts: tuple[str, ...],
    output: str,
    split: str,
    rate: int,
    seed: int,
    jobs: int | None,
    as_json: bool,
) -> None:
    """Render MIDI files, or folders of them, to multitracks.

    Each file becomes DIR/SPLIT/TrackNNNNN with a stem for each program on each channel, played by a SoundFont drawn
    at random from those that have the program; all stems are brought to one loudness (ITU-R BS.1770-4) and add up to
    the mix. A file that was rendered with this seed before is passed over: a batch that was stopped can be run again.
    """
    from qsep_live.audio.synth import RATES, find_soundfonts
    from qsep_live.training.slakh_render import SlakhRenderer

    root = Path(output).expanduser()
    if root.exists() and not root.is_dir():
        raise UsageError(f"{root} is a file; give a folder")
    if not RATES[0] <= rate <= RATES[1]:
        raise UsageError(f"--rate {rate} is out of range: FluidSynth renders at {RATES[0]} to {RATES[1]} Hz")
    files = find_midi([Path(name).expanduser() for name in inputs])
    fonts = find_soundfonts([Path(name).expanduser() for name in soundfonts])
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    renderer = SlakhRenderer(root, split, fonts, rate, seed, jobs or cores)
    failures = 0
    for file in files:
        try:
            _one(renderer, file, as_json)
        except QsepError as error:
            failures += 1
            click.echo(f"qsep-live: error: {error}", err=True)
            if as_json:
                from qsep_live.ui.lines import json_line

                click.echo(json_line("error", {"text": str(error)}))
    if failures:
        ctx.exit(1)


def find_midi(inputs: list[Path]) -> list[Path]:
    """The MIDI files of ``inputs``, folders searched through.

    Raises
    ------
    UsageError
        A folder holds no MIDI file.
    """
    found: list[Path] = []
    for path in inputs:
        files = sorted(path.rglob("*")) if path.is_dir() else [path]
        inside = [each for each in files if each == path or each.suffix.lower() in MIDI_SUFFIXES]
        if not inside:
            raise UsageError(f"{path}: there is no MIDI file ({', '.join(MIDI_SUFFIXES)}) in this folder")
        found += inside
    return list(dict.fromkeys(found))


def _one(renderer: SlakhRenderer, file: Path, as_json: bool) -> None:
    from qsep_live.ui.progress import progress_bar

    if (before := renderer.there(file)) is not None:
        if not as_json:
            click.echo(f"{before}: there already, from {file.name}")
        return
    started = time.perf_counter()
    with progress_bar(file.name, 1.0, hidden=as_json) as progress:
        made = renderer.render(file, progress)
    _tell(made, file, time.perf_counter() - started, as_json)


def _tell(made: Rendered, file: Path, wall: float, as_json: bool) -> None:
    from qsep_live.ui.lines import json_line

    if as_json:
        values = {"midi": str(file), "track": str(made.folder), "stems": made.stems, "seconds": round(made.seconds, 3)}
        click.echo(json_line("result", {**values, "wall": round(wall, 3)}))
    else:
        click.echo(f"{made.folder}: {file.name}, {made.stems} stems, {made.seconds:.1f} s of sound in {wall:.1f} s")
    for remark in made.remarks:
        click.echo(f"qsep-live: warning: {remark}", err=True)

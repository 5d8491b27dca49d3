"""`qsep-live compose spectrogram`: music that goes on from a clip, frame after frame of a mel-spectrogram."""

from __future__ import annotations

import math
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from qsep_live.cli import choices, options
from qsep_live.cli.assignments import assign
from qsep_live.cli.evaluate import finish, output_option, prepare_folder, track_bar
from qsep_live.cli.interrupt import Noted
from qsep_live.errors import QsepError, UsageError

if TYPE_CHECKING:
    from qsep_live.audio.program import RawOutput
    from qsep_live.compose.mel import Array
    from qsep_live.compose.mel_generator import MelGenerator

NETWORK = "spectrogram.safetensors"
PEAK = 10.0 ** (-1.0 / 20.0)
"""What a file's sound is turned down to where it would be louder, -1 dBFS."""
_PATH = click.Path(path_type=Path)


@click.group()
def spectrogram() -> None:
    """Music that goes on from a clip: prepare, train, generate, live too; and evaluate."""


@spectrogram.command()
@click.argument("folder", metavar="DIR", type=_PATH)
@click.option("--stems", is_flag=True, help="The files of a folder are the stems of one song, which is their sum.")
@click.option("--augment", metavar="N", type=click.IntRange(0, 100), default=0, show_default=True,
              help="Copies of each song, up to two semitones faster or slower and remixed.")  # fmt: skip
@click.option("--seed", metavar="N", type=click.IntRange(0), default=0, show_default=True, help="Of the copies.")
@click.option("-o", "--output", metavar="FILE", type=_PATH, required=True, help="Spectrograms (.safetensors).")
@options.overwrite_option
def prepare(folder: Path, stems: bool, augment: int, seed: int, output: Path, overwrite: bool) -> None:
    """Make mel-spectrograms of the music in DIR, pieces of 2048 frames (47.6 s).

    All sound files below DIR are taken; the last piece of a song is padded with silence, which is not learned from.
    """
    from qsep_live.cli.render import sound_files
    from qsep_live.compose.mel import FRAMES_A_SECOND
    from qsep_live.compose.mel_pieces import cut_songs, find_songs, save_pieces
    from qsep_live.training.reporter import Lines

    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder; give one with music")
    _refuse_existing(output, overwrite)
    files = sound_files(folder)
    if not files:
        raise UsageError(f"{folder}: there is no sound file in this folder")
    with Lines() as reporter:
        songs = find_songs(folder, files, stems)
        pieces = cut_songs(songs, augment, seed, lambda text: click.echo(text, err=True), reporter.advance)
    save_pieces(pieces, output)
    minutes = sum(len(piece.db) for piece in pieces) / FRAMES_A_SECOND / 60.0
    used = len({piece.song for piece in pieces})
    click.echo(f"{output}: {len(pieces)} pieces of {used} songs, {minutes:.1f} min with {augment} copies of each")


@spectrogram.command()
@click.argument("spectrograms", metavar="FILE", type=_PATH)
@click.option("--minutes", metavar="N", type=click.FloatRange(0.0, min_open=True), help="Budget of time.")
@click.option("--steps", metavar="N", type=click.IntRange(1), help="Budget in steps.")
@click.option("--validate-every", metavar="MINUTES", type=click.FloatRange(0.0, min_open=True), default=1.0,
              show_default=True, help="Scores on the validation songs; the best network so far is kept.")  # fmt: skip
@click.option("--set", "assignments", metavar="NAME=VALUE", multiple=True,
              help="Change a size or a setting: units=256, dropout=0.1; may be repeated.")  # fmt: skip
@click.option("--threads", metavar="N", type=click.IntRange(1, 1024), help="Of the network; all cores by default.")
@click.option("-o", "--output", metavar="FILE", type=_PATH, required=True, help="The network (.safetensors).")
@options.overwrite_option
def train(spectrograms: Path, output: Path, overwrite: bool, **given: Any) -> None:
    """Train the generator on what `prepare` wrote.

    A fifth of the songs validates. A first Ctrl-C ends the training; FILE then holds the best network so far.
    """
    if (given["minutes"] is None) == (given["steps"] is None):
        raise UsageError("how long? give --minutes N or --steps N, one of them")
    _refuse_existing(output, overwrite)
    import torch

    from qsep_live.compose.mel_net import MelConfig
    from qsep_live.compose.mel_pieces import load_pieces
    from qsep_live.compose.mel_train import MelTrainer, MelTraining
    from qsep_live.training.reporter import Lines

    config, training = assign(MelConfig(), MelTraining(), given["assignments"])
    pieces = load_pieces(spectrograms)
    torch.set_num_threads(given["threads"] or choices.cores())
    with Noted() as noted, Lines() as reporter:
        trainer = MelTrainer(config, training, pieces, output, reporter, 60.0 * given["validate_every"])
        weights = sum(each.numel() for each in trainer.net.parameters())
        reporter.line(
            f"{len(trainer.learned)} pieces to learn from, {len(trainer.validated)} to validate on; {weights:,} weights"
        )
        noted.defer()
        seconds = 60.0 * given["minutes"] if given["minutes"] else math.inf
        scores = trainer.train(seconds, given["steps"] or math.inf, lambda: noted.wished)
    click.echo(f"{output}: validation {scores.told()}")


@spectrogram.command(context_settings={"ignore_unknown_options": True})
@click.argument("engine", metavar="[ENGINE OPTIONS]...", nargs=-1, type=click.UNPROCESSED)
@click.option("--seconds", metavar="N", type=click.FloatRange(0.1, 3600.0),
              help="How long.  [default: 20; without end where it is not a file]")  # fmt: skip
@click.option("--seed-audio", metavar="FILE", type=_PATH,
              help="Go on from the end of this, with its timbre and level; without, from an average clip.")  # fmt: skip
@click.option("--temperature", metavar="X", type=click.FloatRange(0.0, 2.0), default=1.0, show_default=True,
              help="Times the noise that the network asks for.")  # fmt: skip
@click.option("--seed", metavar="N", type=click.IntRange(0), default=0, show_default=True, help="Of the noise.")
@click.option("--network", metavar="FILE", type=_PATH, help="Another generator (.safetensors).")
@click.option("--live", is_flag=True, help="Into the engine while it is made; other options are those of qsep-live.")
@click.option("-o", "--output", metavar="FILE", type=_PATH,
              help="Sound file; '-': raw float32, mono, 22,050 Hz, to stdout; --live: as of qsep-live.")  # fmt: skip
@options.overwrite_option
def generate(engine: tuple[str, ...], live: bool, output: Path | None, overwrite: bool, **given: Any) -> None:
    """Generate music that goes on from a clip.

    With --live it is what the engine separates, and takes the engine's options: --preset drums --delay 60ms …
    """
    if live:
        _play(engine, output, overwrite, given)
        return
    if engine:
        raise click.UsageError(f"{' '.join(engine)} is for the engine: say --live, too")
    if output is None:
        raise UsageError("where to? give --output FILE, or --live to hear it")
    if str(output) == "-":
        from qsep_live.audio.program import RawOutput

        _stream(RawOutput(), _generator(given), given["seconds"])
    else:
        choices.check_target(output, overwrite, given["seed_audio"])
        _write(_generator(given), given["seconds"] or 20.0, output)


@spectrogram.command(short_help="Measure the generator on songs that it has not learned from.")
@click.argument("spectrograms", metavar="FILE", type=_PATH)
@click.option("--seconds", metavar="N", type=click.FloatRange(0.1, 3600.0), default=60.0, show_default=True,
              help="Music that goes on from each clip.")  # fmt: skip
@click.option("--limit", metavar="N", type=click.IntRange(1), help="Go on from the first N songs only.")
@click.option("--temperature", metavar="X", type=click.FloatRange(0.0, 2.0), default=1.0, show_default=True,
              help="Times the noise that the network asks for.")  # fmt: skip
@click.option(
    "--seed",
    metavar="N",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="Of the first clip's noise; each has its own.",
)
@click.option("--network", metavar="FILE", type=_PATH, help="Another generator (.safetensors).")
@output_option(required=True)
def evaluate(
    spectrograms: Path, seconds: float, limit: int | None, temperature: float, seed: int, network: Path | None,
    output: Path,
) -> None:  # fmt: skip
    """Measure the generator on the validation songs of what `prepare` wrote.

    They are those that `train` set aside. The next frame against simple guesses; music that goes on from the first
    piece of each song, as WAV beside the table: its bands and its level against the clip's; and what it costs.
    """
    import torch

    from qsep_live.cli.spectrogram_report import Row, spectrogram_report, wav_path
    from qsep_live.compose.mel import Mel
    from qsep_live.compose.mel_net_file import load_mel_net
    from qsep_live.compose.mel_pieces import load_pieces
    from qsep_live.compose.mel_quality import generate as go_on
    from qsep_live.compose.mel_scores import score
    from qsep_live.compose.mel_train import MelTraining, split_songs

    found = load_mel_net(network or network_path())
    training = {**asdict(MelTraining()), **found.card.get("training", {})}
    _, validated = split_songs(load_pieces(spectrograms), training["validation"], training["seed"])
    prepare_folder(output)
    torch.set_num_threads(1)  # a step is too small for more
    songs = list(dict.fromkeys(piece.song for piece in validated))[:limit]
    rows: list[Row] = []
    with track_bar("songs", len(songs)) as tell:
        for number, song in enumerate(songs, 1):
            pieces = [piece for piece in validated if piece.song == song]
            clip = Mel(pieces[0].db, pieces[0].loudest)
            made = go_on(found.network, clip, seconds, temperature, seed + number - 1)
            _write_sound(wav_path(output, number, song), made.sound)
            rows.append((song, clip, score(found.network, pieces), made))
            tell(number)
    finish(spectrogram_report(rows, score(found.network, validated), seconds), output)


def _generator(given: dict[str, Any]) -> MelGenerator:
    """Raises QsepError: the clip or the network cannot be used."""
    import torch

    from qsep_live.compose.mel import read_mel
    from qsep_live.compose.mel_generator import MelGenerator
    from qsep_live.compose.mel_net_file import load_mel_net

    torch.set_num_threads(1)  # a step is too small for more
    clip = None if given["seed_audio"] is None else read_mel(given["seed_audio"])
    net = load_mel_net(given["network"] or network_path()).network
    return MelGenerator(net, clip, given["temperature"], given["seed"])


def _write(generator: MelGenerator, seconds: float, output: Path) -> None:
    """By librosa, all at once."""
    import numpy as np

    from qsep_live.compose.mel import FRAMES_A_SECOND, RATE, Mel
    from qsep_live.compose.mel_inversion import sound_of
    from qsep_live.ui.progress import progress_bar

    began = time.perf_counter()
    frames = []
    with progress_bar(output.name, seconds) as progress:
        for number, frame in enumerate(generator.frames(math.ceil(seconds * FRAMES_A_SECOND) + 1)):
            frames.append(frame)
            progress(number / FRAMES_A_SECOND)
    drawn = time.perf_counter() - began
    sound = sound_of(Mel(np.stack(frames), generator.loudest))[: round(seconds * RATE)]
    _write_sound(output, sound)
    click.echo(
        f"{output}: {seconds:.1f} s, {len(frames)} frames drawn in {drawn:.1f} s,"
        f" made sound in {time.perf_counter() - began - drawn:.1f} s"
    )


def _write_sound(path: Path, sound: Array) -> None:
    """Mono ``sound`` (samples,), turned down where it would be louder than PEAK."""
    import numpy as np

    from qsep_live.audio.writer import write_audio
    from qsep_live.compose.mel import RATE

    peak = float(np.abs(sound).max())
    write_audio(path, sound[:, None] * np.float32(min(1.0, PEAK / max(peak, PEAK))), RATE)


def _stream(output: RawOutput, generator: MelGenerator, seconds: float | None) -> None:
    """Frame after frame, each as soon as it is made; the pipe says when there is room for more."""
    from qsep_live.compose.mel import HOP, RATE
    from qsep_live.compose.mel_inversion import LOOKAHEAD, StreamInversion

    inversion = StreamInversion(generator.loudest)
    left = math.inf if seconds is None else round(seconds * RATE)
    for _ in range(LOOKAHEAD):
        inversion.push(generator.frame())
    while left > 0:
        sound = inversion.push(generator.frame())[: int(min(left, HOP))]
        output.write(sound)
        left -= len(sound)


def _play(engine: tuple[str, ...], output: Path | None, overwrite: bool, given: dict[str, Any]) -> None:
    from dataclasses import replace

    from qsep_live.cli.composed import spectrogram_program
    from qsep_live.cli.live import LiveOptions, run
    from qsep_live.cli.main import cli
    from qsep_live.engine.endpoint import Endpoint

    if given["seed_audio"] is not None:
        given["seed_audio"] = given["seed_audio"].expanduser().absolute()
    own = [
        part for name, value in given.items() if value is not None
        for part in (f"--{name.replace('_', '-')}", str(value))
    ]  # fmt: skip
    more = [*(["--output", str(output)] if output else []), *(["--overwrite"] if overwrite else [])]
    context = cli.make_context("qsep-live", [*engine, *more])
    if context.command.name and context._protected_args:
        raise click.UsageError(f"{context._protected_args[0]!r} is no option of qsep-live")
    run(replace(LiveOptions(**context.params), input=Endpoint.of(spectrogram_program(*own))))


def network_path() -> Path:
    """The generator that comes with qsep-live. Raises QsepError."""
    from qsep_live.bundled import bundled_folder

    path = bundled_folder("models") / NETWORK
    if not path.is_file():
        raise QsepError(f"{path} is missing; install qsep-live again, or give --network FILE")
    return path


def _refuse_existing(path: Path, overwrite: bool) -> None:
    if path.is_dir() or not path.parent.is_dir():
        raise UsageError(f"{path} cannot be written: give a file in a folder that exists")
    if path.exists() and not overwrite:
        raise UsageError(f"{path} exists already: choose another name, or say --overwrite")

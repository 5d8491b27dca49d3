"""`qsep-live compose melody`, `train-actor` and `evaluate`."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from qsep_live.cli import choices, options
from qsep_live.cli.assignments import assign
from qsep_live.cli.interrupt import Interrupts, Noted
from qsep_live.cli.slakh import find_midi
from qsep_live.errors import QsepError, UsageError

if TYPE_CHECKING:
    from torch import Tensor

    from qsep_live.audio.program import RawOutput
    from qsep_live.compose.composer import Composer
    from qsep_live.compose.emotions import Reference
    from qsep_live.compose.melody import Melody
    from qsep_live.compose.perform import Tune
    from qsep_live.compose.songs import Song

_PATH = click.Path(path_type=Path)
RATE = 44_100
"""Of rendered melodies, in Hz."""
_SAVED = 100
"""Steps after which a training writes its actor again."""
_vae_option = click.option("--vae", metavar="FILE", type=_PATH, help="VAE; the one that comes along by default.")
_actor_option = click.option("--actor", metavar="FILE", type=_PATH, help="Actor; the one that comes along by default.")


@click.command()
@click.option("--emotion", metavar="NAME", help="What it should feel like: peaceful, 평화로움 … (compose references).")
@click.option("--pitch", metavar="NOTE", type=float, help="Mean pitch to ask for, a MIDI note number: 58 to 82.")
@click.option("--density", metavar="N", type=float, help="Notes a bar to ask for: 2 to 10.")
@click.option("--seed", metavar="N", type=click.IntRange(0, 2**63 - 1), default=0, show_default=True,
              help="Which melody: the same seed draws the same latent.")  # fmt: skip
@click.option("--from", "source", metavar="FILE", type=_PATH, help="Begin with the first 16 bars of a MIDI file.")
@click.option("--strength", metavar="SHARE", type=click.FloatRange(0.0, 1.0), default=1.0, show_default=True,
              help="How much of the way to go, 0 to 1.")  # fmt: skip
@click.option("--morph", metavar="NAME", help="A second emotion to go to in --steps melodies, one after the other.")
@click.option("--steps", metavar="N", type=click.IntRange(2, 64), default=8, show_default=True)
@click.option("-o", "--output", metavar="FILE", type=_PATH, help="MIDI file to write.")
@click.option(
    "--wav",
    metavar="FILE",
    type=_PATH,
    help="Sound file, played by a SoundFont. '-': raw float32, mono, 44.1 kHz, to stdout, without end.",
)
@click.option("--midi-out", metavar="PORT", help="Play on a MIDI output (part of its name), in time.")
@click.option("--loop", is_flag=True, help="With --midi-out: again and again, until Ctrl-C.")
@click.option("--bpm", metavar="N", type=click.FloatRange(20.0, 400.0), help="Tempo; the file's, or 120, by default.")
@click.option("--program", metavar="N", type=click.IntRange(0, 127), default=0, show_default=True,
              help="General MIDI program, counted from 0.")  # fmt: skip
@click.option("--soundfont", metavar="FILE", type=_PATH, help="For --wav; the first one of the system by default.")
@click.option("--references", metavar="FILE", type=_PATH, help="Table of compose references -o.")
@_vae_option
@_actor_option
@click.option("--overwrite", is_flag=True, help="Replace what exists already.")
def melody(**given: Any) -> None:
    """Write a 16-bar melody, moved to where an emotion is.

    Without --emotion, --pitch and --density it is what the seed (or the file) gives, untouched.
    """
    if not (given["output"] or given["wav"] or given["midi_out"]):
        raise UsageError("where to? give -o OUT.mid, --wav OUT.wav, --midi-out PORT, or several of them")
    if given["morph"] and not given["emotion"]:
        raise UsageError("--morph goes from one emotion to another: give --emotion too")
    if given["loop"] and not given["midi_out"]:
        raise UsageError("--loop is for --midi-out")
    streamed = str(given["wav"]) == "-"
    if streamed and (given["output"] or given["midi_out"] or given["morph"] or given["source"]):
        raise UsageError("--wav - goes on for ever: without -o, --midi-out, --morph and --from")
    _check_targets(given["output"], None if streamed else given["wav"], given["overwrite"])
    from qsep_live.audio.program import RawOutput
    from qsep_live.compose.perform import Tune, find_soundfont, render
    from qsep_live.control.ports import MidiOutput

    table = _references(given["references"])
    names = [given["emotion"], given["morph"]] if given["morph"] else [given["emotion"]]
    asked = [_asked(table, given, name) for name in names]
    soundfont = (given["soundfont"] or find_soundfont()) if given["wav"] else None
    output = MidiOutput(given["midi_out"]) if given["midi_out"] else None
    raw = RawOutput() if streamed else None
    latent, bpm, composer = _start(given)
    if raw and soundfont:
        _stream(raw, composer, asked[0], soundfont, given)
    melodies, wanted = _steered(composer, latent, asked, given)
    tune = Tune(melodies, given["bpm"] or bpm, given["program"])
    if given["output"]:
        from qsep_live.compose.midi_file import write_melody

        write_melody(given["output"], tune.melody, tune.bpm, tune.program)
        click.echo(f"{given['output']}: {_told(tune.melody, wanted)}")
    if soundfont:
        from qsep_live.audio.writer import write_audio

        write_audio(given["wav"], render(tune, soundfont, RATE)[:, None], RATE)
        click.echo(f"{given['wav']}: {_told(tune.melody, wanted)}, played by {soundfont.name}")
    if output:
        _perform(tune, output, given["loop"], _told(tune.melody, wanted))


def _stream(
    output: RawOutput, composer: Composer, asked: tuple[float | None, float | None], soundfont: Path,
    given: dict[str, Any],
) -> None:  # fmt: skip
    """Melody after melody, of one seed after the other, until nobody reads any more."""
    import numpy as np

    from qsep_live.compose.perform import Tune, render

    ringing = np.zeros(0, np.float32)
    for seed in itertools.count(given["seed"]):
        latent = composer.draw(seed)
        melodies, _ = _steered(composer, latent, [asked], given)
        tune = Tune(melodies, given["bpm"] or 120.0, given["program"])
        sound = render(tune, soundfont, RATE)
        sound[: len(ringing)] += ringing[: len(sound)]
        end = round(tune.seconds * RATE)
        ringing = sound[end:]
        output.write(sound[:end])


def _check_targets(output: Path | None, wav: Path | None, overwrite: bool) -> None:
    if wav:
        choices.check_target(wav, overwrite)
    if output:
        if output.suffix.lower() not in (".mid", ".midi"):
            raise UsageError(f"{output}: a MIDI file ends in .mid; for sound say --wav {output.with_suffix('.wav')}")
        if not output.parent.is_dir():
            raise UsageError(f"{output}: the folder {output.parent} does not exist")
        if output.exists() and not overwrite:
            raise UsageError(f"{output} exists already: choose another name, or say --overwrite")


def _references(path: Path | None) -> dict[str, Reference]:
    from qsep_live.compose.emotions import DEFAULT, load_references

    return load_references(path) if path else dict(DEFAULT)


def _asked(table: dict[str, Reference], given: dict[str, Any], name: str | None) -> tuple[float | None, float | None]:
    """Pitch and density that are asked for, None where they are not."""
    from qsep_live.compose.actor import DENSITIES, PITCHES
    from qsep_live.compose.emotions import emotion_of

    pitch: float | None = given["pitch"]
    density: float | None = given["density"]
    if name:
        reference = table[emotion_of(name)]
        pitch = reference.pitch if pitch is None else pitch
        density = reference.density if density is None else density
    for value, (low, high), what in ((pitch, PITCHES, "a mean pitch"), (density, DENSITIES, "notes a bar")):
        if value is not None and not low <= value <= high:
            raise UsageError(f"{value:g} asked for: the actor has learned {what} from {low:g} to {high:g}")
    return pitch, density


def _start(given: dict[str, Any]) -> tuple[Tensor, float, Composer]:
    """The latent to begin with, its tempo, and what writes melodies."""
    from qsep_live.compose.composer import Composer
    from qsep_live.compose.midi_file import read_melody

    if given["source"] is None:
        composer = Composer(given["vae"], given["actor"])
        return composer.draw(given["seed"]), 120.0, composer
    found = read_melody(given["source"])
    bars = found.sixteen_bars()
    for remark in found.remarks:
        click.echo(f"qsep-live: note: {remark}", err=True)
    composer = Composer(given["vae"], given["actor"])
    return composer.encode(bars), min(400.0, max(20.0, found.bpm)), composer


def _steered(
    composer: Composer, latent: Tensor, asked: list[tuple[float | None, float | None]], given: dict[str, Any]
) -> tuple[Melody, Reference | None]:
    """The melodies, joined, and what they should have on average where that is one thing."""
    from qsep_live.compose.composer import arc, places
    from qsep_live.compose.melody import joined

    wanted = [_wanted(composer, latent, *each) for each in asked]
    ends = [composer.steer(latent, each, given["strength"]) if each else latent for each in wanted]
    if len(ends) == 1:
        return composer.melody(ends[0]), wanted[0]
    return joined(composer.melody(arc(ends[0], ends[1], place)) for place in places(given["steps"])), None


def _wanted(composer: Composer, latent: Tensor, pitch: float | None, density: float | None) -> Reference | None:
    """What is not asked for stays as it is, as far as the actor can."""
    from qsep_live.compose.actor import DENSITIES, PITCHES
    from qsep_live.compose.emotions import Reference
    from qsep_live.compose.measures import measure

    if pitch is None and density is None:
        return None
    own = measure(composer.melody(latent))
    return Reference(
        min(max(own.pitch, PITCHES[0]), PITCHES[1]) if pitch is None else pitch,
        min(max(own.density, DENSITIES[0]), DENSITIES[1]) if density is None else density,
    )


def _told(tune: Melody, wanted: Reference | None) -> str:
    from qsep_live.compose.measures import measure

    found = measure(tune)
    words = f"{tune.bars} bars, mean pitch {found.pitch:.1f}, {found.density:.1f} notes a bar"
    return words + (f" (wanted {wanted.pitch:.1f} and {wanted.density:.1f})" if wanted else "")


def _perform(tune: Tune, output: Any, loop: bool, words: str) -> None:
    from qsep_live.compose.perform import play

    with Interrupts() as interrupts:
        interrupts.defer()
        try:
            click.echo(f"{output.port_name}: {words}, {tune.bpm:g} bpm; Ctrl-C ends it")
            while play(tune, output, lambda: interrupts.wished) and loop:
                pass
        finally:
            output.close()


@click.command("train-actor")
@click.argument("inputs", metavar="DIR...", type=_PATH, nargs=-1, required=True)
@click.option("--minutes", metavar="N", type=click.FloatRange(0.0, min_open=True), help="Budget in minutes.")
@click.option("--steps", metavar="N", type=click.IntRange(1), help="Budget in steps.")
@click.option("--set", "assignments", metavar="NAME=VALUE", multiple=True,
              help="Change a size or a setting: hidden=256, distance=0.5; may be repeated.")  # fmt: skip
@click.option("--precision", type=click.Choice(options.PRECISIONS), default="fp32", show_default=True,
              help="bf16: autocast, weights stay fp32; twice as fast where the CPU has it.")  # fmt: skip
@click.option("--threads", metavar="N", type=click.IntRange(1, 1024), help="Of the network; all cores by default.")
@click.option("--begin", metavar="FILE", type=_PATH, help="Go on with this actor, with a new critic.")
@_vae_option
@click.option("-o", "--output", metavar="FILE", type=_PATH, required=True, help="Actor, .safetensors.")
@click.option("--overwrite", is_flag=True, help="Replace it if it exists.")
def train_actor(**given: Any) -> None:
    """Train the actor, and the critic beside it, on a VAE that stays as it is.

    DIR is what train-vae was given: folders of MIDI files, or the songs.safetensors of its run. Its tenths for
    validation and for the report are left out here too. Ctrl-C ends the training early, and what was learned is kept;
    the file is written every 100 steps, too.
    """
    if (given["minutes"] is None) == (given["steps"] is None):
        raise UsageError("how long? give --minutes N or --steps N, one of them")
    target: Path = given["output"]
    if target.suffix != ".safetensors":
        raise UsageError(f"{target}: an actor's file ends in .safetensors")
    if target.exists() and not given["overwrite"]:
        raise UsageError(f"{target} exists already: choose another name, or say --overwrite")
    import torch

    from qsep_live.bundled import bundled_folder
    from qsep_live.compose.actor import ActorConfig
    from qsep_live.compose.actor_file import load_actor
    from qsep_live.compose.composer import VAE_FILE
    from qsep_live.compose.songs import split_songs
    from qsep_live.compose.train_actor import ActorTrainer, ActorTraining
    from qsep_live.compose.vae_file import load_vae
    from qsep_live.training.reporter import Lines

    torch.set_num_threads(given["threads"] or choices.cores())
    found = load_vae(given["vae"] or bundled_folder("models") / VAE_FILE)
    begun = load_actor(given["begin"], found.fingerprint).actor if given["begin"] else None
    config, training = assign(
        begun.config if begun else ActorConfig(latent=found.vae.config.latent),
        ActorTraining(precision=given["precision"]),
        given["assignments"],
    )
    if begun and config != begun.config:
        raise UsageError(f"{given['begin']}: this actor's sizes are what they are; only settings can be --set")
    steps, seconds = given["steps"] or float("inf"), 60.0 * (given["minutes"] or float("inf"))
    with Noted() as noted, Lines() as reporter:
        songs = _songs(given["inputs"], lambda share: reporter.advance(share, "reading MIDI"))
        trainer = ActorTrainer(found.vae, split_songs(songs).train, config, training, begun)
        noted.defer()

        def advance(share: float, losses: dict[str, float]) -> None:
            _report(reporter, trainer.step, share, losses)
            if trainer.step % _SAVED == 0:
                trainer.save(target, found.fingerprint)

        trainer.train(lambda step, spent: max(step / steps, spent / seconds), advance, lambda: noted.wished)
    trainer.save(target, found.fingerprint)
    click.echo(f"{target}: written after {trainer.step} steps")


def _report(reporter: Any, step: int, share: float, losses: dict[str, float]) -> None:
    words = f"step {step}: " + ", ".join(f"{name} {value:.2f}" for name, value in losses.items())
    reporter.advance(share, words)
    if step % 50 == 0:
        reporter.line(words)


def _songs(inputs: tuple[Path, ...], advance: Any) -> list[Song]:
    from qsep_live.compose.songs import read_songs
    from qsep_live.compose.songs_file import SUFFIX, load_songs

    if missing := [path for path in inputs if not path.exists()]:
        raise UsageError(f"{missing[0]}: no such file or folder; give folders of MIDI files")
    files = find_midi(list(inputs))
    stored = [song for path in files if path.suffix == SUFFIX for song in load_songs(path)]
    midi = [path for path in files if path.suffix != SUFFIX]
    return stored + read_songs(midi, lambda text: click.echo(text, err=True), advance)


@click.command()
@click.argument("inputs", metavar="[DIR]...", type=_PATH, nargs=-1)
@click.option("-o", "--output", metavar="FOLDER", type=_PATH, required=True, help="For tables and figures.")
@click.option("--count", metavar="N", type=click.IntRange(2, 10_000), default=100, show_default=True,
              help="Latents of the prior that the actor moves, the same ones for each emotion.")  # fmt: skip
@click.option("--searched", metavar="N", type=click.IntRange(0, 10_000), default=10, show_default=True,
              help="How many of them gradient search and random search are tried on.")  # fmt: skip
@click.option("--pairs", metavar="N", type=click.IntRange(1, 1000), default=20, show_default=True,
              help="Pairs of held-out songs to go between.")  # fmt: skip
@click.option("--seed", metavar="N", type=click.IntRange(0, 2**31 - 1), default=0, show_default=True)
@click.option("--references", metavar="FILE", type=_PATH, help="Table of compose references -o.")
@_vae_option
@_actor_option
def evaluate(**given: Any) -> None:
    """Measure what the actor does to melodies, and what lies between two songs.

    FOLDER gets steering.md, .csv and .png; with DIR, what train-vae was given, also interpolation.md, .csv and .png
    of its held-out songs.
    """
    from qsep_live.cli.melody_report import interpolation_report, steering_report
    from qsep_live.compose.composer import Composer
    from qsep_live.compose.steering import compare
    from qsep_live.ui.progress import progress_bar

    table = _references(given["references"])
    composer = Composer(given["vae"], given["actor"])
    outcomes, methods = [], 4 if given["searched"] else 2
    with progress_bar("emotions", float(len(table) * methods), hidden=False) as progress:
        for outcome in compare(composer, table, given["count"], given["searched"], given["seed"]):
            outcomes.append(outcome)
            progress(1.0)
    reports = [steering_report(outcomes)]
    if given["inputs"]:
        from qsep_live.compose.songs import split_songs

        held_out = split_songs(_songs(given["inputs"], lambda _: None)).held_out
        if len(held_out) < 2:
            raise QsepError(f"{len(held_out)} held-out song; at least two are needed to go between")
        reports.append(interpolation_report(composer, held_out, given["pairs"], given["seed"]))
    for report in reports:
        click.echo(report.table.markdown())
        for path in report.write(given["output"]):
            click.echo(f"{path}: written", err=True)

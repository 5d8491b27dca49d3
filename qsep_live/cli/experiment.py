"""`qsep-live experiment NAME`: the thesis's experiments, each one command that writes a table and a figure."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from qsep_live.cli import choices, options
from qsep_live.cli.evaluate import (
    SPLITS,
    class_latents,
    finish,
    make_conditions,
    means_option,
    metric_option,
    musdb_option,
    network_spec,
    output_option,
    prepare_folder,
    running_options,
    seed_option,
    split_option,
    track_bar,
)
from qsep_live.cli.lazy import LazyGroup

_HERE = "qsep_live.cli.experiment"
_NAMES = ("table", "iterative", "closeness", "fine", "tsne", "slerp", "zeroshot", "lookahead")


@click.group(cls=LazyGroup, commands_at={name: f"{_HERE}:{name}" for name in _NAMES})
def experiment() -> None:
    """Repeat an experiment of the thesis: a table (Markdown, CSV) and a figure (PNG) into a folder."""


@click.command()
@musdb_option
@split_option
@metric_option
@means_option
@seed_option
@running_options
@output_option(required=True)
def table(
    musdb: Path, split: str, metric: Any, means: str, seed: int, limit: int | None, seconds: float | None, jobs: int,
    model: str | None, device: str, threads: int | None, output: Path,
) -> None:  # fmt: skip
    """Random query, ground-truth query and mean (§4.9), single step, beside published figures."""
    from qsep_live.evaluation.scores import measured, score_report
    from qsep_live.evaluation.tracks import MusdbTracks

    prepare_folder(output)
    tracks, spec = MusdbTracks(musdb, split, limit, seconds), network_spec(model, device, threads, jobs)
    conditions = make_conditions(spec, tracks, musdb, ("random", "truth", "mean"), means, seed, metric=metric)
    with track_bar("table", len(tracks)) as tell:
        scores = measured(conditions, spec, tracks, jobs, tell)
    finish(score_report("table", "Query, ground truth, mean", scores, tracks.label, metric, conditions.live), output)


@click.command()
@musdb_option
@split_option
@metric_option
@means_option
@running_options
@output_option(required=True)
def iterative(
    musdb: Path, split: str, metric: Any, means: str, limit: int | None, seconds: float | None, jobs: int,
    model: str | None, device: str, threads: int | None, output: Path,
) -> None:  # fmt: skip
    """The iterative method (§4.8), and each song's gain against its distance from the mean."""
    from qsep_live.evaluation.iterative import iterative_report
    from qsep_live.evaluation.tracks import MusdbTracks

    prepare_folder(output)
    tracks, spec = MusdbTracks(musdb, split, limit, seconds), network_spec(model, device, threads, jobs)
    conditions = make_conditions(spec, tracks, musdb, ("mean", "truth"), means, 0, metric=metric)
    with track_bar("iterative", len(tracks)) as tell:
        report = iterative_report(spec, tracks, conditions, jobs, tell)
    finish(report, output)


@click.command()
@musdb_option
@split_option
@click.option("--stem", type=click.Choice(("vocals", "drums", "bass", "other")), default="vocals", show_default=True)
@metric_option
@running_options
@output_option(required=True)
def closeness(
    musdb: Path, split: str, stem: str, metric: Any, limit: int | None, seconds: float | None, jobs: int,
    model: str | None, device: str, threads: int | None, output: Path,
) -> None:  # fmt: skip
    """ΔSDR against ΔCD (§4.6): the nearest training song's latent against the training songs' mean."""
    from qsep_live.evaluation.closeness import closeness_report
    from qsep_live.evaluation.latents import encoded_songs
    from qsep_live.evaluation.tracks import MusdbTracks

    if split == "train":
        raise click.UsageError("--split train: the nearest training song would be the song itself; say valid or test")
    prepare_folder(output)
    spec, training = network_spec(model, device, threads, jobs), MusdbTracks(musdb, "train")
    with track_bar("training songs", len(training)) as tell:
        book = encoded_songs(spec.open(), training, (stem,), tell=tell)
    tracks = MusdbTracks(musdb, split, limit, seconds)
    with track_bar("closeness", len(tracks)) as tell:
        report = closeness_report(spec, tracks, book, stem, metric, jobs, tell)
    finish(report, output)


@click.command()
@click.option("--slakh", metavar="DIR", required=True, type=click.Path(path_type=Path),
              help="Slakh2100's folder, with train/, validation/ and test/.")  # fmt: skip
@click.option("--split", type=click.Choice(SPLITS), default="test", show_default=True)
@click.option("--train-limit", type=click.IntRange(1), metavar="N", help="Means from the first N training tracks only.")
@metric_option
@running_options
@output_option(required=True)
def fine(
    slakh: Path, split: str, train_limit: int | None, metric: Any, limit: int | None, seconds: float | None, jobs: int,
    model: str | None, device: str, threads: int | None, output: Path,
) -> None:  # fmt: skip
    """Slakh: the fine class's mean latent against the coarse one's (§4.7)."""
    from qsep_live.evaluation.fine import fine_means, fine_report
    from qsep_live.evaluation.tracks import SlakhTracks

    prepare_folder(output)
    spec, training = network_spec(model, device, threads, jobs), SlakhTracks(slakh, "train", train_limit)
    with track_bar("training tracks", len(training)) as tell:
        means = fine_means(spec.open(), training, tell)
    tracks = SlakhTracks(slakh, split, limit, seconds)
    with track_bar("fine", len(tracks)) as tell:
        report = fine_report(spec, tracks, means, training.label, metric, jobs, tell)
    finish(report, output)


@click.command()
@musdb_option
@split_option
@seed_option
@click.option("--limit", type=click.IntRange(1), metavar="N", help="The first N tracks only.")
@click.option("--seconds", type=click.FloatRange(3.0), metavar="S", help="The middle S seconds of each track only.")
@click.option("--model", metavar="FILE", help="Checkpoint; the one that comes along by default.")
@output_option(required=True)
def tsne(
    musdb: Path, split: str, seed: int, limit: int | None, seconds: float | None, model: str | None, output: Path
) -> None:
    """t-SNE of the segments' latents, coloured by class (§4.3)."""
    from qsep_live.evaluation.latents import encoded_songs
    from qsep_live.evaluation.tracks import MusdbTracks
    from qsep_live.evaluation.tsne import tsne_report

    prepare_folder(output)
    spec, tracks = network_spec(model, "cpu", None, 1), MusdbTracks(musdb, split, limit, seconds)
    with track_bar("encoding", len(tracks)) as tell:
        book = encoded_songs(spec.open(), tracks, tell=tell)
    finish(tsne_report(book, tracks.label, seed), output)


@click.command()
@musdb_option
@split_option
@means_option
@running_options
@output_option(required=True)
def slerp(
    musdb: Path, split: str, means: str, limit: int | None, seconds: float | None, jobs: int, model: str | None,
    device: str, threads: int | None, output: Path,
) -> None:  # fmt: skip
    """Drums to bass and vocals to drums (§4.5): spectrograms and the instruments' energies over α."""
    from qsep_live.evaluation.slerping import slerp_report
    from qsep_live.evaluation.tracks import MusdbTracks

    prepare_folder(output)
    tracks, spec = MusdbTracks(musdb, split, limit, seconds), network_spec(model, device, threads, jobs)
    latents = class_latents(spec, musdb, means)
    with track_bar("slerp", len(tracks)) as tell:
        report = slerp_report(spec, tracks, latents, jobs, tell)
    finish(report, output)


@click.command()
@click.option("--sounds", metavar="DIR", required=True, type=click.Path(path_type=Path),
              help="Folders of sounds: hi-hat, kick, bass; piano, guitar; snare, strings …")  # fmt: skip
@click.option("--mixtures", type=click.IntRange(1), default=8, show_default=True, help="Of each case.")
@seed_option
@metric_option
@click.option("--jobs", type=click.IntRange(1, 256), default=1, show_default=True, metavar="N", help="Processes.")
@options.network_options
@output_option(required=True)
def zeroshot(
    sounds: Path, mixtures: int, seed: int, metric: Any, jobs: int, model: str | None, device: str,
    threads: int | None, output: Path,
) -> None:  # fmt: skip
    """Hi-hat out of hi-hat, kick and bass, piano out of piano and guitar, and others; by query, by preset (§4.4)."""
    from qsep_live.evaluation.zeroshot import ZeroShotMixtures, zeroshot_report
    from qsep_live.latent.library import PresetLibrary

    prepare_folder(output)
    made, spec = ZeroShotMixtures(sounds, mixtures, seed), network_spec(model, device, threads, jobs)
    fingerprint = choices.choose_model(str(spec.path)).fingerprint
    presets = {preset.name: preset.latent for preset in PresetLibrary().latents_of(fingerprint)}
    with track_bar("zero-shot", len(made)) as tell:
        report = zeroshot_report(spec, made, presets, metric, jobs, tell)
    finish(report, output)


@click.command()
@musdb_option
@split_option
@click.option("--period", type=options.DURATION, default="23.2ms", show_default=True, help="Between windows.")
@click.option("--window", type=click.IntRange(64, 256), default=256, show_default=True, metavar="FRAMES",
              help="Frames of 12 ms in a window; centred has 256.")  # fmt: skip
@metric_option
@means_option
@running_options
@output_option(required=True)
def lookahead(
    musdb: Path, split: str, period: float, window: int, metric: Any, means: str, limit: int | None,
    seconds: float | None, jobs: int, model: str | None, device: str, threads: int | None, output: Path,
) -> None:  # fmt: skip
    """SDR against look-ahead: 0, 12, 23, 46, 93, 186, 372 ms and centred."""
    from qsep_live.evaluation.lookahead import lookahead_report
    from qsep_live.evaluation.tracks import MusdbTracks

    prepare_folder(output)
    tracks, spec = MusdbTracks(musdb, split, limit, seconds), network_spec(model, device, threads, jobs)
    latents = class_latents(spec, musdb, means)
    with track_bar("look-ahead", len(tracks)) as tell:
        report = lookahead_report(spec, tracks, latents, metric, period, jobs, tell, window=window)
    finish(report, output)

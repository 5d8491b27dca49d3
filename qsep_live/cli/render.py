"""`qsep-live render`: many files and folders, offline, a folder of stems for each."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from qsep_live.cli import choices, options
from qsep_live.cli.wanted import Wanted, refuse_mix, wanted_of_presets, wanted_of_stems
from qsep_live.errors import QsepError, UsageError

if TYPE_CHECKING:
    from qsep_live.cli.offline import Network, Rendered, Sound
    from qsep_live.engine.render import RenderSettings
    from qsep_live.models.registry import Entry

#: What the mode adds to a stem's name, as other separators call it.
NAMES = {"isolate": "{}", "remove": "no_{}", "balance": "{}_balance"}


@dataclass(frozen=True)
class Track:
    """An input file, and the name of its folder in the output folder."""

    path: Path
    folder: Path


@click.command()
@click.argument("inputs", metavar="IN...", nargs=-1, required=True)
@click.option(
    "-o",
    "--output",
    metavar="DIR",
    default="separated",
    show_default=True,
    help="Where the folders of stems go; it is made if missing.",
)
@options.preset_option
@click.option("--stems", is_flag=True, help="All stems; together they are the input.")
@click.option("--two", metavar="NAME", help="One preset or stem, and the rest; together they are the input.")
@options.mix_options
@options.rack_option
@click.option(
    "--format",
    "suffix",
    type=click.Choice(("wav", "flac", "ogg", "opus", "mp3", "aiff")),
    default="wav",
    show_default=True,
    help="File type of the stems.",
)
@options.network_options
@options.fast_option
@options.overwrite_option
@options.json_option
@click.pass_context
def render(ctx: click.Context, /, inputs: tuple[str, ...], output: str, presets: tuple[str, ...], **given: Any) -> None:
    """Separate files and folders of files, faster than real time.

    Each input becomes a folder, each preset a file in it: DIR/song/vocals.wav, in remove mode
    DIR/song/no_vocals.wav, in balance mode DIR/song/vocals_balance.wav. Every stem is aligned with its input and
    has its length, rate, channels and, where the file type can hold it, sample format.

    --stems writes vocals, drums, bass and other, or the stems that the model has; --two vocals writes vocals and rest.
    """
    folder = Path(output).expanduser()
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file; give a folder")
    tracks = find_tracks([Path(name).expanduser() for name in inputs], folder)
    stems = choices.stems_for_files(given["model"])
    if given["stems"] or given["two"] is not None:
        refuse_mix(ctx, "--stems" if given["stems"] else "--two")
    if stems is not None:
        choices.refuse_for_stems(stems.spec.name, delay=given["delay"])
        batch = _Batch(folder, given, wanted_of_stems(stems, presets, given), stems)
    else:
        model = choices.choose_model(given["model"])
        batch = _Batch(folder, given, wanted_of_presets(model, presets, given), model)
    for track in tracks:
        batch.render(track)
    batch.close()
    if batch.failures:
        ctx.exit(1)


class _Batch:
    """One network for all files; what failed is told and counted."""

    def __init__(self, folder: Path, given: dict[str, Any], wanted: Wanted, model: choices.ModelChoice | Entry) -> None:
        self._folder, self._given, self._wanted, self._model = folder, given, wanted, model
        self._json: bool = given["as_json"]
        self._networks: dict[int, Network] = {}
        self._started = time.perf_counter()
        self._results: list[Rendered] = []
        self.failures = 0

    def render(self, track: Track) -> None:
        """Every preset of one file, at once; an error is one line and the others go on."""
        from qsep_live.cli.offline import check_render, open_sound

        folder = self._folder / track.folder
        with ExitStack() as closing:
            closing.callback(_remove_empty, folder, self._folder)
            try:
                sound = open_sound(str(track.path), closing)
                check_render(sound, self._settings_for(range(len(self._wanted.names))))
                _make(folder)
            except QsepError as error:
                self._fail(error)
                return
            targets: dict[int, Path] = {}
            rest = None if self._wanted.rest is None else folder / f"{self._wanted.rest}.{self._given['suffix']}"
            try:
                if rest is not None:
                    choices.check_target(rest, self._given["overwrite"], track.path)
            except QsepError as error:
                self._fail(error, len(self._wanted.names) + 1)
                return
            for index, each in enumerate(self._wanted.names):
                name = NAMES[self._given["mode"]].format(each)
                target = folder / f"{name}.{self._given['suffix']}"
                try:
                    choices.check_target(target, self._given["overwrite"], track.path)
                except QsepError as error:
                    if rest is not None:  # a part of a whole: all of them or none
                        self._fail(error, len(self._wanted.names) + 1)
                        return
                    self._fail(error)
                else:
                    targets[index] = target
            try:
                self._together(sound, targets, rest)
            except QsepError as error:
                self._fail(error, len(targets) + (rest is not None))

    def close(self) -> None:
        """The last line."""
        if self._json or len(self._results) + self.failures < 2:
            return
        seconds = sum(result.seconds for result in self._results)
        wall = time.perf_counter() - self._started
        failed = f", {self.failures} failed" if self.failures else ""
        speed = f", {seconds / wall:.1f} times real time" if seconds else ""
        click.echo(f"{len(self._results)} files written{failed}: {seconds:.1f} s of sound in {wall:.1f} s{speed}")

    def _settings_for(self, which: Sequence[int]) -> RenderSettings:
        import numpy as np

        from qsep_live.engine.render import RenderSettings

        given, model = self._given, self._model
        latents = [self._wanted.latents[index] for index in which]
        return RenderSettings(
            latents[0] if len(latents) == 1 else np.stack(latents),
            mode=given["mode"],
            wet=given["wet"],
            gain=given["gain"],
            delay=choices.offline_delay(given["delay"]),
            ahead=model.ahead if isinstance(model, choices.ModelChoice) else 0,
            foresight=model.foresight if isinstance(model, choices.ModelChoice) else None,
            racks=tuple(self._wanted.racks[index] for index in which),
        )

    def _together(self, sound: Sound, targets: dict[int, Path], rest: Path | None) -> None:
        """The presets of ``targets``, each to its file, and what they leave over: one pass of the network."""
        from qsep_live.cli.offline import render_stems
        from qsep_live.ui.progress import progress_bar

        if not targets:
            return
        count = len(targets)
        settings = self._settings_for(tuple(targets))
        network = self._network(count, settings)
        names = ", ".join(path.name for path in [*targets.values(), *([] if rest is None else [rest])])
        with progress_bar(
            f"{Path(sound.name).name} → {names}", sound.frames / sound.rate, hidden=self._json
        ) as progress:
            results = render_stems(sound, tuple(targets.values()), network, settings, progress, rest)
        labels = [self._wanted.names[index] for index in targets]
        if rest is not None:
            labels.append(rest.stem)
        for label, result in zip(labels, results, strict=True):
            self._tell(label, result, count)

    def _network(self, count: int, settings: RenderSettings) -> Network:
        """For ``count`` presets at once; a separator of stems is the same for any number."""
        from qsep_live.cli.offline import StemNetwork, TimedNetwork

        model, device, exact = self._model, self._given["device"], not self._given["fast"]
        threads = choices.offline_threads(self._given["threads"])
        if isinstance(model, choices.ModelChoice):
            if count not in self._networks:
                self._networks[count] = TimedNetwork(model, device, threads, settings, exact)
            return self._networks[count]
        if not self._networks:
            self._networks[0] = StemNetwork(model, device, threads, exact)
        return self._networks[0]

    def _tell(self, name: str, result: Rendered, count: int) -> None:
        from qsep_live.ui.lines import json_line

        self._results.append(result)
        if self._json:
            values = {"preset": name, "mode": self._given["mode"], "presets_at_once": count, **result.as_json()}
            click.echo(json_line("result", values))
            return
        together = f"{count} presets at once " if count > 1 else ""
        click.echo(
            f"{result.target}: {result.seconds:.1f} s {together}in {result.wall:.1f} s,"
            f" {result.speed:.1f} times real time"
        )
        for remark in result.remarks():
            click.echo(f"qsep-live: warning: {remark}", err=True)

    def _fail(self, error: QsepError, files: int = 1) -> None:
        """Tell it once; ``files`` were not written for it."""
        self.failures += files
        click.echo(f"qsep-live: error: {error}", err=True)
        if self._json:
            from qsep_live.ui.lines import json_line

            click.echo(json_line("error", {"text": str(error)}))


def find_tracks(inputs: list[Path], output: Path) -> list[Track]:
    """The sound files of ``inputs``, folders searched through, each with a folder name of its own.

    Two files with the same stem (song.wav, song.mp3) get folders with their full names. Files inside ``output`` are
    results of another run and left out of a folder's search.

    Raises
    ------
    UsageError
        A folder holds no sound file.
    """
    found: list[tuple[Path, Path]] = []
    for path in inputs:
        if not path.is_dir():
            found.append((path, Path(path.name)))
            continue
        inside = [each for each in sound_files(path) if not each.resolve().is_relative_to(output.resolve())]
        if not inside:
            raise UsageError(f"{path}: there is no sound file in this folder")
        found += [(each, each.relative_to(path)) for each in inside]
    found = list(dict.fromkeys(found))
    stems = [relative.with_suffix("") for _, relative in found]
    tracks: list[Track] = []
    taken: set[Path] = set()
    for (path, relative), stem in zip(found, stems, strict=True):
        folder = stem if stems.count(stem) == 1 else relative
        number = 2
        while folder in taken:
            folder = relative.with_name(f"{relative.name}-{number}")
            number += 1
        taken.add(folder)
        tracks.append(Track(path, folder))
    return tracks


def sound_files(folder: Path) -> list[Path]:
    """Every sound file below ``folder``, in the order of their names; hidden ones are left out."""
    from qsep_live.engine.endpoint import SOUND_SUFFIXES

    files = folder.rglob("*")
    return sorted(
        path
        for path in files
        if path.suffix.lower() in SOUND_SUFFIXES and not path.name.startswith(".") and path.is_file()
    )


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise QsepError(f"{folder} cannot be made: {error.strerror or error}") from None


def _remove_empty(folder: Path, last: Path) -> None:
    """Remove ``folder`` and those above it, up to ``last``, where a failure left them empty."""
    while folder.is_relative_to(last):
        with suppress(OSError):
            folder.rmdir()
        folder = folder.parent

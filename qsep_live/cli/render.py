"""`qsep-live render`: many files and folders, offline, a folder of stems for each."""

from __future__ import annotations

import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from qsep_live.cli import choices, options
from qsep_live.errors import QsepError, UsageError

if TYPE_CHECKING:
    from qsep_live.cli.offline import Rendered, TimedNetwork
    from qsep_live.engine.render import RenderSettings
    from qsep_live.latent.preset import Preset

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
@options.overwrite_option
@options.json_option
@click.pass_context
def render(ctx: click.Context, /, inputs: tuple[str, ...], output: str, presets: tuple[str, ...], **given: Any) -> None:
    """Separate files and folders of files, faster than real time.

    Each input becomes a folder, each preset a file in it: DIR/song/vocals.wav, in remove mode
    DIR/song/no_vocals.wav, in balance mode DIR/song/vocals_balance.wav. Every stem is aligned with its input and
    has its length, rate, channels and, where the file type can hold it, sample format.
    """
    folder = Path(output).expanduser()
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file; give a folder")
    tracks = find_tracks([Path(name).expanduser() for name in inputs], folder)
    model = choices.choose_model(given["model"])
    chosen = choices.choose_presets(tuple(dict.fromkeys(presets)), model)
    batch = _Batch(folder, given, chosen, model)
    for track in tracks:
        batch.render(track)
    batch.close()
    if batch.failures:
        ctx.exit(1)


class _Batch:
    """One network for all files; what failed is told and counted."""

    def __init__(
        self, folder: Path, given: dict[str, Any], presets: tuple[Preset, ...], model: choices.ModelChoice
    ) -> None:
        self._folder, self._given, self._presets, self._model = folder, given, presets, model
        self._json: bool = given["as_json"]
        # A rack that cannot be meant is the whole batch's fault, not each file's.
        self._settings = [(preset, self._settings_for(preset)) for preset in presets]
        self._network: TimedNetwork | None = None
        self._started = time.perf_counter()
        self._results: list[Rendered] = []
        self.failures = 0

    def render(self, track: Track) -> None:
        """Every preset of one file; an error is one line and the others go on."""
        try:
            with ExitStack() as closing:
                self._check(track, closing)
        except QsepError as error:
            self._fail(error)
            return
        for preset, settings in self._settings:
            name = NAMES[self._given["mode"]].format(preset.name)
            try:
                self._one(track, f"{name}.{self._given['suffix']}", preset, settings)
            except QsepError as error:
                self._fail(error)

    def close(self) -> None:
        """The last line."""
        if self._json or len(self._results) + self.failures < 2:
            return
        seconds = sum(result.seconds for result in self._results)
        wall = time.perf_counter() - self._started
        failed = f", {self.failures} failed" if self.failures else ""
        speed = f", {seconds / wall:.1f} times real time" if seconds else ""
        click.echo(f"{len(self._results)} files written{failed}: {seconds:.1f} s of sound in {wall:.1f} s{speed}")

    def _settings_for(self, preset: Preset) -> RenderSettings:
        from qsep_live.engine.render import RenderSettings

        given = self._given
        return RenderSettings(
            preset.latent,
            mode=given["mode"],
            wet=given["wet"],
            gain=given["gain"],
            delay=choices.offline_delay(given["delay"]),
            ahead=self._model.ahead,
            racks=(choices.choose_rack(given["rack"], (preset,)),),
        )

    def _check(self, track: Track, closing: ExitStack) -> None:
        from qsep_live.cli.offline import open_sound

        open_sound(str(track.path), closing)

    def _one(self, track: Track, name: str, preset: Preset, settings: RenderSettings) -> None:
        from qsep_live.cli.offline import TimedNetwork, check_render, open_sound, render_sound
        from qsep_live.ui.lines import json_line
        from qsep_live.ui.progress import progress_bar

        target = self._folder / track.folder / name
        with ExitStack() as closing:
            sound = open_sound(str(track.path), closing)
            closing.callback(_remove_empty, target.parent, self._folder)
            _make(target.parent)
            choices.check_target(target, self._given["overwrite"], track.path)
            check_render(sound, settings)
            if self._network is None:
                threads = choices.offline_threads(self._given["threads"])
                self._network = TimedNetwork(self._model, self._given["device"], threads)
            label = f"{track.path.name} → {name}"
            with progress_bar(label, sound.frames / sound.rate, hidden=self._json) as progress:
                result = render_sound(sound, target, self._network, settings, progress)
        self._results.append(result)
        if self._json:
            values = {"preset": preset.name, "mode": settings.mode, **result.as_json()}
            click.echo(json_line("result", values))
            return
        click.echo(
            f"{result.target}: {result.seconds:.1f} s in {result.wall:.1f} s, {result.speed:.1f} times real time"
        )
        for remark in result.remarks():
            click.echo(f"qsep-live: warning: {remark}", err=True)

    def _fail(self, error: QsepError) -> None:
        self.failures += 1
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

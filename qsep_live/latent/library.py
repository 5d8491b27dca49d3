"""The presets a user has: their own folder first, then the ones that come with qsep-live.

The folders are read anew at each call, so files that come or go are noticed. Each stem of a model that gives stems is a
preset too, without a file: `for_model`.

Threading: any thread; keep it away from the audio callback, it reads files.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from qsep_live.bundled import bundled_folder, user_folder
from qsep_live.errors import QsepError, UsageError
from qsep_live.latent.preset import Preset
from qsep_live.latent.preset_fields import is_name
from qsep_live.latent.preset_file import SUFFIX, load_preset, save_preset
from qsep_live.latent.slerp import LATENT_SIZE
from qsep_live.latent.stem_weights import axis
from qsep_live.latent.wording import nearest, one_line, shown
from qsep_live.models.spec import SeparatorSpec


class Found(NamedTuple):
    """A preset and its file; None where it is a stem of a model and has no file."""

    preset: Preset
    path: Path | None


class PresetLibrary:
    """Presets by name, from several folders.

    Parameters
    ----------
    folders : sequence of Path, optional
        The first is the user's: presets are saved there and removed from there. The others are only read. A
        name in an earlier folder hides the same name in a later one, even if the earlier file is broken. A
        folder that does not exist holds no presets. Default: the user's folder (``$QSEP_LIVE_HOME/presets``
        where that is set), then the bundled one.

    Raises
    ------
    QsepError
        No folders were given and the bundled one is missing.
    """

    def __init__(self, folders: Sequence[Path] | None = None) -> None:
        if folders is None:
            folders = (user_folder("presets"), bundled_folder("presets"))
        if not folders:
            raise ValueError("a preset library needs at least one folder")
        self.folders = tuple(Path(folder) for folder in folders)

    def names(self) -> list[str]:
        """Names of all presets that can be read, sorted."""
        return [preset.name for preset in self.presets()]

    def presets(self) -> list[Preset]:
        """All presets that can be read, sorted by name."""
        return self._read()[0]

    def problems(self) -> list[str]:
        """One line for each file or folder that cannot be read, hidden ones left out."""
        return self._read()[1]

    def get(self, name: str) -> Preset:
        """The preset called ``name``.

        Raises
        ------
        UsageError
            There is none: lists those that exist, and the nearest.
        QsepError
            Its file is broken.
        """
        return load_preset(self.path(name))

    def path(self, name: str) -> Path:
        """The file of preset ``name``; raises UsageError if there is none."""
        found = self._files()[0].get(name)
        if found is None:
            raise self._unknown(name, self.names())
        return found[0]

    def for_model(self, name: str, spec: SeparatorSpec | None, fingerprint: str = "") -> Found:
        """The preset called ``name`` as a model takes it, and its file.

        Files of the kind that the model takes (latents, or weights of stems) are asked, the user's first; then, of a
        model that gives stems, the stem of this name.

        Parameters
        ----------
        spec
            Of the model; None is an own network.
        fingerprint
            Of an own network.

        Returns
        -------
        Found
            Of a model that gives stems: with a weight for each of ``spec.stems``, in this order.

        Raises
        ------
        UsageError
            There is none, or it belongs to another model, or needs a stem that this one lacks.
        QsepError
            Its file is broken.
        """
        stems = spec.stems if spec is not None else ()
        others = []
        for path in self._files()[0].get(name, []):
            preset = load_preset(path)
            if bool(preset.stems) != bool(stems):
                others.append(preset)
                continue
            try:
                return Found(_fitted(preset, spec, fingerprint), path)
            except UsageError as error:
                instead = self._instead(name, path, spec, fingerprint)
                raise UsageError(f"{error}{instead}") from None
        if name in stems:
            return Found(_stem(name, stems), None)
        if others:
            _fitted(others[0], spec, fingerprint)
        raise self._unknown(name, self._fitting(spec, fingerprint), f" for {spec.name}" if spec and stems else "")

    def every(self, spec: SeparatorSpec | None = None) -> list[Found]:
        """All presets that can be read, by name, and the stems of ``spec``. One name may come twice, once a kind: a
        latent hides no weights of stems, nor they a latent."""
        found: dict[tuple[str, bool], Found] = {}
        broken = set()
        for name, paths in self._files()[0].items():
            for path in paths:
                try:
                    preset = load_preset(path)
                except QsepError:
                    broken.add(name)  # it hides what comes after it, whatever kind it may be of
                    break
                found.setdefault((name, bool(preset.stems)), Found(preset, path))
        for name in spec.stems if spec is not None else ():
            if is_name(name) and name not in broken and spec is not None:
                found.setdefault((name, True), Found(_stem(name, spec.stems), None))
        return [found[key] for key in sorted(found)]

    def latents_of(self, fingerprint: str) -> list[Preset]:
        """All latents of an own network that can be read, by name."""
        return [found.preset for found in self.every() if found.preset.model == fingerprint.lower()]

    def origin(self, path: Path | None) -> str:
        """Where a preset comes from, in a word: ``yours``, ``bundled``, or ``model`` (a stem of it)."""
        if path is None:
            return "model"
        return "yours" if path.parent == self.folders[0] else "bundled"

    def is_bundled(self, name: str) -> bool:
        """Whether ``name`` comes from a folder that is only read; raises UsageError if there is none."""
        return self.path(name).parent != self.folders[0]

    def save(self, preset: Preset, overwrite: bool = False) -> Path:
        """Write ``preset`` into the user's folder; returns its path.

        Raises
        ------
        UsageError
            The name is taken, by the user or by a bundled preset (which it would hide), and ``overwrite`` is
            False.
        QsepError
            The file cannot be written.
        """
        taken = {name.lower(): name for name in self._files()[0]}.get(preset.name.lower())
        if taken is not None and not overwrite:
            owner = "comes with qsep-live" if self.is_bundled(taken) else "exists already"
            raise UsageError(f"preset {taken!r} {owner}: choose another name, or say --overwrite")
        return save_preset(preset, self.folders[0])

    def remove(self, name: str) -> Path:
        """Delete the user's preset ``name``, broken or not; returns the path that was deleted.

        Raises
        ------
        UsageError
            There is none, or it is a bundled one.
        QsepError
            The file cannot be deleted.
        """
        path = self.path(name)
        if self.is_bundled(name):
            raise UsageError(
                one_line(f"preset {name!r} comes with qsep-live and cannot be removed; yours are in {self.folders[0]}")
            )
        try:
            path.unlink()
        except OSError as error:
            raise QsepError(one_line(f"{path}: cannot be removed ({error.strerror or error})")) from None
        return path

    def _fitting(self, spec: SeparatorSpec | None, fingerprint: str) -> list[str]:
        return [found.preset.name for found in self.every(spec) if fits(found.preset, spec, fingerprint)]

    def _instead(self, name: str, path: Path, spec: SeparatorSpec | None, fingerprint: str) -> str:
        """What to say of a preset of the same name that ``path`` hides and that fits, if there is one."""
        stems = spec.stems if spec is not None else ()
        for later in self._files()[0][name]:
            if later == path:
                continue
            try:
                if fits(load_preset(later), spec, fingerprint):
                    return one_line(f"; or rename {path}, and the {name!r} that comes with qsep-live is used")
            except QsepError:
                continue
        return one_line(f"; or rename {path}, and the model's own stem {name!r} is used") if name in stems else ""

    def _files(self) -> tuple[dict[str, list[Path]], list[str]]:
        """The files of each name, the one it stands for first, by name; and the folders that cannot be listed."""
        files: dict[str, list[Path]] = {}
        problems = []
        for folder in self.folders:
            try:
                # By listing and not by asking for a path: some file systems find "Vocals" for "vocals".
                entries = sorted(folder.iterdir())
            except FileNotFoundError:
                continue
            except OSError as error:
                problems.append(one_line(f"{folder}: cannot be listed ({error.strerror or error})"))
                continue
            for path in entries:
                if path.suffix == SUFFIX and not path.name.startswith("."):
                    files.setdefault(path.stem, []).append(path)
        return dict(sorted(files.items())), problems

    def _read(self) -> tuple[list[Preset], list[str]]:
        files, problems = self._files()
        presets = []
        for path, *_hidden in files.values():
            try:
                presets.append(load_preset(path))
            except QsepError as error:
                problems.append(str(error))
        return presets, problems

    def _unknown(self, name: str, names: Sequence[str], owner: str = "") -> UsageError:
        if not names:
            folders = ", ".join(str(folder) for folder in self.folders)
            return UsageError(one_line(f"there is no preset {shown(name)}: no presets are in {folders}"))
        guess = nearest(name, names)
        hint = f" Did you mean {guess!r}?" if guess else ""
        return UsageError(one_line(f"there is no preset {shown(name)}{owner}; there are {', '.join(names)}.{hint}"))


def fits(preset: Preset, spec: SeparatorSpec | None, fingerprint: str = "") -> bool:
    """Whether a model (see `PresetLibrary.for_model`) can use ``preset``."""
    try:
        _fitted(preset, spec, fingerprint)
    except UsageError:
        return False
    return True


def _fitted(preset: Preset, spec: SeparatorSpec | None, fingerprint: str) -> Preset:
    if spec is not None and spec.stems:
        return preset.for_stems(spec.stems, spec.name)
    preset.require_model(fingerprint or (spec.fingerprint if spec else ""), spec.latent if spec else LATENT_SIZE)
    return preset


def _stem(name: str, stems: tuple[str, ...]) -> Preset:
    return Preset(name, axis(name, stems), stems=stems, description=f"The stem {name} alone.")

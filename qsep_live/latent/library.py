"""The presets a user has: their own folder first, then the ones that come with qsep-live.

The folders are read anew at each call, so files that come or go are noticed.

Threading: any thread; keep it away from the audio callback, it reads files.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from qsep_live.bundled import bundled_folder, user_folder
from qsep_live.errors import QsepError, UsageError
from qsep_live.latent.preset import Preset
from qsep_live.latent.preset_file import SUFFIX, load_preset, save_preset
from qsep_live.latent.wording import nearest, one_line, shown


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
        """One line for each file or folder that cannot be read."""
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
            raise self._unknown(name)
        return found

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

    def _files(self) -> tuple[dict[str, Path], list[str]]:
        """The file that each name stands for, sorted by name, and the folders that cannot be listed."""
        files: dict[str, Path] = {}
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
                    files.setdefault(path.stem, path)
        return dict(sorted(files.items())), problems

    def _read(self) -> tuple[list[Preset], list[str]]:
        files, problems = self._files()
        presets = []
        for path in files.values():
            try:
                presets.append(load_preset(path))
            except QsepError as error:
                problems.append(str(error))
        return presets, problems

    def _unknown(self, name: str) -> UsageError:
        names = self.names()
        if not names:
            folders = ", ".join(str(folder) for folder in self.folders)
            return UsageError(one_line(f"there is no preset {shown(name)}: no presets are in {folders}"))
        guess = nearest(name, names)
        hint = f" Did you mean {guess!r}?" if guess else ""
        return UsageError(f"there is no preset {shown(name)}; there are {', '.join(names)}.{hint}")

"""Which stem separators there are here: those that were added (`models.store`'s folder), and other packages'.

The own networks are checkpoints and are found by path; a name that is not here is `None`, not an error.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, fields
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from qsep_live.bundled import user_folder
from qsep_live.errors import QsepError
from qsep_live.models.spec import ENTRY_POINTS, SeparatorSpec, StemSeparator

SCHEMA = 1
CARD = "model.json"
"""In the folder of a model that was added: schema, adapter, spec, and the SHA-256 of each file beside it."""
ADAPTERS = {"htdemucs": "qsep_live.models.adapters.htdemucs"}
"""Modules with ``open_installed(folder, spec, device, threads, exact) -> StemSeparator``."""


@dataclass(frozen=True)
class Entry:
    """A stem separator that is here, before it is loaded.

    Attributes
    ----------
    origin
        ``"added"``, or the name of the package that brings it.
    folder
        Of its files, where it was added.
    """

    spec: SeparatorSpec
    origin: str
    load: Callable[[str, int, bool], StemSeparator]
    folder: Path | None = None

    def open(self, device: str = "auto", threads: int = 1, exact: bool = True) -> StemSeparator:
        """Load it.

        Raises
        ------
        QsepError
            A file is missing or damaged, or this machine cannot run it.
        """
        return self.load(device, threads, exact)


def stem_separators() -> list[Entry]:
    """All that are here, by name. One name twice: the added one goes first.

    Raises
    ------
    QsepError
        One that is here is damaged, or its package cannot be imported.
    """
    found: dict[str, Entry] = {}
    root = user_folder("models")
    if root.is_dir():
        for card in sorted(root.glob(f"[!.]*/{CARD}")):  # hidden: half built
            entry = added(card.parent)
            found[entry.spec.name] = entry
    for point in entry_points(group=ENTRY_POINTS):
        entry = _of_package(point)
        found.setdefault(entry.spec.name, entry)
    return [found[name] for name in sorted(found)]


def package_separators() -> list[tuple[str, Entry | str]]:
    """Name of each separator of another package, and the separator, or what is wrong with it in one line."""
    found: list[tuple[str, Entry | str]] = []
    for point in entry_points(group=ENTRY_POINTS):
        try:
            found.append((point.name, _of_package(point)))
        except QsepError as error:
            found.append((point.name, str(error)))
    return found


def find_stems(name: str) -> Entry | None:
    """The stem separator called ``name``; None where there is none here.

    Raises
    ------
    QsepError
        It is here and damaged.
    """
    folder = user_folder("models") / name
    if Path(name).name == name and (folder / CARD).is_file():
        return added(folder)
    points = [point for point in entry_points(group=ENTRY_POINTS) if point.name == name]
    return _of_package(points[0]) if points else None


def added(folder: Path) -> Entry:
    """What was added in ``folder``.

    Raises
    ------
    QsepError
        Its card is damaged, or of another version of qsep-live.
    """
    card = read_card(folder)
    spec = _spec(card.get("spec"), folder)
    adapter = ADAPTERS.get(str(card.get("adapter")))
    if adapter is None:
        raise QsepError(f"{folder / CARD}: there is no adapter {str(card.get('adapter'))[:40]!r}; add the model again")

    def load(device: str, threads: int, exact: bool) -> StemSeparator:
        separator: StemSeparator = import_module(adapter).open_installed(folder, spec, device, threads, exact)
        return separator

    return Entry(spec, "added", load, folder)


def read_card(folder: Path) -> dict[str, Any]:
    """The card in ``folder``.

    Raises
    ------
    QsepError
        It is missing, damaged, or of another version of qsep-live.
    """
    path = folder / CARD
    again = f"add it again: qsep-live models add {folder.name}"
    try:
        card = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise QsepError(f"{path}: {error.strerror or error}; {again}") from None
    except ValueError:
        raise QsepError(f"{path}: damaged; {again}") from None
    if not isinstance(card, dict) or card.get("schema") != SCHEMA:
        raise QsepError(f"{path}: not a card of this version of qsep-live; {again}")
    return card


def _spec(values: object, folder: Path) -> SeparatorSpec:
    known = {field.name for field in fields(SeparatorSpec)}
    try:
        if not isinstance(values, dict) or not set(values) <= known:
            raise ValueError("no spec")
        read: dict[str, Any] = {key: tuple(each) if isinstance(each, list) else each for key, each in values.items()}
        return SeparatorSpec(**read)
    except (TypeError, ValueError) as error:
        reason = str(error).splitlines()[0][:80]
        raise QsepError(f"{folder / CARD}: damaged ({reason}); add the model again") from None


def _of_package(point: EntryPoint) -> Entry:
    package = point.dist.name if point.dist is not None else point.value
    try:
        kind = point.load()
        spec = kind.spec
        if not isinstance(spec, SeparatorSpec):
            raise TypeError("its spec is no SeparatorSpec")
    except Exception as error:  # somebody else's code: whatever it raises is one line here
        reason = (str(error).splitlines() or [type(error).__name__])[0][:120]
        raise QsepError(f"separator {point.name!r} of package {package} cannot be loaded: {reason}") from None
    if spec.name != point.name:
        raise QsepError(
            f"separator {point.name!r} of package {package} calls itself {spec.name!r}; it must be one name"
        )

    def load(device: str, threads: int, exact: bool) -> StemSeparator:
        separator: StemSeparator = kind(device=device, threads=threads, exact=exact)
        return separator

    return Entry(spec, package, load)

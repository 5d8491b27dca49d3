"""Models that were added: a folder each, in the user's own data folder; and which one is used without being named.

A folder appears and goes in one rename, so that there is a whole model or none. Nothing outside the models folder is
touched: a name is a name, not a path, and a link in place of a folder is not followed.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import os
import platform
import re
import shutil
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from qsep_live.bundled import user_folder
from qsep_live.errors import QsepError, UsageError
from qsep_live.models.registry import CARD, Entry, read_card
from qsep_live.models.spec import StemSeparator
from qsep_live.whole_file import write_whole

SETTINGS_SCHEMA = 1
OWN = "own"
"""Names the model that came along, where a default is chosen."""
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_REPEATS = 3


def models_folder() -> Path:
    """Where added models lie; it need not be there."""
    return user_folder("models")


def folder_of(name: str) -> Path:
    """Of an added model, whether it is there or not.

    Raises
    ------
    UsageError
        ``name`` cannot name a model.
    """
    if not _NAME.fullmatch(name) or name == OWN:
        raise UsageError(f"{name[:80]!r} cannot name a model: use 1 to 64 of a-z 0-9 _ -, and not {OWN!r}")
    return models_folder() / name


def sha256(path: Path) -> str:
    """Of a file, in hex.

    Raises
    ------
    QsepError
        It cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise QsepError(f"{path}: {error.strerror or error}") from None


@contextmanager
def place_for(name: str, overwrite: bool) -> Iterator[Path]:
    """Where a builder makes a model's folder. An older one of that name lies aside meanwhile, and comes back where the
    new one fails.

    It is made at its own place: what OpenVINO keeps compiled is found by the path of the folder.

    Raises
    ------
    UsageError
        The model is there, and ``overwrite`` is False.
    QsepError
        The folder cannot be written.
    """
    final = folder_of(name)
    if final.is_symlink():
        raise QsepError(f"{final} is a link, not a folder of qsep-live: remove it by hand")
    aside = final.with_name(f".{name}.old")
    try:
        if aside.exists() and not final.exists():  # of a run that was killed
            aside.rename(final)
        if final.exists():
            if not overwrite:
                raise UsageError(f"model {name} is here already; say --overwrite to make it again")
            shutil.rmtree(aside, ignore_errors=True)
            final.rename(aside)
        try:
            yield final
        except BaseException:
            shutil.rmtree(final, ignore_errors=True)
            if aside.exists():
                aside.rename(final)
            raise
        shutil.rmtree(aside, ignore_errors=True)
    except OSError as error:
        raise QsepError(f"{final}: could not be written: {error.strerror or error}") from None


def remove(name: str) -> None:
    """Remove an added model, whole.

    Raises
    ------
    UsageError
        There is none of that name.
    QsepError
        It cannot be removed.
    """
    folder = folder_of(name)
    if folder.is_symlink() or not folder.is_dir():
        raise UsageError(f"no model {name} was added; qsep-live models list names those that were")
    gone = folder.with_name(f".{name}.old.{os.getpid()}")
    try:
        folder.rename(gone)
        shutil.rmtree(gone)
    except OSError as error:
        raise QsepError(f"{folder}: could not be removed: {error.strerror or error}") from None


def damage(entry: Entry, tell: Callable[[str], None] = lambda _: None) -> str:
    """What is wrong with an added model or another package's, one line; empty where nothing is.

    Files are compared with what was written, and one window of silence and one of noise are separated.
    """
    try:
        if entry.folder is not None:
            files = read_card(entry.folder).get("files")
            if not isinstance(files, dict) or not files:
                return "its card names no files"
            for name, wanted in files.items():
                tell(f"reading {name}")
                if Path(name).name != name:
                    return f"its card names the file {name[:60]!r}"
                if sha256(entry.folder / name) != wanted:
                    return f"{name} is not what was written; add the model again"
        tell("separating a window")
        return _wrong_stems(entry)
    except QsepError as error:
        return str(error)


def measure(entry: Entry, tell: Callable[[str], None] = lambda _: None) -> dict[str, Any]:
    """Seconds that a window of each length takes here on one thread, exact and fast: the median of three.

    It is kept in the card of an added model.

    Raises
    ------
    QsepError
        The model cannot be run.
    """
    seconds: dict[str, dict[str, float]] = {}
    for word, exact in (("exact", True), ("fast", False)):
        separator = entry.open("auto", 1, exact)
        seconds[word] = {}
        for window in entry.spec.windows:
            tell(f"measuring windows of {window / entry.spec.rate:.1f} s, {word}")
            seconds[word][str(window)] = _median_seconds(separator, window)
    found = {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "seconds": seconds,
    }
    if entry.folder is not None:
        card = read_card(entry.folder)
        write_whole(entry.folder / CARD, json.dumps({**card, "measured": found}, indent=1).encode())
    return found


def held_delay(entry: Entry) -> tuple[float, float] | None:
    """The shortest delay that this machine would hold live with the model, in seconds, and its window, in seconds.

    A window begins when the last one is done, so that its newest sound waits for one and is ready after another; before
    that it has to lie `SeparatorSpec.edge` behind the end. None where it was not measured.
    """
    if entry.folder is None:
        return None
    try:
        fast = read_card(entry.folder)["measured"]["seconds"]["fast"]
        spec = entry.spec
        return min(
            (2.0 * float(each) + spec.edge / spec.rate, int(window) / spec.rate) for window, each in fast.items()
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


def default_model() -> str | None:
    """The stem model that is used where none is named; None for the own one.

    Raises
    ------
    QsepError
        The settings file is damaged.
    """
    path = _settings()
    try:
        values = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError):
        raise QsepError(f"{path}: damaged; choose again: qsep-live models default {OWN}") from None
    if not isinstance(values, dict) or values.get("schema") != SETTINGS_SCHEMA:
        raise QsepError(f"{path}: not of this version; choose again: qsep-live models default {OWN}")
    name = values.get("model")
    return name if isinstance(name, str) and name != OWN else None


def choose_default(name: str) -> None:
    """Use the model ``name`` where none is named; `OWN` for the one that came along."""
    path = _settings()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise QsepError(f"{path.parent}: could not be made: {error.strerror or error}") from None
    write_whole(path, json.dumps({"schema": SETTINGS_SCHEMA, "model": name}).encode())


def _settings() -> Path:
    return user_folder("models.json")


def _wrong_stems(entry: Entry) -> str:
    spec = entry.spec
    window = spec.windows[-1]
    separator = entry.open()
    separator.warm_up(window)
    silence = np.zeros((spec.channels, window), np.float32)
    noise = 0.1 * np.random.default_rng(0).standard_normal(silence.shape).astype(np.float32)
    for what, sound in (("silence", silence), ("noise", noise)):
        stems = separator(sound)
        if stems.shape != (len(spec.stems), *sound.shape):
            return f"of {what} it gave {stems.shape}, must be {(len(spec.stems), *sound.shape)}"
        if not np.isfinite(stems).all():
            return f"of {what} it gave samples that are NaN or infinite"
        if what == "silence" and np.abs(stems).max() > 1e-4:
            return f"of silence it gave sound, up to {np.abs(stems).max():.2g}"
    return ""


def _median_seconds(separator: StemSeparator, window: int) -> float:
    separator.warm_up(window)
    shape = separator.spec.channels, window
    noise = 0.1 * np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    times = []
    for _ in range(_REPEATS):
        start = time.perf_counter()
        separator(noise)
        times.append(time.perf_counter() - start)
    return round(statistics.median(times), 4)

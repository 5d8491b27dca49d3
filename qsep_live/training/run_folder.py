"""The folder of a run: what it was started with, its state, its log, its figures and its models."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from qsep_live import __version__
from qsep_live.errors import QsepError, UsageError
from qsep_live.training.settings import difference
from qsep_live.whole_file import write_whole

Row = dict[str, float | None]

STATE, LOG, MODEL, BEST = "state.safetensors", "log.csv", "model.safetensors", "best.safetensors"
_RUN = "run.json"
_SCHEMA = 1


class RunFolder:
    """A folder that one run owns."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def state(self) -> Path:
        return self.path / STATE

    @property
    def log(self) -> Path:
        return self.path / LOG

    @property
    def model(self) -> Path:
        """The averaged weights at the end of the run."""
        return self.path / MODEL

    @property
    def best(self) -> Path:
        """The averaged weights that validated best."""
        return self.path / BEST

    def check(self, recipe: str, settings: Mapping[str, Any], seed: int, warm_start: str) -> bool:
        """Whether this run is in the folder already; nothing is written.

        Raises
        ------
        UsageError
            Another run is in it: says what differs.
        QsepError
            It cannot be read.
        """
        path = self.path / _RUN
        if self.path.exists() and not self.path.is_dir():
            raise UsageError(f"{self.path} is a file; give --output a folder")
        try:
            theirs = json.loads(path.read_text()) if path.exists() else None
        except OSError as error:
            raise QsepError(f"{path}: {error.strerror or error}") from None
        except ValueError:
            raise QsepError(f"{path}: cannot be read; give another --output") from None
        if theirs is not None:
            self._compare(_identity(recipe, settings, seed, warm_start), theirs)
        elif self.state.exists():
            raise UsageError(f"{self.path} holds the state of a run without its {_RUN}: give another --output")
        return self.state.exists()

    def claim(self, recipe: str, settings: Mapping[str, Any], seed: int, warm_start: str) -> None:
        """Make the folder, and make it this run's. Raises as `check` does, and QsepError where it cannot be made."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError):
            raise UsageError(f"{self.path} is, or lies in, a file; give --output a folder") from None
        except OSError as error:
            raise QsepError(f"{self.path}: {error.strerror or error}") from None
        self.check(recipe, settings, seed, warm_start)
        path = self.path / _RUN
        if not path.exists():
            mine = {**_identity(recipe, settings, seed, warm_start), "made_by": f"qsep-live {__version__}"}
            write_whole(path, (json.dumps(mine, indent=2) + "\n").encode())

    def _compare(self, mine: dict[str, Any], theirs: Any) -> None:
        if not isinstance(theirs, dict) or theirs.get("schema") != _SCHEMA:
            raise UsageError(f"{self.path} holds a run of another version: give another --output")
        if theirs.get("recipe") != mine["recipe"]:
            raise UsageError(
                f"{self.path} holds a run of recipe {theirs.get('recipe')!r}, not {mine['recipe']!r}: give another"
                " --output, or that recipe"
            )
        told = difference(mine.pop("settings"), theirs.get("settings", {})) or difference(
            mine, {key: theirs.get(key) for key in mine}
        )
        if told:
            raise UsageError(f"{self.path} holds a run with other settings: {told}; give another --output, or the same")

    def rows(self) -> list[Row]:
        """The log so far."""
        if not self.log.exists():
            return []
        with self.log.open(newline="") as file:
            return [
                {key: float(value) if value else None for key, value in row.items()} for row in csv.DictReader(file)
            ]

    def write_log(self, rows: Sequence[Row]) -> None:
        """Replace the log, whole or not at all; columns are all that any row has."""
        if not rows:
            return
        columns = list(dict.fromkeys(key for row in rows for key in row))
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, columns, restval="")
        writer.writeheader()
        writer.writerows({key: _short(value) for key, value in row.items()} for row in rows)
        write_whole(self.log, text.getvalue().encode())


def _identity(recipe: str, settings: Mapping[str, Any], seed: int, warm_start: str) -> dict[str, Any]:
    """What two runs must have in common to be one, as JSON gives it back."""
    mine = {"schema": _SCHEMA, "recipe": recipe, "seed": seed, "warm_start": warm_start, "settings": settings}
    identity: dict[str, Any] = json.loads(json.dumps(mine))
    return identity


def _short(value: float | None) -> str:
    if value is None:
        return ""
    return str(int(value)) if float(value).is_integer() else f"{value:.6g}"

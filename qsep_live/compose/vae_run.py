"""The folder of a run of `train_vae`: its songs, its settings, its state, its log and its models."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from qsep_live import __version__
from qsep_live.compose.songs import Song, fingerprint, read_songs
from qsep_live.compose.songs_file import SUFFIX, load_songs, save_songs
from qsep_live.errors import QsepError, UsageError
from qsep_live.nets.optimiser_state import load_optimiser, optimiser_tensors
from qsep_live.tensor_file import open_tensors
from qsep_live.whole_file import write_whole

Row = dict[str, float]
_KEY = "qsep_live_vae_training"
_SCHEMA = 1


@dataclass
class Progress:
    """Where a run stands: steps, seconds spent on them, the best validation score so far, how many of the steps were on
    single bars, and whether it learns whole melodies by now."""

    step: int = 0
    seconds: float = 0.0
    best: float = -1.0
    bar_steps: int = 0
    whole: bool = False


class VaeRun:
    """A folder that one run owns."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.songs, self.state = path / f"songs{SUFFIX}", path / "state.safetensors"
        self.best, self.model, self.log = path / "best.safetensors", path / "model.safetensors", path / "log.csv"
        self._run = path / "run.json"

    def claim(
        self, settings: Mapping[str, Any], files: Sequence[Path], note: Callable[[str], None],
        advance: Callable[[float], None],
    ) -> list[Song]:  # fmt: skip
        """Make the folder this run's and return its songs, which are read from ``files`` the first time.

        Raises
        ------
        UsageError
            Another run is in it: says what differs.
        QsepError
            It cannot be made, read or written.
        """
        mine = {"schema": _SCHEMA, "files": [str(path) for path in files], "settings": dict(settings)}
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            theirs = json.loads(self._run.read_text()) if self._run.exists() else None
        except (FileExistsError, NotADirectoryError):
            raise UsageError(f"{self.path} is, or lies in, a file; give --output a folder") from None
        except OSError as error:
            raise QsepError(f"{self._run}: {error.strerror or error}") from None
        except ValueError:
            raise QsepError(f"{self._run}: cannot be read; give another --output") from None
        if theirs is not None:
            self._compare(json.loads(json.dumps(mine)), theirs)
            songs = load_songs(self.songs)
            if fingerprint(songs) != theirs.get("songs"):
                raise QsepError(f"{self.songs}: not the songs that this run began with; give another --output")
            return songs
        stored = [song for path in files if path.suffix == SUFFIX for song in load_songs(path)]
        songs = stored + read_songs([path for path in files if path.suffix != SUFFIX], note, advance)
        if songs:
            save_songs(songs, self.songs)
            made = {**mine, "songs": fingerprint(songs), "made_by": f"qsep-live {__version__}"}
            write_whole(self._run, (json.dumps(made, indent=2) + "\n").encode())
        return songs

    def _compare(self, mine: dict[str, Any], theirs: Any) -> None:
        if not isinstance(theirs, dict) or theirs.get("schema") != _SCHEMA:
            raise UsageError(f"{self.path} holds a run of another version: give another --output")
        if mine["files"] != theirs.get("files"):
            raise UsageError(f"{self.path} holds a run on other files: give another --output, or the same files")
        there = theirs.get("settings", {})
        told = [f"{key} is {there.get(key)}, not {value}" for key, value in mine["settings"].items()
                if there.get(key) != value]  # fmt: skip
        if told:
            raise UsageError(f"{self.path} holds a run in which {told[0]}; give another --output, or the same settings")

    def save(self, vae: nn.Module, optimiser: torch.optim.Optimizer, progress: Progress, rows: Sequence[Row]) -> None:
        """Write everything that a later run continues from. Raises QsepError; what was there is kept."""
        from safetensors.torch import save

        tensors: dict[str, Tensor] = {f"vae.{key}": value for key, value in vae.state_dict().items()}
        tensors |= {f"adam.{key}": value for key, value in optimiser_tensors(optimiser).items()}
        tensors = {key: value.detach().clone().contiguous() for key, value in tensors.items()}
        words = json.dumps({"schema": _SCHEMA, **asdict(progress)})
        write_whole(self.state, save(tensors, {_KEY: words}))
        if rows:
            columns = list(dict.fromkeys(key for row in rows for key in row))
            text = io.StringIO(newline="")
            writer = csv.DictWriter(text, columns, restval="")
            writer.writeheader()
            writer.writerows({key: f"{value:.7g}" for key, value in row.items()} for row in rows)
            write_whole(self.log, text.getvalue().encode())

    def resume(self, vae: nn.Module, optimiser: torch.optim.Optimizer) -> tuple[Progress, list[Row]]:
        """Put back what `save` wrote, if it wrote anything.

        Raises
        ------
        QsepError
            The state is damaged or of another network.
        """
        if not self.state.exists():
            return Progress(), []
        wrong = "not the state of this run ({reason}); give another --output"
        with open_tensors(self.state, _KEY, _SCHEMA, wrong, "pt") as (words, tensors):
            progress = Progress(**words)
            vae.load_state_dict(_below(tensors, "vae."))
            load_optimiser(optimiser, _below(tensors, "adam."))
        # What was logged after this state was saved is about to happen again.
        return progress, [row for row in self._rows() if row["step"] <= progress.step]

    def _rows(self) -> list[Row]:
        if not self.log.exists():
            return []
        with self.log.open(newline="") as file:
            return [{key: float(value) for key, value in row.items() if value} for row in csv.DictReader(file)]


def _below(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key[len(prefix) :]: value for key, value in tensors.items() if key.startswith(prefix)}

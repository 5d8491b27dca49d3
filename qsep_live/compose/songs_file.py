"""Songs in one safetensors file: a run reads its MIDI once, and the file alone is enough to train elsewhere."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from qsep_live.compose.melody import STEPS, TOKENS
from qsep_live.compose.songs import Song
from qsep_live.tensor_file import open_tensors
from qsep_live.whole_file import write_whole

SUFFIX = ".safetensors"
_KEY = "qsep_live_songs"
_SCHEMA = 1


def save_songs(songs: Sequence[Song], path: Path) -> None:
    """Write ``path`` whole or not at all. Raises QsepError."""
    from safetensors.numpy import save

    names = [[song.name, len(song.windows)] for song in songs]
    tokens = np.concatenate([song.windows for song in songs]).astype(np.uint8)
    write_whole(path, save({"tokens": tokens}, {_KEY: json.dumps({"schema": _SCHEMA, "songs": names})}))


def load_songs(path: Path) -> list[Song]:
    """Read what `save_songs` wrote.

    Raises
    ------
    QsepError
        The file is missing, damaged, or something else.
    """
    wrong = "no songs of a run of qsep-live compose train-vae ({reason})"
    with open_tensors(path, _KEY, _SCHEMA, wrong) as (words, tensors):
        tokens, counts = tensors["tokens"], [int(count) for _, count in words["songs"]]
        if tokens.shape != (sum(counts), STEPS) or tokens.max() >= TOKENS:
            raise ValueError("of another version")
        parts = np.split(tokens.astype(np.int64), np.cumsum(counts)[:-1])
        return [Song(str(name), part) for (name, _), part in zip(words["songs"], parts, strict=True)]

"""Names of the files of an HTDemucs that was made ready, and their sums."""

from __future__ import annotations

import hashlib
from pathlib import Path

CACHE = "cache"
"""Folder, in that of the model, where OpenVINO keeps what it compiled. Not in the card: it can be made again."""


def network_file(index: int) -> str:
    """Weights of the network ``index``."""
    return f"network{index}.safetensors"


def graph_file(index: int, samples: int) -> str:
    """Its graph for windows of ``samples``; a .bin of the same name holds the weights once more."""
    return f"network{index}-{samples}.xml"


def sha256(path: Path) -> str:
    """Of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

"""What a model is trained and judged on: songs in memory, from MUSDB18, Slakh2100 or any folder of stems."""

from __future__ import annotations

from qsep_live.training.folders import folder_bank
from qsep_live.training.musdb18 import musdb_bank
from qsep_live.training.slakh import slakh_bank
from qsep_live.training.songs import CLASSES, Bank, Song, require_classes
from qsep_live.training.stems import Progress

__all__ = [
    "CLASSES",
    "Bank",
    "Progress",
    "Song",
    "folder_bank",
    "musdb_bank",
    "require_classes",
    "slakh_bank",
]

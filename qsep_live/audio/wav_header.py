"""A WAV whose recorder lost its power: the sound is there, and the header says that there is none."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO, NamedTuple

_CHUNK = struct.Struct("<4sI")
_MOST = (1 << 32) - 64
"""Bytes that a WAV's sizes can say."""


class Unfinished(NamedTuple):
    """Where the length of the sound should stand, where the sound begins, and its bytes."""

    size_at: int
    start: int
    size: int

    def patches(self) -> dict[int, bytes]:
        """What the header should hold, by position."""
        total = min(self.start + self.size - 8, _MOST)
        return {4: struct.pack("<I", total), self.size_at: struct.pack("<I", min(self.size, _MOST))}


def unfinished_wav(path: Path) -> Unfinished | None:
    """The sound of a WAV with a length of 0 and bytes behind it that are no chunks; None for any other file."""
    with path.open("rb") as file:
        head = file.read(12)
        if head[:4] != b"RIFF" or head[8:] != b"WAVE":
            return None
        end = path.stat().st_size
        place = 12
        while (chunk := _chunk(file, place, end)) is not None:
            name, size = chunk
            if name == b"data":
                start = place + _CHUNK.size
                if size or start >= end or _only_chunks(file, start, end):
                    return None
                return Unfinished(place + 4, start, end - start)
            place += _CHUNK.size + size + size % 2
    return None


def _chunk(file: BinaryIO, place: int, end: int) -> tuple[bytes, int] | None:
    if place + _CHUNK.size > end:
        return None
    file.seek(place)
    name, size = _CHUNK.unpack(file.read(_CHUNK.size))
    return name, size


def _only_chunks(file: BinaryIO, place: int, end: int) -> bool:
    """Whether chunks with printable names fill the file from ``place`` to its end: then there is truly no sound."""
    while place < end:
        chunk = _chunk(file, place, end)
        if chunk is None or not all(32 <= byte < 127 for byte in chunk[0]):
            return False
        place += _CHUNK.size + chunk[1] + chunk[1] % 2
    return place - end in (0, 1)

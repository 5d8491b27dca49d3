"""Ogg files: how many recordings lie in one (libsndfile reads the first alone), and where the speakers stand."""

from __future__ import annotations

from pathlib import Path

SPEAKERS = {
    3: [0, 2, 1],
    5: [0, 2, 1, 3, 4],
    6: [0, 2, 1, 5, 3, 4],
    7: [0, 2, 1, 6, 5, 3, 4],
    8: [0, 2, 1, 7, 5, 6, 3, 4],
}
"""Of each number of channels, where the speakers of a WAV, in its order, stand in Vorbis and Opus (Vorbis I, 4.3.9).
With four channels both have one order."""


def ogg_parts(path: Path) -> int:
    """How many recordings lie one behind the other in an Ogg file (1 for an ordinary one)."""
    parts, begun = 0, False
    with path.open("rb") as raw:
        while (head := raw.read(27))[:4] == b"OggS" and len(head) == 27:
            begins = bool(head[5] & 2)
            if begins and not begun:
                parts += 1
            begun = begins
            raw.seek(sum(raw.read(head[26])), 1)
    return parts

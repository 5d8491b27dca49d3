"""From several voices to one: which part of a score is the melody, and its top line.

Threading: pure functions, any thread.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from qsep_live.compose.melody import BAR, Note

_MELODY = re.compile(r"melod|vocal|voice|vox|sing|lead|solo|theme|tune|sopran", re.IGNORECASE)
_OTHER = re.compile(r"bass|drum|perc|chord|accomp|pad\b|rhythm|bridge", re.IGNORECASE)
_BASSES = range(32, 40)
_EFFECTS = range(96, 128)
_VARIETY = 5
"""Different pitches that a melody has at least, as in the published data (Roberts et al. 2018)."""
_BUSIEST = 10.0
"""Notes a bar above which a part is rather a figure than a melody."""


@dataclass(frozen=True)
class Line:
    """One part of a score on the grid, notes by start.

    Attributes
    ----------
    program
        General MIDI, 0 to 127.
    """

    name: str
    program: int
    notes: tuple[Note, ...]


def top_line(notes: Sequence[Note]) -> list[Note]:
    """The highest notes: the skyline (Uitdenbogerd and Zobel 1999), with ends cut where the next note begins.

    Of notes that begin together the highest stays. A lower note that begins while a higher one sounds is another
    voice if more than half of it lies below that one, and else the next of the same voice, played legato.
    """
    highest: dict[int, Note] = {}
    for note in sorted(notes, key=lambda note: (note.start, note.pitch, note.length)):
        highest[note.start] = note
    kept: list[Note] = []
    for note in highest.values():
        if kept and note.start < kept[-1].end:
            last = kept[-1]
            if note.pitch < last.pitch and 2 * (min(last.end, note.end) - note.start) > note.length:
                continue
            kept[-1] = last._replace(length=note.start - last.start)
        kept.append(note)
    return kept


def choose_melody(lines: Sequence[Line], steps: int) -> Line:
    """The line that is most likely the melody.

    Its name says so, or else it sounds alone, through most of the ``steps``, high, and with some variety.
    """
    return max(lines, key=lambda line: _likely(line, steps))


def _likely(line: Line, steps: int) -> float:
    kept = top_line(line.notes)
    bars = {note.start // BAR for note in kept}
    pitches = [note.pitch for note in kept]
    score = 2.0 * len(kept) / len(line.notes) + 2.0 * len(bars) * BAR / max(BAR, steps)
    score += min(1.0, max(0.0, (sum(pitches) / len(pitches) - 36.0) / 48.0))
    score -= 2.0 * (len(set(pitches)) < _VARIETY) + 1.0 * (len(kept) > _BUSIEST * len(bars))
    score -= 2.0 * (line.program in _BASSES or line.program in _EFFECTS)
    return score + 3.0 * bool(_MELODY.search(line.name)) - 3.0 * bool(_OTHER.search(line.name))

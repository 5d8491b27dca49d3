"""Plain columns of text, for tables that people read and scripts cut."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence


def columns(rows: Sequence[Sequence[str]], header: Sequence[str] = ()) -> list[str]:
    """Rows of cells to aligned lines; on a terminal the last column is cut where the line ends."""
    lines = [list(header), *rows] if header else list(rows)
    if not lines:
        return []
    widths = [max(len(row[index]) for row in lines) for index in range(len(lines[0]))]
    widths[-1] = 0
    room = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    told = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in lines]
    return [line if room is None or len(line) <= room else line[: room - 1] + "…" for line in told]

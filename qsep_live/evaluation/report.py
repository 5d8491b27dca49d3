"""What an evaluation leaves behind: tables as Markdown and CSV, and figures."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from qsep_live.errors import QsepError

Cell = str | float | int


@dataclass
class Table:
    """Rows of text and numbers, and remarks below them. Floats are printed with two decimals, NaN as a dash."""

    title: str
    columns: Sequence[str]
    rows: list[Sequence[Cell]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def markdown(self) -> str:
        lines = [f"# {self.title}", "", _line(self.columns), _line(["---"] * len(self.columns))]
        lines += [_line([_shown(cell) for cell in row]) for row in self.rows]
        if self.notes:
            lines += ["", *(f"- {note}" for note in self.notes)]
        return "\n".join(lines) + "\n"

    def csv(self) -> str:
        """Without the remarks; numbers in full, NaN as nothing."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(self.columns)
        for row in self.rows:
            writer.writerow(["" if isinstance(cell, float) and np.isnan(cell) else cell for cell in row])
        return text.getvalue()


@dataclass
class Report:
    """A table, a figure (matplotlib's), and further tables that are only written as CSV."""

    name: str
    table: Table
    figure: Any = None
    details: dict[str, Table] = field(default_factory=dict)

    def write(self, folder: Path) -> list[Path]:
        """Write ``NAME.md``, ``NAME.csv``, ``NAME.png`` and ``NAME-DETAIL.csv`` into ``folder``, made if need be.

        Raises
        ------
        QsepError
            It cannot be written.
        """
        texts = {f"{self.name}.md": self.table.markdown(), f"{self.name}.csv": self.table.csv()}
        texts |= {f"{self.name}-{key}.csv": table.csv() for key, table in self.details.items()}
        written = []
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for name, text in texts.items():
                (folder / name).write_text(text, encoding="utf-8")
                written.append(folder / name)
            if self.figure is not None:
                path = folder / f"{self.name}.png"
                self.figure.savefig(path, dpi=120)
                written.append(path)
        except OSError as error:
            raise QsepError(f"{error.filename or folder}: could not be written: {error.strerror or error}") from None
        return written


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _shown(cell: Cell) -> str:
    if isinstance(cell, str):
        return cell
    if isinstance(cell, float):
        return "–" if np.isnan(cell) else f"{cell:.2f}"
    return str(cell)

"""Figures of a run: losses and SDR per class over its steps, as PNG beside the log."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from qsep_live.whole_file import write_whole

if TYPE_CHECKING:
    from qsep_live.training.run_folder import Row

_OWN_PANEL = ("minutes", "windows_per_second", "learning_rate")
_SDR = "sdr_"


def draw_figures(rows: Sequence[Row], folder: Path) -> list[Path]:
    """Draw ``losses.png`` and, where there was a validation, ``sdr.png``; returns what was written.

    Raises
    ------
    QsepError
        A file cannot be written.
    """
    columns = list(dict.fromkeys(key for row in rows for key in row if key != "step"))
    losses = [name for name in columns if name not in _OWN_PANEL and not name.startswith(_SDR)]
    scores = [name for name in columns if name.startswith(_SDR)]
    written = []
    if losses:
        written.append(_draw(rows, [[name] for name in (*losses, "learning_rate")], folder / "losses.png", ""))
    if scores:
        written.append(_draw(rows, [scores], folder / "sdr.png", "SDR, dB"))
    return written


def _draw(rows: Sequence[Row], panels: list[list[str]], path: Path, label: str) -> Path:
    # Not pyplot: a run needs neither a display nor global state.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.0, 1.0 + 1.8 * len(panels) if len(panels) > 1 else 4.0), layout="constrained")
    axes = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
    for axis, names in zip(axes, panels, strict=True):
        for name in names:
            points = [(row["step"], row[name]) for row in rows if row.get(name) is not None]
            axis.plot(*zip(*points, strict=True), marker=".", label=name.removeprefix(_SDR))
        axis.set_ylabel(label or names[0].replace("_", " "))
        axis.grid(alpha=0.3)
        if len(names) > 1:
            axis.legend()
    axes[-1].set_xlabel("step")
    data = io.BytesIO()
    FigureCanvasAgg(figure).print_png(data)  # type: ignore[no-untyped-call]
    write_whole(path, data.getvalue())
    return path

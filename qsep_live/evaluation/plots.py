"""Figures that several experiments draw, and the rank correlation that goes with a scatter plot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from qsep_live.evaluation.extra import needs, pyplot

Points = Mapping[str, tuple[Sequence[float], Sequence[float]]]
"""Label to x and y."""


def scatter(points: Points, x: str, y: str, title: str, zero: bool = True) -> Any:
    """A scatter plot, one colour for each label; ``zero`` draws the line y = 0."""
    return _drawn(points, x, y, title, zero, "o", "none")


def curves(points: Points, x: str, y: str, title: str, zero: bool = False) -> Any:
    """One line for each label."""
    return _drawn(points, x, y, title, zero, ".", "-")


def rank_correlation(x: Sequence[float], y: Sequence[float]) -> float:
    """Spearman's rank correlation; NaN for fewer than three points or constant ones."""
    if len(x) < 3 or len(set(x)) < 2 or len(set(y)) < 2:
        return float("nan")
    return float(needs("scipy.stats").spearmanr(x, y).statistic)


def _drawn(points: Points, x: str, y: str, title: str, zero: bool, marker: str, line: str) -> Any:
    plt = pyplot()
    figure, axes = plt.subplots(figsize=(7.5, 5), layout="constrained")
    for label, (across, up) in points.items():
        axes.plot(np.asarray(across), np.asarray(up), marker=marker, linestyle=line, markersize=5, label=label)
    if zero:
        axes.axhline(0.0, color="black", linewidth=0.6)
    axes.set(xlabel=x, ylabel=y, title=title)
    axes.legend(fontsize="small")
    plt.close(figure)
    return figure

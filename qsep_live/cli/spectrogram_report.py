"""What `qsep-live compose spectrogram evaluate` writes: it is of two rooms that do not know each other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from qsep_live.compose.mel import BANDS, FLOOR, FRAMES_A_SECOND, RATE, Mel, library
from qsep_live.compose.mel_quality import STRETCH, Generated
from qsep_live.compose.mel_scores import MelScores
from qsep_live.evaluation.extra import pyplot
from qsep_live.evaluation.report import Cell, Report, Table

NAME = "spectrogram"
COLUMNS = (
    "clip", "MSE, dB²", "last frame", "mean frame", "mean apart, dB", "deviation apart, dB", "halves: mean",
    "halves: deviation", "quietest 10 s, dB", "loudest 10 s, dB", "drift, dB", "drawing, s/s", "with sound, s/s",
)  # fmt: skip
Row = tuple[str, Mel, MelScores, Generated]


def spectrogram_report(rows: Sequence[Row], whole: MelScores, seconds: float) -> Report:
    """A row for each clip, and one for all: errors over all of the songs' frames, the rest the mean over the clips."""
    table = Table(f"Music that goes on from a clip for {seconds:g} s", COLUMNS)
    cells = [_cells(generated) for _, _, _, generated in rows]
    for (song, _, scores, _), own in zip(rows, cells, strict=True):
        table.rows.append([song, *_errors(scores), *own])
    table.rows.append(["all", *_errors(whole), *map(float, np.mean(cells, axis=0))])
    table.notes += [
        f"MSE of the next frame over the {whole.frames} frames of the validation songs, against the frame before and"
        " against the mean frame of the song's piece.",
        "apart: the sound's bands against the clip's, mean and standard deviation over time, RMS over the 128 bands;"
        " halves: the same between the clip's own halves.",
        "10 s: level against the clip's; drift: the last 10 s against the first.",
        "s/s: processor seconds, all threads together, for a second of music: to draw the frames, and with the sound"
        " made of them as --live does.",
    ]
    details = {"levels": _levels(rows), "bands": _bands(rows)}
    return Report(NAME, table, _figure(rows), details)


def wav_path(folder: Path, number: int, song: str) -> Path:
    """Where the music that goes on from ``song`` is written."""
    return folder / f"{NAME}-{number}-{Path(song).stem}.wav"


def _errors(scores: MelScores) -> list[float]:
    return [scores.network, scores.last, scores.mean]


def _cells(made: Generated) -> list[float]:
    ends = (min(made.levels), max(made.levels)) if made.levels else (np.nan, np.nan)
    apart = (*made.made.apart(made.clip), *made.halves)
    return [*apart, *ends, made.drift, made.drawing, made.drawing + made.streaming]


def _levels(rows: Sequence[Row]) -> Table:
    table = Table("Levels", ("clip", "from, s", "dB above the clip"))
    for song, _, _, made in rows:
        table.rows += [[song, number * STRETCH, level] for number, level in enumerate(made.levels)]
    return table


def _bands(rows: Sequence[Row]) -> Table:
    table = Table("Bands", ("clip", "Hz", "clip mean", "made mean", "clip deviation", "made deviation"))
    centres = _centres()
    for song, _, _, made in rows:
        for band, hertz in enumerate(centres):
            values = (made.clip.mean, made.made.mean, made.clip.deviation, made.made.deviation)
            cells: list[Cell] = [song, hertz, *(float(value[band]) for value in values)]
            table.rows.append(cells)
    return table


def _figure(rows: Sequence[Row]) -> Any:
    """Of each clip: its spectrogram, what goes on from it, and the bands of both."""
    plt = pyplot()
    figure, axes = plt.subplots(
        len(rows), 3, figsize=(14, 2.6 * len(rows)), layout="constrained", squeeze=False, width_ratios=(1, 1.3, 1)
    )
    centres = _centres()
    for (left, middle, right), (song, clip, _, made) in zip(axes, rows, strict=True):
        shift = 10.0 * np.log10(made.mel.loudest / clip.loudest)
        for panel, title, db in ((left, song, clip.db), (middle, "what goes on from it", made.mel.db + shift)):
            extent = (0.0, len(db) / FRAMES_A_SECOND, 0, BANDS)
            panel.imshow(db.T, origin="lower", aspect="auto", vmin=FLOOR, vmax=0.0, extent=extent, cmap="magma")
            panel.set(title=title, xlabel="s", ylabel="band")
        for name, bands, colour in (("clip", made.clip, "black"), ("made", made.made, "tab:red")):
            right.semilogx(centres, bands.mean, color=colour, label=name)
            right.fill_between(
                centres, bands.mean - bands.deviation, bands.mean + bands.deviation, color=colour, alpha=0.2
            )
        right.set(title="mean ± standard deviation, dB", xlabel="Hz")
        right.legend(fontsize="small")
    plt.close(figure)
    return figure


def _centres() -> list[float]:
    """Hz of the bands."""
    return [float(hertz) for hertz in library().mel_frequencies(n_mels=BANDS + 2, fmax=RATE / 2)[1:-1]]

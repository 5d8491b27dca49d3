"""SDR of the engine's own output on MUSDB18's validation excerpts: ``python -m qsep_live.evaluation.sdr --musdb DIR``.

Full band, stereo, 44.1 kHz, through the engine that the program runs: the offline one, or with ``--delay`` what live
gives. One SDR over each whole excerpt, 10·log10(‖s‖² / ‖s − ŝ‖²); the table gives the median over the songs.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qsep_live.bundled import bundled_folder
from qsep_live.engine.render import RenderSettings, render
from qsep_live.errors import UsageError
from qsep_live.latent.library import PresetLibrary
from qsep_live.nets.inference import Backend, open_backend

STEMS = ("vocals", "drums", "bass", "other")
SILENT = -60.0
"""dBFS: a stem below this in an excerpt has no SDR."""


def sdr(reference: NDArray[np.float32], estimate: NDArray[np.float32]) -> float:
    """Signal-to-distortion ratio over all samples and channels, dB; NaN if the reference is silent."""
    power = float(np.mean(np.square(reference, dtype=np.float64)))
    if power < 10.0 ** (SILENT / 10.0):
        return float("nan")
    error = float(np.mean(np.square(reference.astype(np.float64) - estimate)))
    return 10.0 * float(np.log10(power / max(error, 1e-12)))


def validation_songs(root: Path) -> Iterator[tuple[str, int, dict[str, NDArray[np.float32]]]]:
    """Name, rate and stems (frames, 2) of musdb's own validation songs below ``root``."""
    try:
        import musdb
    except ImportError:
        raise UsageError("reading MUSDB18 needs the musdb package: pip install 'qsep-live[train]'") from None
    for track in musdb.DB(root=str(root), is_wav=False, subsets="train", split="valid"):
        yield track.name, int(track.rate), {name: track.sources[name].audio.astype(np.float32) for name in STEMS}


def scores(backend: Backend, root: Path, delays: Sequence[float | None], period: float) -> dict[str, dict[str, float]]:
    """Median SDR by row and stem: the mixture itself, then one row for each delay (None: offline)."""
    library = PresetLibrary()
    rows: dict[str, dict[str, list[float]]] = {}
    for _, rate, stems in validation_songs(root):
        mixture = np.sum(list(stems.values()), axis=0)
        for name, reference in stems.items():
            rows.setdefault("mixture", {}).setdefault(name, []).append(sdr(reference, mixture))
            for delay in delays:
                settings = RenderSettings(library.get(name).latent, delay=delay, period=period)
                estimate = np.concatenate(list(render([mixture], rate, 2, backend, settings)))
                label = "offline" if delay is None else f"{1e3 * delay:.1f} ms"
                rows.setdefault(label, {}).setdefault(name, []).append(sdr(reference, estimate))
    return {row: {name: float(np.nanmedian(v)) for name, v in columns.items()} for row, columns in rows.items()}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m qsep_live.evaluation.sdr", description=__doc__)
    parser.add_argument("--musdb", type=Path, required=True, help="MUSDB18's folder, with train/*.stem.mp4")
    parser.add_argument("--model", type=Path)
    parser.add_argument("--delay", type=float, action="append", default=[], help="ms; also what live gives")
    parser.add_argument("--period", type=float, default=60.0, help="ms between masks, with --delay")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    model = arguments.model or bundled_folder("models") / "default.safetensors"
    backend = open_backend(model, threads=arguments.threads)
    delays = [None, *(delay / 1e3 for delay in arguments.delay)]
    table = scores(backend, arguments.musdb, delays, arguments.period / 1e3)
    print("| |", " | ".join(STEMS), "|")
    print("|---|" + "---|" * len(STEMS))
    for row, columns in table.items():
        print(f"| {row} |", " | ".join(f"{columns[name]:.2f}" for name in STEMS), "|")


if __name__ == "__main__":
    main()

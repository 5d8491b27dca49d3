"""Signal-to-distortion ratios: over a whole sound, and museval's (BSS-eval v4), second by second.

museval 0.4 fits 512-tap filters to split the error into interference, artefacts and spatial distortion. The SDR adds
the three parts again, and the filters cancel: what remains is ‖s‖² / ‖s − ŝ‖² in each window (Liutkus, Stöter and
Ito 2018, `museval.metrics._bss_crit`). So it is computed without them, in milliseconds in place of ten seconds; a test
compares with museval itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

Metric = Literal["museval", "sdr"]
METRICS: tuple[Metric, ...] = get_args(Metric)
SILENT = -60.0
"""dBFS: a reference below this has no `sdr`."""


def sdr(reference: NDArray[np.float32], estimate: NDArray[np.float32]) -> float:
    """Signal-to-distortion ratio over all samples and channels, dB; NaN if the reference is silent."""
    power = float(np.mean(np.square(reference, dtype=np.float64)))
    if power < 10.0 ** (SILENT / 10.0):
        return float("nan")
    error = float(np.mean(np.square(reference.astype(np.float64) - estimate)))
    return 10.0 * float(np.log10(power / max(error, 1e-12)))


def framewise_sdr(
    references: NDArray[np.float32], estimates: NDArray[np.float32], rate: int, seconds: float = 1.0
) -> NDArray[np.float64]:
    """museval's SDR (v4, images) in windows that follow one another.

    Parameters
    ----------
    references, estimates
        (sources, samples, channels).
    rate
        Hz.
    seconds
        Length of a window, and its hop; a rest at the end that fills no window is not counted.

    Returns
    -------
    ndarray
        dB, (sources, windows). NaN for every source in windows in which any reference or estimate is silent, as in
        museval: its channels add up to nothing but zeros.
    """
    if references.shape != estimates.shape or references.ndim != 3:
        raise ValueError(f"references {references.shape} and estimates {estimates.shape} must be (S, n, C), alike")
    samples, window = references.shape[1], int(seconds * rate)
    windows = samples // window if window < samples else 1
    scores = np.full((references.shape[0], windows), np.nan)
    for number in range(windows):
        place = slice(number * window, (number + 1) * window)
        true, found = references[:, place].astype(np.float64), estimates[:, place].astype(np.float64)
        if _any_silent(true) or _any_silent(found):
            continue
        signal, error = np.sum(true**2, axis=(1, 2)), np.sum((found - true) ** 2, axis=(1, 2))
        with np.errstate(divide="ignore"):
            scores[:, number] = 10.0 * np.log10(signal / error)
    return scores


def track_scores(
    references: Mapping[str, NDArray[np.float32]],
    estimates: Mapping[str, NDArray[np.float32]],
    rate: int,
    metric: Metric = "museval",
) -> dict[str, float]:
    """One number for each reference of a track.

    ``museval``: the median over one-second frames, NaN frames left out; stems that are missing among the estimates or
    silent all along take no part. ``sdr``: `sdr` over the whole track.

    Returns
    -------
    dict
        dB by name; NaN where there is no estimate or nothing to find.
    """
    scores = dict.fromkeys(references, float("nan"))
    names = [name for name in references if name in estimates and np.any(references[name])]
    if metric == "sdr":
        return scores | {name: sdr(references[name], estimates[name]) for name in names}
    if names:
        frames = framewise_sdr(
            np.stack([references[name] for name in names]), np.stack([estimates[name] for name in names]), rate
        )
        scores |= {name: median(row) for name, row in zip(names, frames, strict=True)}
    return scores


def median(values: NDArray[np.float64] | list[float]) -> float:
    """Median of what is not NaN; NaN if nothing is left."""
    array = np.asarray(values, np.float64)
    array = array[~np.isnan(array)]
    return float(np.median(array)) if array.size else float("nan")


def _any_silent(sources: NDArray[np.float64]) -> bool:
    return bool(np.any(np.all(np.sum(sources, axis=2) == 0.0, axis=1)))

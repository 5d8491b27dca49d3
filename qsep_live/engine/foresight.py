"""Foresight: how gains go on after the newest mask, told from the sound that was heard since.

A mask is some frames old when its gains are used, and in that time a drum may have been hit. The network has not heard
it, but the signal path has: what passed in each bin since the mask's newest frame. What that says of the gains depends
on what the preset lets through (a sudden rise is the drums' and nobody else's). So the predictor is linear in a few
features of the sound and of the gains, and its coefficients are linear in the latent, for each band, each number of
frames heard since the mask and each number of frames still unheard.

It is fitted to the masks that the network itself gives a little later (`evaluation.foresight_fit`): no stems are
needed, and a latent that nobody has seen has its coefficients.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qsep_live.dsp.grid import BINS
from qsep_live.tensor_file import open_tensors
from qsep_live.whole_file import write_whole

Array = NDArray[np.float32]

EDGES = (0, 6, 12, 24, 48, 96, 160, 256, BINS)
"""Bins at which bands begin, and the end of the last one."""
SEEN = (0.0, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0)
"""Frames heard in full since the mask's newest, for which there are coefficients; between them these are linear."""
UNSEEN = (0.0, 1.0, 2.0, 3.0)
"""The same of frames from the newest heard in full to the one that gains are for."""
BEFORE = 4
"""Frames before the mask's newest one, from which the rise that it heard itself is taken."""
RECENT = 8
"""Frames over whose gains the mean is taken."""
FEATURES = 12
_WIDTHS = (3, 31, 201)
"""Bins that power is averaged over, around each."""
_FLOOR = 1e-8
"""Of the mean power, added to the power in each bin."""
_LIMIT = 3.0
"""Nepers that a rise counts, at most."""
_SIZES = np.diff(EDGES)
SCHEMA = 1
_KEY = "qsep-live foresight"


def smoothed(power: Array) -> Array:
    """Power averaged over 3, 31 and 201 bins, fewer at the edges: (…, BINS) to (…, 3, BINS)."""
    total = np.zeros((*power.shape[:-1], BINS + 1))
    np.cumsum(power, axis=-1, out=total[..., 1:])
    out = np.empty((*power.shape[:-1], len(_WIDTHS), BINS), np.float32)
    for row, (low, high, scale) in enumerate(_BOXES):
        out[..., row, :] = (total[..., high] - total[..., low]) * scale
    return out


def _box(width: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    bins = np.arange(BINS)
    low, high = np.maximum(bins - width // 2, 0), np.minimum(bins + width // 2 + 1, BINS)
    return low, high, 1.0 / (high - low)


_BOXES = [_box(width) for width in _WIDTHS]


def rise(now: Array, then: Array) -> Array:
    """Nepers by which smoothed powers (…, 3, BINS) have risen, within ±3."""
    floor = _FLOOR * (now[..., -1:, :].mean(-1, keepdims=True) + then[..., -1:, :].mean(-1, keepdims=True)) + 1e-20
    ratio = (now + floor) / (then + floor)
    risen: Array = np.clip(0.5 * np.log(ratio), -_LIMIT, _LIMIT)
    return risen


def features(trend: Array, newest: Array, recent: Array, since: Array, before: Array) -> Array:
    """What the gains are predicted from.

    Parameters
    ----------
    trend
        Gains as they would go on by themselves, (presets, BINS).
    newest, recent
        The mask's newest gains and the mean over its last `RECENT` frames, (presets, BINS).
    since
        `rise` of the mixture from the mask's newest frame to the newest one heard, (3, BINS).
    before
        The same from `BEFORE` frames before the mask's newest frame up to it, of the middle width, (BINS,).

    Returns
    -------
    ndarray
        (FEATURES, presets, BINS): to be added to ``trend``, each times its coefficient.
    """
    loose = trend * (1.0 - trend)
    loose += np.float32(0.02)
    out = np.empty((FEATURES, *trend.shape), np.float32)
    np.multiply(loose, since[:, None], out=out[0:3])
    np.multiply(loose, np.maximum(since, 0.0)[:, None], out=out[3:6])
    np.multiply(out[4], 1.0 - 2.0 * trend, out=out[6])
    np.multiply(loose, before, out=out[7])
    np.subtract(recent, trend, out=out[8])
    np.subtract(newest, trend, out=out[9])
    np.multiply(loose, trend, out=out[10])
    out[11] = loose
    return out


class Foresight:
    """The predictor of one model.

    Parameters
    ----------
    coefficients
        (len(SEEN), len(UNSEEN), FEATURES, bands, 1 + latent): the constant first.
    """

    def __init__(self, coefficients: Array) -> None:
        self.coefficients = coefficients
        self._latents: Array = np.zeros((0, 0), np.float32)
        self._here = coefficients[..., 0]

    def predict(self, trend: Array, terms: Array, latents: Array, seen: float, unseen: float) -> None:
        """Add to ``trend`` (presets, BINS), in place, what `features` say; gains stay within 0 and 1.

        Parameters
        ----------
        latents
            Of the presets, (presets, 32); what follows from them is kept until they change.
        seen, unseen
            Frames, see `SEEN` and `UNSEEN`.
        """
        if not np.array_equal(latents, self._latents):
            self._latents = latents.copy()
            here = self.coefficients[..., :1] + self.coefficients[..., 1:] @ latents.T
            self._here = np.ascontiguousarray(here.swapaxes(-1, -2))
        # (FEATURES, presets, bands) to (FEATURES, presets, BINS)
        here = np.repeat(_between(_between(self._here, SEEN, seen), UNSEEN, unseen), _SIZES, axis=-1)
        here *= terms
        trend += here.sum(axis=0)
        np.clip(trend, 0.0, 1.0, out=trend)


def _between(table: Array, places: tuple[float, ...], place: float) -> Array:
    """Linear along the first axis; beyond the ends the nearest."""
    index = min(max(int(np.searchsorted(places, place, "right")) - 1, 0), len(places) - 2)
    share = min(max((place - places[index]) / (places[index + 1] - places[index]), 0.0), 1.0)
    found: Array = np.float32(1.0 - share) * table[index] + np.float32(share) * table[index + 1]
    return found


def foresight_file(model: Path) -> Path:
    """Where a model's foresight lies: beside it."""
    return model.with_suffix(".foresight.safetensors")


def save_foresight(coefficients: Array, fingerprint: str, data: str, path: Path) -> None:
    """Write what `Foresight` takes, in float16, for the model with ``fingerprint``; ``data`` says what it is from.

    Raises
    ------
    QsepError
        It cannot be written.
    """
    from safetensors.numpy import save

    words = json.dumps({"schema": SCHEMA, "model": fingerprint, "data": data})
    # safetensors writes memory as it lies.
    write_whole(path, save({"coefficients": np.ascontiguousarray(coefficients, np.float16)}, {_KEY: words}))


def load_foresight(model: Path, fingerprint: str) -> Foresight | None:
    """The foresight beside ``model``; None where there is none, or one of another model.

    Raises
    ------
    QsepError
        The file is damaged.
    """
    path = foresight_file(model)
    if not path.exists():
        return None
    with open_tensors(path, _KEY, SCHEMA, "no foresight ({reason}); make it again: qsep-live foresight") as (
        words,
        tensors,
    ):
        table = tensors["coefficients"].astype(np.float32)
        shape = (len(SEEN), len(UNSEEN), FEATURES, len(EDGES) - 1)
        if table.shape[:-1] != shape or table.ndim != 5 or not np.isfinite(table).all():
            raise ValueError(f"coefficients {table.shape} or not finite")
        return Foresight(table) if words["model"] == fingerprint else None

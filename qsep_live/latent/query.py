"""Sound to latent: cut queries into 3-second segments, encode them, take the mean (the paper's mean vector).

The Query-net comes in as a plain function, so nothing here knows torch.

Threading: any thread that may wait for the network.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from qsep_live.dsp.grid import SEGMENT
from qsep_live.errors import QsepError
from qsep_live.latent.slerp import LATENT_SIZE

Encode = Callable[[NDArray[np.float32]], NDArray[np.float32]]

SEGMENT_HOP = SEGMENT // 2
SILENT_DB = -50.0
ABSOLUTE_SILENCE_DB = -100.0
_BATCH = 16


class QueryLatent(NamedTuple):
    """What queries were encoded to."""

    latent: NDArray[np.float32]
    """Mean of mu over all segments of all queries, (32,) float32."""
    spread: float
    """Root mean square distance of the segments' mu from the mean, in the latent's units."""


def query_latent(encode: Encode, queries: NDArray[np.float32] | Sequence[NDArray[np.float32]]) -> QueryLatent:
    """Turn sound that resembles the wanted instrument into a latent.

    Parameters
    ----------
    encode : callable
        (N, 66304) float32 at 22,050 Hz to mu, (N, 32); the Query-net. At most 16 segments a call.
    queries : (n,) float32, or a sequence of these
        Mono sound at 22,050 Hz. Each segment counts the same, so long queries weigh more.

    Returns
    -------
    QueryLatent
        ``(latent, spread)``.

    Raises
    ------
    QsepError
        No query, or one that is empty, silent, or holds NaN or infinity; or ``encode`` gives no latents.
    """
    several = [queries] if isinstance(queries, np.ndarray) else list(queries)
    if not several:
        raise QsepError("there is no query to encode: give at least one sound")
    means = []
    for number, audio in enumerate(several, start=1):
        which = "the query" if len(several) == 1 else f"query {number} of {len(several)}"
        windows = sliding_window_view(_filled(audio, which), SEGMENT)
        starts = _sounding(windows, which)
        for first in range(0, len(starts), _BATCH):
            batch = np.ascontiguousarray(windows[starts[first : first + _BATCH]])
            means.append(_checked_mu(encode(batch), len(batch), which))
    mu = np.concatenate(means)
    centre = mu.mean(axis=0)
    spread = float(np.sqrt(np.mean(np.sum((mu - centre) ** 2, axis=1))))
    return QueryLatent(centre.astype(np.float32), spread)


def sounding_segments(audio: NDArray[np.float32]) -> NDArray[np.int64]:
    """Where the segments begin (in samples) that `query_latent` encodes of one query, silent ones left out.

    Raises
    ------
    QsepError
        As `query_latent`.
    """
    return _sounding(sliding_window_view(_filled(audio, "the query"), SEGMENT), "the query")


def _filled(audio: NDArray[np.float32], which: str) -> NDArray[np.float32]:
    """``audio``, repeated up to one segment if it is shorter."""
    sound = np.asarray(audio, dtype=np.float32)
    if sound.ndim != 1:
        raise ValueError(f"{which} has shape {sound.shape}, must be mono: (samples,)")
    if sound.size == 0:
        raise QsepError(f"{which} is empty: give a few seconds of sound")
    if not np.isfinite(sound).all():
        raise QsepError(f"{which} holds NaN or infinite samples: export the sound again")
    return np.resize(sound, SEGMENT) if sound.size < SEGMENT else sound


def _sounding(windows: NDArray[np.float32], which: str) -> NDArray[np.int64]:
    """Starts of the segments that are not silent; the last segment ends at the last sample."""
    last = len(windows) - 1
    starts = np.arange(0, last + 1, SEGMENT_HOP, dtype=np.int64)
    if starts[-1] != last:
        starts = np.append(starts, np.int64(last))
    power = np.array([np.mean(np.square(windows[start], dtype=np.float64)) for start in starts])
    loudest = float(power.max())
    if loudest <= 10.0 ** (ABSOLUTE_SILENCE_DB / 10.0):
        raise QsepError(f"{which} is silent: give a few seconds in which the instrument plays")
    # Against the loudest of the same query, so that one quiet recording among several still counts.
    kept: NDArray[np.int64] = starts[power >= loudest * 10.0 ** (SILENT_DB / 10.0)]
    return kept


def _checked_mu(mu: NDArray[np.float32], count: int, which: str) -> NDArray[np.float64]:
    wide = np.asarray(mu, dtype=np.float64)
    if wide.shape != (count, LATENT_SIZE):
        raise QsepError(
            f"the Query-net gave shape {wide.shape} for {which}, must be ({count}, {LATENT_SIZE}): "
            f"choose a model with {LATENT_SIZE} latent dimensions"
        )
    if not np.isfinite(wide).all():
        raise QsepError(f"the Query-net gave NaN or infinity for {which}: the model is damaged or the sound too loud")
    return wide

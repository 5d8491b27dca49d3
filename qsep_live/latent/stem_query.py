"""Sound to weights of stems: separate the query, and take each stem's share of the energy.

Threading: any thread that may wait for the network.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from qsep_live.errors import QsepError
from qsep_live.latent.query import ABSOLUTE_SILENCE_DB
from qsep_live.latent.stem_weights import weights_of_energy
from qsep_live.models.spec import StemSeparator


def query_weights(separator: StemSeparator, queries: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """The weights of a model's stems for sound that resembles what is wanted.

    Parameters
    ----------
    separator : StemSeparator
        Its longest window is used.
    queries : sequence of (channels, samples) float32
        At the separator's rate, with as many channels as it takes. Energies add up over all of them, so a long or loud
        query weighs more.

    Returns
    -------
    (stems,) float32
        The square roots of the stems' shares of the energy, of length 1.

    Raises
    ------
    QsepError
        No query, or one that is empty, silent, or holds NaN or infinity; or the separator gives what is no stems, or
        silence.
    """
    if not queries:
        raise QsepError("there is no query to separate: give at least one sound")
    spec = separator.spec
    separator.warm_up(spec.windows[0])
    energies = np.zeros(len(spec.stems))
    for number, query in enumerate(queries, start=1):
        which = "the query" if len(queries) == 1 else f"query {number} of {len(queries)}"
        energies += _energies(separator, _checked(query, spec.channels, which), which)
    if not energies.any():
        raise QsepError(f"{spec.name} gives silence for all of it: give sound in which the instrument plays")
    return weights_of_energy(energies)


def _checked(query: NDArray[np.float32], channels: int, which: str) -> NDArray[np.float32]:
    sound = np.asarray(query, dtype=np.float32)
    if sound.ndim != 2 or sound.shape[0] != channels:
        raise ValueError(f"{which} has shape {sound.shape}, must have ({channels}, samples)")
    if sound.shape[1] == 0:
        raise QsepError(f"{which} is empty: give a few seconds of sound")
    if not np.isfinite(sound).all():
        raise QsepError(f"{which} holds NaN or infinite samples: export the sound again")
    if float(np.mean(np.square(sound, dtype=np.float64))) <= 10.0 ** (ABSOLUTE_SILENCE_DB / 10.0):
        raise QsepError(f"{which} is silent: give a few seconds in which the instrument plays")
    return sound


def _energies(separator: StemSeparator, sound: NDArray[np.float32], which: str) -> NDArray[np.float64]:
    """Energy of each stem, window after window: edges of windows hardly change a sum over all of them."""
    spec, window = separator.spec, separator.spec.windows[0]
    energies = np.zeros(len(spec.stems))
    for start in range(0, sound.shape[1], window):
        piece = sound[:, start : start + window]
        kept = piece.shape[1]
        stems = separator(np.ascontiguousarray(np.pad(piece, ((0, 0), (0, window - kept)))))
        if stems.shape != (len(spec.stems), spec.channels, window) or not np.isfinite(stems).all():
            raise QsepError(f"{spec.name} gave no stems for {which}: the model is damaged or the sound too loud")
        energies += np.sum(np.square(stems[:, :, :kept], dtype=np.float64), axis=(1, 2))
    return energies

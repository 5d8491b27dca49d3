"""How well the next frame is predicted, against what needs no network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import NamedTuple

import numpy as np
import torch

from qsep_live.compose.mel import BANDS, Array
from qsep_live.compose.mel_net import MelNet, log_likelihood
from qsep_live.compose.mel_pieces import Piece

NARROWEST = 1.0
"""dB: the least standard deviation that a band is taken to have, so that a silent band is no division by zero."""


class ClipBands(NamedTuple):
    """Mean and standard deviation of each band of a clip in dB, each (BANDS,)."""

    mean: Array
    deviation: Array


def bands_of(db: Array) -> ClipBands:
    """Of a spectrogram (frames, BANDS) in dB."""
    return ClipBands(db.mean(axis=0), np.maximum(db.std(axis=0), np.float32(NARROWEST)))


def normalised(db: Array) -> Array:
    """A clip as the network sees it: deviations from its bands' means in their standard deviations."""
    mean, deviation = bands_of(db)
    return (db - mean) / deviation


@dataclass(frozen=True)
class MelScores:
    """Over all frames that have one before them; mean square errors in dB².

    Attributes
    ----------
    network
        Of the expected frame.
    last
        Of the frame before.
    linear
        Of the frame before with each band's AR(1) coefficient, towards the clip's mean.
    mean
        Of the mean frame of the clip itself.
    loss
        Negative log-likelihood in nats a band: lower is better.
    frames
        How many.
    """

    network: float
    last: float
    linear: float
    mean: float
    loss: float
    frames: int

    def as_dict(self) -> dict[str, float]:
        return asdict(self)

    def told(self) -> str:
        return (
            f"MSE {self.network:.2f} dB² (the last frame {self.last:.2f}, linear {self.linear:.2f}, the mean frame"
            f" {self.mean:.2f}), {self.loss:.3f} nats a band"
        )


@torch.no_grad()
def score(net: MelNet, pieces: Sequence[Piece]) -> MelScores:
    """Predict every frame of ``pieces`` from those before it; the network is in inference mode."""
    sums, count = np.zeros(5), 0
    for piece in pieces:
        if len(piece.db) < 2:
            continue
        deviation = torch.from_numpy(bands_of(piece.db).deviation)
        clip = torch.from_numpy(normalised(piece.db)).unsqueeze(0)
        frames, following = clip[:, :-1], clip[:, 1:]
        mixture, _ = net(frames, net.start(1))
        guesses = (net.expected(frames, mixture), frames, net.kept * frames, torch.zeros_like(frames))
        squares = [float((((guess - following) * deviation) ** 2).sum()) / BANDS for guess in guesses]
        nats = -float(log_likelihood(mixture, net.innovation(frames, following)).sum()) / BANDS
        sums += [*squares, nats]
        count += frames.shape[1]
    network, last, linear, mean, loss = (float(each) / max(count, 1) for each in sums)
    return MelScores(network, last, linear, mean, loss, count)

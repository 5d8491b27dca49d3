"""How well a MusicVAE gives melodies back that it has not learned from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import torch

from qsep_live.compose.melody import BAR, FIRST_NOTE
from qsep_live.compose.songs import Song, Tokens
from qsep_live.compose.vae import MusicVae, kl

_BATCH = 64


@dataclass(frozen=True)
class Scores:
    """Over the windows of some songs that share no bar, each encoded to its mean latent.

    Attributes
    ----------
    teacher_forced
        Share of tokens that are right, each after the right ones before it in its bar.
    free_running
        Share of tokens that are right, each after those the decoder wrote itself.
    notes
        F1 of the free-running note-ons: right in step and in pitch.
    most_frequent
        Share of tokens right for who always says the commonest one.
    kl
        Nats a window.
    """

    teacher_forced: float
    free_running: float
    notes: float
    most_frequent: float
    kl: float
    songs: int
    windows: int

    def as_dict(self) -> dict[str, float]:
        return asdict(self)

    def told(self) -> str:
        return (
            f"tokens right: teacher-forced {self.teacher_forced:.1%}, free-running {self.free_running:.1%}"
            f" (always the commonest: {self.most_frequent:.1%}); notes F1 {self.notes:.1%}; KL {self.kl:.0f} nats;"
            f" {self.windows} windows of {self.songs} songs"
        )


@torch.no_grad()
def score(vae: MusicVae, songs: Sequence[Song]) -> Scores:
    """Reconstruct ``songs``; the network is in inference mode."""
    true = np.concatenate([song.apart() for song in songs])
    forced, free, nats = [], [], []
    for first in range(0, len(true), _BATCH):
        tokens = torch.from_numpy(true[first : first + _BATCH])
        mean, log_variance = vae.encode(tokens)
        nats.append(kl(mean, log_variance).numpy())
        forced.append(vae.decode(mean, tokens).argmax(dim=2).numpy())
        free.append(vae.generate(mean).numpy())
    written = np.concatenate(free)
    return Scores(
        float(np.mean(np.concatenate(forced) == true)),
        float(np.mean(written == true)),
        note_f1(written, true),
        float(np.bincount(true.ravel()).max() / true.size),
        float(np.mean(np.concatenate(nats))),
        len(songs),
        len(true),
    )


@torch.no_grad()
def bar_accuracy(vae: MusicVae, songs: Sequence[Song]) -> float:
    """Share of tokens right, free-running, where each bar of ``songs`` is written from its own code."""
    bars = torch.from_numpy(np.concatenate([song.apart() for song in songs]).reshape(-1, BAR))
    return float((vae.generate_bars(vae.codes(bars)) == bars).float().mean())


def note_f1(written: Tokens, true: Tokens) -> float:
    """2·hits / (notes written + true notes), a hit being right in step and pitch; 1 where there are no notes."""
    hits = int(np.sum((written == true) & (true >= FIRST_NOTE)))
    notes = int(np.sum(written >= FIRST_NOTE) + np.sum(true >= FIRST_NOTE))
    return 2.0 * hits / notes if notes else 1.0

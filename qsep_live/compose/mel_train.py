"""Training of the spectrogram generator: the next frame from all before it, as it is generated.

Lanes run through whole pieces, 256 frames a step, and hand their LSTM state on from step to step: what the network
is trained on is the loop that it later runs in.

Threading: one thread makes every call.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from qsep_live.compose.mel import BANDS
from qsep_live.compose.mel_net import MelConfig, MelNet, log_likelihood
from qsep_live.compose.mel_net_file import save_mel_net
from qsep_live.compose.mel_pieces import Piece
from qsep_live.compose.mel_scores import MelScores, normalised, score
from qsep_live.errors import QsepError, UsageError


@dataclass(frozen=True)
class MelTraining:
    """How the generator is trained; Adam, its rate and the validation split are the document's.

    Attributes
    ----------
    batch
        Lanes.
    span
        Frames a step; the gradient goes back as far.
    dropout
        After each LSTM layer and convolution. The document has 0.3, with which one run of 164 steps came to a
        validation error of 23.4 dB², and one of 160 with 0.1 to 23.0.
    noise
        Standard deviation of the noise on the frames that the network sees, drawn up to this for each lane: what it
        wrote itself is never quite music.
    squares
        Weight of the mean square error of the expected frame beside the negative log-likelihood a band.
    clip
        Largest norm of the gradient.
    """

    batch: int = 16
    span: int = 256
    learning_rate: float = 1e-3
    floor: float = 0.02
    dropout: float = 0.1
    noise: float = 0.2
    squares: float = 1.0
    clip: float = 1.0
    validation: float = 0.2
    seed: int = 0

    def rate(self, share: float) -> float:
        """Learning rate: half a cosine over the budget."""
        return self.learning_rate * (self.floor + (1.0 - self.floor) * 0.5 * (1.0 + math.cos(math.pi * share)))


class Reporter(Protocol):
    """What `MelTrainer` tells of itself."""

    def line(self, text: str) -> None: ...

    def advance(self, share: float, text: str) -> None: ...


class MelTrainer:
    """Trains a `MelNet`; the network that validates best so far is always in the file.

    Parameters
    ----------
    pieces
        As prepared; augmented copies are never validated on, nor learned from where their song is validated on.
    path
        The file.
    every
        Seconds between two validations.

    Raises
    ------
    UsageError
        There are fewer than two songs.
    """

    def __init__(
        self, config: MelConfig, training: MelTraining, pieces: Sequence[Piece], path: Path, reporter: Reporter,
        every: float = 60.0,
    ) -> None:  # fmt: skip
        self.training, self.path, self._reporter, self._every = training, path, reporter, every
        learned, validated = split_songs(pieces, training.validation, training.seed)
        self.learned, self.validated = learned, validated
        torch.manual_seed(training.seed)
        self.net = MelNet(config)
        fit_buffers(self.net, [piece for piece in learned if not piece.copy])
        self.net.dropout.p = training.dropout
        self._optimiser = torch.optim.Adam(self.net.parameters(), training.learning_rate)
        self._lanes = Lanes(learned, training, training.seed)
        self._state = self.net.start(training.batch)
        self.step = 0
        self.best: MelScores | None = None

    def train(
        self, seconds: float = math.inf, steps: float = math.inf, wish: Callable[[], bool] = lambda: False
    ) -> MelScores:
        """Train until ``seconds`` or ``steps`` are used, or ``wish``; the scores of what is in the file.

        Raises
        ------
        QsepError
            The loss is no finite number, or the file cannot be written.
        """
        began, spent, due, losses = time.monotonic(), 0.0, self._every, []
        while (share := max(spent / seconds, self.step / steps)) < 1.0 and not wish():
            losses.append(self._train_step(share))
            spent = time.monotonic() - began
            self._reporter.advance(share, f"step {self.step}: loss {losses[-1]:.3f}")
            if spent >= due:
                self._validate(losses, spent)
                losses, spent = [], time.monotonic() - began
                due = spent + self._every
        if losses or self.best is None:
            self._validate(losses, spent)
        assert self.best is not None
        return self.best

    def _train_step(self, share: float) -> float:
        training, net = self.training, self.net
        for group in self._optimiser.param_groups:
            group["lr"] = training.rate(min(1.0, share))
        net.train()
        frames, following, valid, fresh = self._lanes.step()
        state = tuple(_forget(part, fresh) for part in self._state)
        amounts = training.noise * torch.rand(len(frames), 1, 1)
        mixture, state = net(frames + amounts * torch.randn_like(frames), state)
        self._state = tuple(part.detach() for part in state)
        likelihood = log_likelihood(mixture, net.innovation(frames, following))
        squares = (net.expected(frames, mixture) - following).square().mean(dim=2)
        loss = (valid * (training.squares * squares - likelihood / BANDS)).sum() / valid.sum()
        self._optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        norm = float(torch.nn.utils.clip_grad_norm_(net.parameters(), training.clip))
        if not math.isfinite(norm):
            raise QsepError(f"step {self.step + 1}: the gradient is not finite; try a lower learning_rate")
        self._optimiser.step()
        self.step += 1
        return float(loss.detach())

    def _validate(self, losses: list[float], spent: float) -> None:
        self.net.eval()
        scores = score(self.net, self.validated)
        better = self.best is None or scores.loss < self.best.loss
        if better:
            self.best = scores
            save_mel_net(self.net, self.path, self._card(scores, spent), torch.float16)
        mean = sum(losses) / len(losses) if losses else math.nan
        self._reporter.line(
            f"step {self.step}, {spent / 60:.1f} min: loss {mean:.3f}; validation {scores.told()}"
            f"{', the best so far' if better else ''}"
        )

    def _card(self, scores: MelScores, spent: float) -> dict[str, Any]:
        return {
            "what": "next-frame distribution of mel-spectrograms, 2048-point FFT, hop 512, 128 bands, 22,050 Hz",
            "steps": self.step,
            "minutes": round(spent / 60.0, 1),
            "training": asdict(self.training),
            "songs": {"train": _songs(self.learned), "validation": _songs(self.validated)},
            "pieces": {"train": len(self.learned), "validation": len(self.validated)},
            "validation": scores.as_dict(),
        }


class Lanes:
    """Runs through the pieces in ever new orders, ``batch`` of them at once."""

    def __init__(self, pieces: Sequence[Piece], training: MelTraining, seed: int) -> None:
        self._pieces = [torch.from_numpy(normalised(piece.db)) for piece in pieces]
        self._span, self._random = training.span, np.random.default_rng(seed)
        self._order: list[int] = []
        self._at = [(torch.empty(0, BANDS), 0) for _ in range(training.batch)]

    def step(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Frames and those that follow them, (batch, span, BANDS); where they are valid, (batch, span); and which lanes
        begin a new piece, (batch,)."""
        batch, span = len(self._at), self._span
        frames, following = torch.zeros(batch, span, BANDS), torch.zeros(batch, span, BANDS)
        valid, fresh = torch.zeros(batch, span), torch.zeros(batch)
        for lane, (piece, start) in enumerate(self._at):
            if start + 1 >= len(piece):
                piece, start = self._next(), 0
                fresh[lane] = 1.0
            part = piece[start : start + span + 1]
            frames[lane, : len(part) - 1], following[lane, : len(part) - 1] = part[:-1], part[1:]
            valid[lane, : len(part) - 1] = 1.0
            self._at[lane] = (piece, start + span)
        return frames, following, valid, fresh

    def _next(self) -> Tensor:
        """A piece, from a place in its first span on."""
        if not self._order:
            self._order = list(self._random.permutation(len(self._pieces)))
        piece = self._pieces[self._order.pop()]
        return piece[int(self._random.integers(0, max(1, min(self._span, len(piece) // 2)))) :]


def split_songs(pieces: Sequence[Piece], share: float, seed: int) -> tuple[list[Piece], list[Piece]]:
    """Pieces to learn from, and those (no copies) to validate on: whole songs, until ``share`` of the music is reached.

    Raises
    ------
    UsageError
        There are fewer than two songs.
    """
    frames: dict[str, int] = {}
    for piece in pieces:
        frames[piece.song] = frames.get(piece.song, 0) + (0 if piece.copy else len(piece.db))
    songs = sorted(frames)
    if len(songs) < 2:
        raise UsageError(f"there is {len(songs)} song; to learn from one and validate on another, give two or more")
    chosen: set[str] = set()
    for song in np.random.default_rng(seed).permutation(songs)[:-1]:
        chosen.add(str(song))
        if sum(frames[each] for each in chosen) >= share * sum(frames.values()):
            break
    learned = [piece for piece in pieces if piece.song not in chosen]
    return learned, [piece for piece in pieces if piece.song in chosen and not piece.copy]


def fit_buffers(net: MelNet, pieces: Sequence[Piece]) -> None:
    """Measure what of each band stays from frame to frame (the AR(1) coefficient), the directions and sizes of the rest
    (principal components), and the bands and loudness of the average clip."""
    frames = [normalised(piece.db) for piece in pieces if len(piece.db) > 1]
    before = np.concatenate([each[:-1] for each in frames]).astype(np.float64)
    after = np.concatenate([each[1:] for each in frames]).astype(np.float64)
    kept = np.clip((before * after).sum(0) / np.maximum((before**2).sum(0), 1e-9), 0.0, 0.98)
    rest = after - kept * before
    values, vectors = np.linalg.eigh(rest.T @ rest / len(rest))
    scale = np.sqrt(np.maximum(values, 1e-4 * max(values.max(), 1e-9)))
    means = np.mean([piece.db.mean(0) for piece in pieces], axis=0)
    deviations = np.mean([piece.db.std(0) for piece in pieces], axis=0)
    loudest = np.mean([10.0 * np.log10(piece.loudest) for piece in pieces])
    measured = {"kept": kept, "basis": vectors, "scale": scale, "clip_mean": means, "clip_deviation": deviations}
    for name, value in measured.items():
        getattr(net, name).copy_(torch.from_numpy(np.ascontiguousarray(value, np.float32)))
    net.clip_loudest.fill_(float(loudest))


def _forget(part: Tensor, fresh: Tensor) -> Tensor:
    """``part`` of a state, (1, batch, …) or (batch, …), zero in the lanes that are ``fresh``."""
    shape = (1, -1, 1) if part.shape[0] == 1 and part.shape[1] == len(fresh) else (-1, 1, 1)
    return part * (1.0 - fresh).view(shape)


def _songs(pieces: Sequence[Piece]) -> int:
    return len({piece.song for piece in pieces})

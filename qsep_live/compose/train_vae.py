"""Training of the MusicVAE: steps until the budget is used, a validation now and then, and a state to go on from.

Threading: one thread makes every call.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn import functional

from qsep_live.compose.melody import BAR, BARS, STEPS
from qsep_live.compose.songs import Song, Split, Windows, split_songs
from qsep_live.compose.vae import MusicVae, VaeConfig, draw, kl
from qsep_live.compose.vae_file import load_vae, save_vae
from qsep_live.compose.vae_run import Progress, Row, VaeRun
from qsep_live.compose.vae_scores import Scores, bar_accuracy, score
from qsep_live.errors import QsepError

_ENCODED, _PART = 4096, 256
"""Melodies that the principal components are those of, and how many at a time."""


@dataclass(frozen=True)
class VaeTraining:
    """How the MusicVAE is trained: first the two LSTMs of single bars, then all of it.

    Attributes
    ----------
    batch
        Melodies; in the first part, sixteen times as many bars.
    bars
        Share of the budget for single bars: what a bar sounds like is learned 16 steps at a time, and not through a
        latent that does not mean anything yet.
    noise
        Standard deviation of what is added to the codes of single bars: near codes get to mean near bars.
    learning_rate, whole_rate
        Highest one, of the first part and of the second.
    beta
        Weight of the KL divergence once `anneal` of the second part is over; it rises from 0 (Roberts et al. 2018,
        §4.1, 0.2 for 16 bars: below 1, reconstruction counts more than samples from the prior, which the actor mends).
    free_bits
        Bits of a window's KL that cost nothing (Kingma et al. 2016, "Improved Variational Inference with Inverse
        Autoregressive Flow", appendix C.8).
    keep
        Share of its own past that the decoder is shown in training, see `MusicVae.decode`.
    clip
        Largest norm of the gradient.
    precision
        ``"bf16"`` is autocast, weights stay fp32: twice as fast on CPUs that have it.
    """

    batch: int = 16
    bars: float = 0.6
    noise: float = 0.1
    learning_rate: float = 2e-3
    whole_rate: float = 3e-4
    warmup: int = 50
    floor: float = 0.02
    beta: float = 0.2
    anneal: float = 0.2
    free_bits: float = 256.0
    keep: float = 0.6
    clip: float = 1.0
    precision: str = "fp32"
    seed: int = 0

    def rate(self, highest: float, step: int, share: float) -> float:
        """Learning rate: a linear rise, and half a cosine over ``share``, which goes from 0 to 1."""
        fall = self.floor + (1.0 - self.floor) * 0.5 * (1.0 + math.cos(math.pi * min(1.0, share)))
        return highest * min(1.0, (step + 1) / self.warmup) * fall


@dataclass(frozen=True)
class Budget:
    """Steps, or seconds of training; whichever ends first."""

    steps: float = math.inf
    seconds: float = math.inf

    def share(self, progress: Progress) -> float:
        """What is used, 0 to 1."""
        return min(1.0, max(progress.step / self.steps, progress.seconds / self.seconds))


class Reporter(Protocol):
    """Takes lines, and how far the run is."""

    def line(self, text: str) -> None: ...

    def advance(self, share: float, text: str) -> None: ...


class VaeTrainer:
    """Trains a MusicVAE on ``songs``; a state in the folder is resumed from.

    Parameters
    ----------
    run
        Already claimed.
    every
        Seconds of training between two validations.

    Raises
    ------
    UsageError
        There are too few songs.
    QsepError
        The state in the folder cannot be used.
    """

    def __init__(
        self, config: VaeConfig, training: VaeTraining, songs: list[Song], run: VaeRun, reporter: Reporter,
        every: float = 180.0,
    ) -> None:  # fmt: skip
        self.training, self.run, self._reporter, self._every = training, run, reporter, every
        self.split: Split = split_songs(songs)
        torch.manual_seed(training.seed)
        self.vae = MusicVae(config)
        self._optimiser = torch.optim.AdamW(self.vae.parameters(), training.learning_rate, weight_decay=1e-3)
        self._batches = Windows(self.split.train, training.seed)
        self.progress, self._rows = run.resume(self.vae, self._optimiser)

    def train(self, budget: Budget, wish: Callable[[], bool] = lambda: False) -> Scores | None:
        """Train until ``budget`` is used, and then report on the held-out songs; None where ``wish`` ended it before.

        Raises
        ------
        QsepError
            The loss is no finite number, or a file cannot be written; the state saved last is kept.
        """
        # The gradient of 256 steps dies away into denormal numbers, on which a CPU is ten times slower.
        torch.set_flush_denormal(True)
        try:
            return self._train(budget, wish)
        finally:
            torch.set_flush_denormal(False)

    def _train(self, budget: Budget, wish: Callable[[], bool]) -> Scores | None:
        progress = self.progress
        due, recent, began = progress.seconds + self._every, [], (progress.step, progress.seconds)
        while (share := budget.share(progress)) < 1.0 and not wish():
            start = time.monotonic()
            recent.append(self._step(share))
            progress.seconds += time.monotonic() - start
            self._reporter.advance(share, f"step {progress.step}: loss {sum(recent[-1].values()):.1f}")
            if progress.seconds >= due:
                self._validate(recent, began)
                due, recent, began = progress.seconds + self._every, [], (progress.step, progress.seconds)
        if budget.share(progress) >= 1.0:
            self._begin_whole()  # a budget may be too small for the second part
        if recent:
            self._validate(recent, began)
        return self._finish() if budget.share(progress) >= 1.0 else None

    def _step(self, share: float) -> dict[str, float]:
        training, progress = self.training, self.progress
        torch.manual_seed(training.seed * 1_000_003 + progress.step)  # what is drawn depends on the step alone
        self.vae.train()
        with torch.autocast("cpu", torch.bfloat16, enabled=training.precision == "bf16"):
            if share < training.bars:
                rate = training.rate(training.learning_rate, progress.step, share / training.bars)
                losses = self._bar_losses()
            else:
                self._begin_whole()
                share = (share - training.bars) / (1.0 - training.bars)
                rate = training.rate(training.whole_rate, progress.step - progress.bar_steps, share)
                losses = self._whole_losses(training.beta * min(1.0, share / training.anneal))
        for group in self._optimiser.param_groups:
            group["lr"] = rate
        self._optimiser.zero_grad(set_to_none=True)
        sum(losses.values(), torch.zeros(())).backward()  # type: ignore[no-untyped-call]
        norm = float(torch.nn.utils.clip_grad_norm_(self.vae.parameters(), training.clip))
        if not math.isfinite(norm):
            raise QsepError(
                f"step {progress.step + 1}: the gradient is not finite; the state saved last is kept, try a lower --lr"
            )
        self._optimiser.step()
        progress.step += 1
        progress.bar_steps += not progress.whole
        return {key: float(loss.detach()) for key, loss in losses.items()}

    def _bar_losses(self) -> dict[str, Tensor]:
        bars = torch.from_numpy(self._batches.bars(self.progress.step, BARS * self.training.batch))
        codes = self.vae.codes(bars)
        codes = codes + self.training.noise * torch.randn_like(codes)
        return {"bars": STEPS * _entropy(self.vae.decode_bars(codes, bars, self.training.keep), bars)}

    def _whole_losses(self, beta: float) -> dict[str, Tensor]:
        training = self.training
        tokens = torch.from_numpy(self._batches.batch(self.progress.step, training.batch))
        reconstruction, divergence = vae_losses(self.vae, tokens, training.keep)
        paid = torch.relu(divergence - training.free_bits * math.log(2.0)).mean()
        return {"reconstruction": reconstruction, "paid_kl": beta * paid}

    @torch.no_grad()
    def _begin_whole(self) -> None:
        """Once: where melodies are learned from on."""
        if self.progress.whole:
            return
        self.vae.eval()
        drawn = Windows(self.split.train, self.training.seed + 1)
        melodies = [drawn.batch(part, _PART).reshape(-1, BAR) for part in range(_ENCODED // _PART)]
        codes = torch.cat([self.vae.codes(torch.from_numpy(bars)) for bars in melodies])
        self.vae.start_linear(codes.reshape(-1, BARS, self.vae.config.bar), self.training.noise)
        self.vae.train()
        self.progress.whole = True

    def _validate(self, recent: list[dict[str, float]], began: tuple[int, float]) -> None:
        progress = self.progress
        self.vae.eval()
        alike = [each for each in recent if each.keys() == recent[-1].keys()]  # not across the two parts
        scores = score(self.vae, self.split.validation) if progress.whole else None
        heard = {"bars": bar_accuracy(self.vae, self.split.validation), **(scores.as_dict() if scores else {})}
        row: Row = {
            "step": progress.step,
            "minutes": round(progress.seconds / 60.0, 3),
            "steps_per_second": round((progress.step - began[0]) / max(1e-9, progress.seconds - began[1]), 3),
            **{key: round(sum(each[key] for each in alike) / len(alike), 3) for key in alike[0]},
            **{f"validation_{key}": round(value, 4) for key, value in heard.items()},
        }
        self._rows.append(row)
        better = scores is not None and scores.free_running > progress.best
        if scores is not None and better:
            progress.best = scores.free_running
            save_vae(self.vae, self.run.best, self._card(scores), torch.float32)
        self.run.save(self.vae, self._optimiser, progress, self._rows)
        nats = row[next(iter(alike[-1]))]
        told = f"; {scores.told()}" if scores else ""
        self._reporter.line(
            f"step {progress.step}, {progress.seconds / 60:.1f} min, {row['steps_per_second']:.2f} steps a second:"
            f" {nats:.1f} nats a melody; validation: single bars {heard['bars']:.1%}{told}"
            f"{', the best so far' if better else ''}"
        )

    def _finish(self) -> Scores:
        best = load_vae(self.run.best)
        # What is scored is what is stored, float16.
        held_out = score(best.vae.half().float(), self.split.held_out)
        save_vae(best.vae, self.run.model, {**best.card, "held_out": held_out.as_dict()})
        return held_out

    def _card(self, validation: Scores) -> dict[str, Any]:
        split, progress = self.split, self.progress
        return {
            "what": "hierarchical MusicVAE of 16-bar melodies (Roberts et al. 2018)",
            "steps": progress.step,
            "minutes": round(progress.seconds / 60.0, 1),
            "training": asdict(self.training),
            "songs": {"train": len(split.train), "validation": len(split.validation), "held_out": len(split.held_out)},
            "validation": validation.as_dict(),
        }


def vae_losses(vae: MusicVae, tokens: Tensor, keep: float) -> tuple[Tensor, Tensor]:
    """Cross-entropy in nats a window (mean over the batch), and the KL of each window."""
    mean, log_variance = vae.encode(tokens)
    latent = draw(mean, log_variance, torch.randn_like(mean))
    logits = vae.decode(latent, tokens, keep)
    return STEPS * _entropy(logits, tokens), kl(mean, log_variance)


def _entropy(logits: Tensor, tokens: Tensor) -> Tensor:
    return functional.cross_entropy(logits.flatten(0, 1).float(), tokens.flatten())

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

from qsep_live.compose.melody import STEPS
from qsep_live.compose.songs import Song, Split, Windows, split_songs
from qsep_live.compose.vae import MusicVae, VaeConfig, draw, kl
from qsep_live.compose.vae_file import load_vae, save_vae
from qsep_live.compose.vae_run import Progress, Row, VaeRun
from qsep_live.compose.vae_scores import Scores, score
from qsep_live.errors import QsepError


@dataclass(frozen=True)
class VaeTraining:
    """How the MusicVAE is trained.

    Attributes
    ----------
    beta
        Weight of the KL divergence once `anneal` of the budget is used; it rises from 0 (Roberts et al. 2018, §4.1,
        0.2 for 16 bars: below 1, reconstruction is worth more than samples from the prior, which the actor mends).
    free_bits
        Bits of a window's KL that cost nothing (Kingma et al. 2016, "Improved Variational Inference with Inverse
        Autoregressive Flow", appendix C.8).
    keep
        Share of its own past that the decoder is shown in training, see `MusicVae.decode`.
    clip
        Largest norm of the gradient.
    """

    batch: int = 64
    learning_rate: float = 2e-3
    warmup: int = 100
    floor: float = 0.02
    beta: float = 0.2
    anneal: float = 0.2
    free_bits: float = 96.0
    keep: float = 0.75
    clip: float = 1.0
    seed: int = 0

    def rate(self, step: int, share: float) -> float:
        """Learning rate: a linear rise, and half a cosine over the budget."""
        fall = self.floor + (1.0 - self.floor) * 0.5 * (1.0 + math.cos(math.pi * min(1.0, share)))
        return self.learning_rate * min(1.0, (step + 1) / self.warmup) * fall


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
        if recent:
            self._validate(recent, began)
        return self._finish() if budget.share(progress) >= 1.0 else None

    def _step(self, share: float) -> dict[str, float]:
        training, progress = self.training, self.progress
        torch.manual_seed(training.seed * 1_000_003 + progress.step)  # what is drawn depends on the step alone
        for group in self._optimiser.param_groups:
            group["lr"] = training.rate(progress.step, share)
        self.vae.train()
        tokens = torch.from_numpy(self._batches.batch(progress.step, training.batch))
        reconstruction, divergence = vae_losses(self.vae, tokens, training.keep)
        beta = training.beta * min(1.0, share / training.anneal)
        paid = beta * torch.relu(divergence - training.free_bits * math.log(2.0)).mean()
        self._optimiser.zero_grad(set_to_none=True)
        (reconstruction + paid).backward()  # type: ignore[no-untyped-call]
        norm = float(torch.nn.utils.clip_grad_norm_(self.vae.parameters(), training.clip))
        if not math.isfinite(norm):
            raise QsepError(
                f"step {progress.step + 1}: the gradient is not finite; the state saved last is kept, try a lower --lr"
            )
        self._optimiser.step()
        progress.step += 1
        return {"reconstruction": float(reconstruction.detach()), "paid_kl": float(paid.detach())}

    def _validate(self, recent: list[dict[str, float]], began: tuple[int, float]) -> None:
        progress = self.progress
        self.vae.eval()
        scores = score(self.vae, self.split.validation)
        row: Row = {
            "step": progress.step,
            "minutes": round(progress.seconds / 60.0, 3),
            "steps_per_second": round((progress.step - began[0]) / max(1e-9, progress.seconds - began[1]), 3),
            **{key: round(sum(each[key] for each in recent) / len(recent), 3) for key in recent[0]},
            **{f"validation_{key}": round(value, 4) for key, value in scores.as_dict().items()},
        }
        self._rows.append(row)
        better = scores.free_running > progress.best
        if better:
            progress.best = scores.free_running
            save_vae(self.vae, self.run.best, self._card(scores), torch.float32)
        self.run.save(self.vae, self._optimiser, progress, self._rows)
        self._reporter.line(
            f"step {progress.step}, {progress.seconds / 60:.1f} min, {row['steps_per_second']:.2f} steps a second:"
            f" reconstruction {row['reconstruction']:.1f} nats a window; validation {scores.told()}"
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
    entropy = functional.cross_entropy(logits.flatten(0, 1), tokens.flatten(), reduction="mean")
    return STEPS * entropy, kl(mean, log_variance)

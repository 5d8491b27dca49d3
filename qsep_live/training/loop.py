"""The training loop: steps until the budget is used, a log and a validation now and then, and a state to go on from.

Threading: one thread makes every call. Batches are mixed in processes of their own (`batches`).
"""

from __future__ import annotations

import copy
import math
import statistics
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import closing
from dataclasses import dataclass, field, fields, replace
from enum import IntEnum
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from qsep_live.errors import QsepError
from qsep_live.nets.model import Model, save_model
from qsep_live.training.batches import Draw, Drawn, Mixes, batches
from qsep_live.training.checkpoint import Progress, load_state, put_state, save_state, take_state
from qsep_live.training.distributed import ALONE, Ranks
from qsep_live.training.figures import draw_figures
from qsep_live.training.losses import LossConfig, Losses, objective
from qsep_live.training.optimiser import OptimiserConfig, follow, weights
from qsep_live.training.reporter import Reporter
from qsep_live.training.run_folder import Row, RunFolder
from qsep_live.training.schedule import Budget, Due, Every, ScheduleConfig

PRECISIONS = ("fp32", "bf16")


class Ending(IntEnum):
    """Why training stopped. All but the first can be resumed."""

    DONE = 1
    """The budget is used."""
    STRETCH = 2
    """This stretch of the run is over."""
    INTERRUPTED = 3
    """Somebody asked it to stop."""


@dataclass(frozen=True)
class LoopConfig:
    """One run. ``batch`` is the whole batch, over all ranks."""

    budget: Budget
    batch: int = 8
    learning_rate: float = 1e-3
    losses: LossConfig = field(default_factory=LossConfig)
    optimiser: OptimiserConfig = field(default_factory=OptimiserConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    seed: int = 0
    log_every: Every = field(default_factory=lambda: Every(seconds=60.0))
    save_every: Every = field(default_factory=lambda: Every(seconds=300.0))
    validate_every: Every = field(default_factory=lambda: Every(seconds=600.0))
    precision: str = "fp32"
    compile: bool = False
    workers: int = 1


@dataclass(frozen=True)
class Scores:
    """What a validation found: SDR per class in dB, the latents it used, and the segments behind each of them."""

    sdr: dict[str, float]
    latents: dict[str, NDArray[np.float32]]
    segments: int

    @property
    def mean(self) -> float:
        """Over the classes that were heard, dB."""
        heard = [value for value in self.sdr.values() if math.isfinite(value)]
        return statistics.fmean(heard) if heard else -math.inf


class Examiner(Protocol):
    """Judges averaged weights on validation songs."""

    def examine(self, model: Model) -> Scores: ...

    def card(self, progress: Progress, scores: Scores) -> dict[str, Any]:
        """What the best model so far says about itself."""


class Trainer:
    """Trains ``model`` in place; `averaged` is the one to keep.

    Parameters
    ----------
    model
        On the device that trains.
    mixer
        Where batches come from.
    folder
        Already claimed. A state in it is resumed from.
    examiner
        None trains without validation.
    anchors
        (classes, latent): mean latents, where the mixer names classes to be asked for by them.
    """

    def __init__(
        self,
        model: Model,
        mixer: Mixes,
        config: LoopConfig,
        folder: RunFolder,
        reporter: Reporter,
        examiner: Examiner | None = None,
        ranks: Ranks = ALONE,
        anchors: Tensor | None = None,
    ) -> None:
        config.losses.require_model(model)
        self.model, self.config, self.folder = model, config, folder
        self.averaged = copy.deepcopy(model).eval()
        self.progress = Progress()
        self.reporter, self._examiner, self.ranks = reporter, examiner, ranks
        self._weights = weights(model)
        self._device = self._weights[0].device
        self._optimiser = config.optimiser.make(model, config.learning_rate)
        first, size = ranks.part(config.batch)
        self._draw = Draw(mixer, config.seed, first, size, model.query_net.config.latent)
        self._rows: list[Row] = []
        self._resume()
        self._objective = ranks.wrap(_Objective(model, config, anchors))
        self._recent: list[Losses] = []
        self._mark = (self.progress.step, self.progress.seconds)

    def run(self, wish: Callable[[], Ending | None] = lambda: None) -> Ending:
        """Train until the budget is used, or until ``wish`` says otherwise; the state is saved either way.

        Raises
        ------
        QsepError
            A loss is no finite number, or a file cannot be written; the last state that was saved is kept.
        """
        config, progress = self.config, self.progress
        log, save, validate = (
            Due(every, progress.step, progress.seconds)
            for every in (config.log_every, config.save_every, config.validate_every)
        )
        saved = progress.step if self.folder.state.exists() else -1
        begun, validated = progress.step, -1
        with closing(self._batches()) as drawn:
            while (ending := self._ending(wish)) is None:
                start = time.monotonic()
                losses = self._one(next(drawn))
                progress.seconds += time.monotonic() - start
                if not self.ranks.first:
                    continue
                self._recent.append(losses)
                self.reporter.advance(self._share(), f"step {progress.step}")
                here = progress.step, progress.seconds
                if validate.due(*here):
                    self._validate()
                    validated = progress.step
                if validated == progress.step or log.due(*here):
                    self._log()
                    log.reset(*here)
                if validated == progress.step or save.due(*here):
                    self.save()
                    saved = progress.step
                    save.reset(*here)
                if validated == progress.step:
                    draw_figures(self._rows, self.folder.path)
        if self.ranks.first:
            if ending is Ending.DONE and progress.step not in (begun, validated):
                self._validate()
            if self._recent:
                self._log()
            if saved != progress.step:
                self.save()
            draw_figures(self._rows, self.folder.path)
        return ending

    def save(self) -> None:
        """Write everything that a later run continues from, and the log that belongs to it."""
        save_state(take_state(self.model, self.averaged, self._optimiser, self.progress), self.folder.state)
        self.folder.write_log(self._rows)

    def finished(self) -> Model:
        """A copy of the averaged weights on the CPU, to be used."""
        model = copy.deepcopy(self.averaged)
        for module in model.modules().values():
            module.cpu()
        return model.eval()

    def _resume(self) -> None:
        found = None
        if self.ranks.first and self.folder.state.exists():
            found = load_state(self.folder.state)
        found = self.ranks.share(found)
        if found is None:
            return
        try:
            put_state(found, self.model, self.averaged, self._optimiser)
        except ValueError as error:
            raise QsepError(f"{self.folder.state}: is of other networks ({error}); give another --output") from None
        self.progress = found.progress
        # What was logged after this state was saved is about to happen again.
        self._rows = [row for row in self.folder.rows() if (row["step"] or 0) <= self.progress.step]

    def _batches(self) -> Generator[Drawn]:
        yield from batches(self._draw, self.progress.step, self.config.workers, self._device.type == "cuda")

    def _ending(self, wish: Callable[[], Ending | None]) -> Ending | None:
        """What all ranks agree on; their clocks are the first one's."""
        mine = self.progress.seconds if self.ranks.first else -math.inf
        wished, self.progress.seconds = self.ranks.highest([float(wish() or 0), mine])
        if self._share() >= 1.0:
            return Ending.DONE
        return Ending(int(wished)) if wished else None

    def _share(self) -> float:
        return self.config.budget.progress(self.progress.step, self.progress.seconds)

    def _one(self, drawn: Drawn) -> Losses:
        config, step = self.config, self.progress.step
        rate = config.schedule.rate(config.learning_rate, step, self._share())
        # Whatever else the networks draw (dropout) depends on the step alone, too.
        torch.manual_seed(config.seed * 1_000_003 + step * self.ranks.size + self.ranks.rank)
        with torch.autocast(self._device.type, torch.bfloat16, enabled=config.precision == "bf16"):
            losses: Losses = self._objective(drawn.to(self._device), step)
        self._optimiser.forget()
        losses.total.backward()  # type: ignore[no-untyped-call]
        norm = torch.nn.utils.clip_grad_norm_(self._weights, config.optimiser.clip)
        if not (math.isfinite(float(norm)) and math.isfinite(float(losses.total.detach()))):
            raise QsepError(self._diverged(losses))
        self._optimiser.step(rate)
        self.progress.step += 1
        decay = min(config.optimiser.ema, (1 + self.progress.step) / (10 + self.progress.step))
        follow(self.averaged, self.model, decay)
        # Kept until they are logged: without the graph that made them.
        return replace(losses, total=losses.total.detach())

    def _diverged(self, losses: Losses) -> str:
        values = _floats(losses)
        wrong = next((name for name, value in values.items() if not math.isfinite(value)), "")
        what = f"the loss ({wrong}) is {values[wrong]}" if wrong else "the gradient is not finite"
        kept = (
            f"the state saved last is kept in {self.folder.state}" if self.folder.state.exists() else "nothing is saved"
        )
        return (
            f"step {self.progress.step + 1}: {what}; {kept}: try a lower --lr, a lower optimiser.clip, or --precision"
            " fp32"
        )

    def _validate(self) -> None:
        """Score the averaged weights, keep them if they are the best so far."""
        if self._examiner is None:
            return
        step = self.progress.step
        self.reporter.advance(self._share(), f"step {step}: validating")
        model = self.finished()
        scores = self._examiner.examine(model)
        self._rows.append({"step": step, **{f"sdr_{name}": value for name, value in scores.sdr.items()}})
        better = self.progress.best is None or scores.mean > self.progress.best
        told = ", ".join(f"{name} {value:.2f}" for name, value in scores.sdr.items())
        self.reporter.line(f"step {step}: SDR {told} dB; mean {scores.mean:.2f}{', the best so far' if better else ''}")
        if better:
            self.progress.best = scores.mean
            model.card = self._examiner.card(self.progress, scores)
            save_model(model, self.folder.best, torch.float32)

    def _log(self) -> None:
        """A row of means since the last one, told and drawn."""
        progress, (step, seconds) = self.progress, self._mark
        means = _means(self._recent)
        rate = (progress.step - step) * self.config.batch / max(1e-9, progress.seconds - seconds)
        lr = self.config.schedule.rate(self.config.learning_rate, progress.step, self._share())
        row: Row = {
            "step": progress.step,
            "minutes": round(progress.seconds / 60, 3),
            "windows_per_second": round(rate, 2),
            "learning_rate": lr,
            **means,
        }
        if self._rows and self._rows[-1]["step"] == progress.step:
            row |= self._rows.pop()
        self._rows.append(row)
        self._recent, self._mark = [], (progress.step, progress.seconds)
        told = ", ".join(f"{name} {value:.4g}" for name, value in means.items() if value is not None)
        self.reporter.line(
            f"step {progress.step}, {progress.seconds / 60:.1f} min: {told}; learning rate {lr:.3g};"
            f" {rate:.1f} windows a second"
        )
        self.folder.write_log(self._rows)


class _Objective(nn.Module):
    """Both networks and their losses as one module, which is what DDP averages gradients of."""

    def __init__(self, model: Model, config: LoopConfig, anchors: Tensor | None) -> None:
        super().__init__()
        self._losses, self._anchors = config.losses, anchors
        for name, module in model.modules().items():
            self.add_module(name, torch.compile(module) if config.compile else module)  # type: ignore[arg-type]

    def forward(self, drawn: Drawn, step: int) -> Losses:
        model = Model(*self.children())  # type: ignore[arg-type]
        return objective(model, drawn, self._losses, step, drawn.noise, self._anchors)


def _floats(losses: Losses) -> dict[str, float]:
    values = ((each.name, getattr(losses, each.name)) for each in fields(losses))
    return {name: float(value.detach()) if isinstance(value, Tensor) else float(value) for name, value in values}


def _means(recent: list[Losses]) -> Mapping[str, float | None]:
    """Means of every loss over the steps that took it; one that a step leaves out is exactly 0 there."""
    rows = [_floats(losses) for losses in recent]
    means: dict[str, float | None] = {}
    for name in rows[0]:
        taken = [row[name] for row in rows if row[name] != 0.0]
        means[name] = statistics.fmean(taken) if taken else None
    return means

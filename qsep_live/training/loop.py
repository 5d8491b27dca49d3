"""The training loop: Adam, cosine decay over a time budget, EMA weights, resumable state, a CSV of the run."""

from __future__ import annotations

import copy
import csv
import math
import queue
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor

from qsep_live.nets.model import Model
from qsep_live.nets.spectrogram import magnitude
from qsep_live.training.data import CLASSES, Bank
from qsep_live.training.losses import LossConfig, objective
from qsep_live.training.mixing import Mixer, MixingConfig
from qsep_live.training.validation import mean_latents, validate


@dataclass(frozen=True)
class LoopConfig:
    """One run. ``minutes`` is the budget that the learning rate decays over; ``until`` stops early, in minutes."""

    minutes: float
    until: float = math.inf
    batch: int = 8
    learning_rate: float = 1e-3
    betas: tuple[float, float] = (0.5, 0.999)
    clip: float = 5.0
    ema: float = 0.998
    validate_every: float = 10.0
    seed: int = 0
    compile: bool = False
    losses: LossConfig = field(default_factory=LossConfig)
    mixing: MixingConfig = field(default_factory=MixingConfig)


class Trainer:
    """Trains ``model`` in place; `averaged` is the one to keep. State lives in ``folder``."""

    def __init__(self, model: Model, banks: Sequence[Bank], valid: Bank, config: LoopConfig, folder: Path) -> None:
        self.model, self.config, self.folder = model, config, folder
        self.averaged = copy.deepcopy(model).eval()
        self._banks, self._valid = banks, valid
        self._compiled = model
        if config.compile:
            self._compiled = Model(*(torch.compile(module) for module in model.modules().values()))  # type: ignore[arg-type]
        self._parameters = [p for module in model.modules().values() for p in module.parameters()]
        self._optimiser = torch.optim.Adam(self._parameters, config.learning_rate, betas=config.betas)
        self.step, self.seconds = 0, 0.0
        folder.mkdir(parents=True, exist_ok=True)
        if self._state_path.exists():
            self._resume()

    @property
    def _state_path(self) -> Path:
        return self.folder / "state.safetensors"

    def run(self) -> None:
        """Train until the budget is used; validates, logs and saves the state every ``validate_every`` minutes."""
        config = self.config
        torch.manual_seed(config.seed + self.step)
        batches = _Batches(Mixer(self._banks, config.mixing, config.seed + self.step), config.batch)
        limit = 60.0 * min(config.minutes, config.until)
        due = self.seconds + 60.0 * config.validate_every
        recent: list[tuple[float, float, float]] = []
        while self.seconds < limit:
            start = time.monotonic()
            recent.append(self._one(batches.get()))
            self.seconds += time.monotonic() - start
            if self.seconds >= min(due, limit):
                due = self.seconds + 60.0 * config.validate_every
                self._report(recent)
                self.save()
                recent.clear()

    def _one(self, audio: tuple[NDArray[np.float32], NDArray[np.float32]]) -> tuple[float, float, float]:
        config = self.config
        progress = min(1.0, self.seconds / (60.0 * config.minutes))
        warm = min(1.0, (self.step + 1) / 100)
        rate = config.learning_rate * warm * (0.01 + 0.99 * 0.5 * (1.0 + math.cos(math.pi * progress)))
        for group in self._optimiser.param_groups:
            group["lr"] = rate
        mixture, target = (magnitude(torch.from_numpy(sound)) for sound in audio)
        losses = objective(self._compiled, mixture, target, config.losses, self.step)
        self._optimiser.zero_grad(set_to_none=True)
        losses.total.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self._parameters, config.clip)
        self._optimiser.step()
        self.step += 1
        decay = min(config.ema, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for name, module in self.averaged.modules().items():
                torch._foreach_lerp_(
                    list(module.parameters()), list(self.model.modules()[name].parameters()), 1.0 - decay
                )
        return losses.reconstruction, losses.kl, losses.latent

    def _report(self, recent: Sequence[tuple[float, float, float]]) -> None:
        latents = mean_latents(self.averaged, self._banks)
        scores = validate(self.averaged, self._valid.songs, latents)
        means = np.mean(recent, axis=0)
        latent = means[2] * self.config.losses.latent_every
        row: dict[str, float] = {
            "step": self.step,
            "minutes": round(self.seconds / 60, 2),
            "reconstruction": round(float(means[0]), 5),
            "kl": round(float(means[1]), 4),
            "latent": round(float(latent), 4),
            **{f"sdr_{name}": round(scores[name], 3) for name in CLASSES},
        }
        log = self.folder / "log.csv"
        fresh = not log.exists()
        with log.open("a", newline="") as file:
            writer = csv.DictWriter(file, row.keys())
            if fresh:
                writer.writeheader()
            writer.writerow(row)
        print(" ".join(f"{key}={value}" for key, value in row.items()), flush=True)

    def save(self) -> None:
        """Write everything that a later run continues from, atomically."""
        tensors: dict[str, Tensor] = {}
        for prefix, model in (("model", self.model), ("averaged", self.averaged)):
            for name, module in model.modules().items():
                tensors |= {f"{prefix}.{name}.{k}": v for k, v in module.state_dict().items()}
        for index, parameter in enumerate(self._parameters):
            for key, value in self._optimiser.state[parameter].items():
                tensors[f"adam.{index}.{key}"] = value
        tensors["progress"] = torch.tensor([self.step, self.seconds], dtype=torch.float64)
        partial = self._state_path.with_suffix(".part")
        save_file({k: v.detach().clone().contiguous() for k, v in tensors.items()}, partial)
        partial.replace(self._state_path)

    def _resume(self) -> None:
        tensors = load_file(self._state_path)
        for prefix, model in (("model", self.model), ("averaged", self.averaged)):
            for name, module in model.modules().items():
                head = f"{prefix}.{name}."
                module.load_state_dict({k[len(head) :]: v for k, v in tensors.items() if k.startswith(head)})
        for index, parameter in enumerate(self._parameters):
            head = f"adam.{index}."
            self._optimiser.state[parameter] = {k[len(head) :]: v for k, v in tensors.items() if k.startswith(head)}
        step, seconds = tensors["progress"].tolist()
        self.step, self.seconds = int(step), seconds


class _Batches:
    """Mixes ahead in a thread. Threading: `get` from one thread only."""

    def __init__(self, mixer: Mixer, size: int) -> None:
        self._queue: queue.Queue[tuple[NDArray[np.float32], NDArray[np.float32]]] = queue.Queue(4)
        self._mixer, self._size = mixer, size
        threading.Thread(target=self._fill, daemon=True).start()

    def _fill(self) -> None:
        while True:
            self._queue.put(self._mixer.batch(self._size))

    def get(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        return self._queue.get()

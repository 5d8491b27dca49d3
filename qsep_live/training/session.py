"""A run from its data to its model: banks, networks, training, validation, card."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext, redirect_stderr
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from qsep_live import __version__
from qsep_live.errors import QsepError, UsageError
from qsep_live.nets.growth import grow, may_grow
from qsep_live.nets.model import Model, load_model, save_model
from qsep_live.nets.patch_unet import PatchUNet
from qsep_live.training.checkpoint import Progress
from qsep_live.training.data import Bank, folder_bank, musdb_bank, slakh_bank
from qsep_live.training.distributed import ALONE, Ranks, choose_device, joined
from qsep_live.training.loop import Ending, LoopConfig, Scores, Trainer
from qsep_live.training.memory import keep_freed_memory
from qsep_live.training.mixing import Mixer
from qsep_live.training.reporter import Reporter
from qsep_live.training.run_folder import RunFolder
from qsep_live.training.settings import Settings, difference
from qsep_live.training.validation import mean_latents, mixture_sdr, validate

LATENT_SEGMENTS = 256
"""Segments a class behind each mean latent of a finished model, by default."""
_QUICK_SEGMENTS = 64
"""The same while training, at most."""


@dataclass(frozen=True)
class DataConfig:
    """Where stems come from. ``words`` is what the card says about them, where the user has said it."""

    musdb: Path | None = None
    musdb_weight: float = 2.0
    slakh: Path | None = None
    slakh_tracks: int | None = None
    stems: tuple[Path, ...] = ()
    instruments: tuple[Path, ...] = ()
    validation: Path | None = None
    words: str = ""
    latent_segments: int = LATENT_SEGMENTS


@dataclass(frozen=True)
class Machine:
    """What to train on."""

    device: str = "auto"
    threads: int = 1


def train_model(
    settings: Settings,
    data: DataConfig,
    config: LoopConfig,
    machine: Machine,
    folder: RunFolder,
    reporter: Reporter,
    ranks: Ranks = ALONE,
    warm_start: Path | None = None,
    ready: Callable[[], None] = lambda: None,
    wish: Callable[[], Ending | None] = lambda: None,
) -> Ending:
    """Train, or go on training, and write the model when the budget is used.

    ``ready`` is called before the first step; from then on ``wish`` is asked, and there is something to save.

    Raises
    ------
    UsageError
        What was asked for cannot be meant: no data, a folder of another run, a warm start of other networks.
    QsepError
        Something failed; the last state that was saved is kept.
    """
    keep_freed_memory()
    torch.set_num_threads(machine.threads)
    ranks.part(config.batch)
    device = choose_device(machine.device, ranks)
    torch.manual_seed(config.seed)
    model, warm, remarks = _networks(settings, warm_start)
    identity = (settings.name, settings.flat(), config.seed, warm)
    if ranks.first:
        going_on = folder.check(*identity)
        reporter.line(_introduction(settings, config, device, ranks, folder, going_on))
        for remark in remarks if not going_on else ():
            reporter.line(f"--warm-start {warm_start}: {remark}; it begins with fresh weights")
    # What is wrong with a stem is told once a machine.
    with nullcontext() if ranks.local == 0 else redirect_stderr(io.StringIO()):
        banks = load_banks(data, reporter)
    for bank in banks:
        reporter.line(f"{bank.name}: {len(bank.songs)} songs, {bank.minutes():.1f} minutes")
    mixer = Mixer(banks, settings.recipe.mixing, config.seed)
    examiner = _examiner(settings, data, config, banks, reporter, device) if ranks.first else None
    if ranks.first:
        folder.claim(*identity)
    anchors = _anchors(settings, model, banks)
    for module in model.modules().values():
        module.to(device)
    with joined(ranks):
        # No name for the trainer here: it has to be gone before the group that its gradients are averaged in.
        ending = _run(
            Trainer(
                model,
                mixer,
                config,
                folder,
                reporter,
                examiner if examiner and examiner.valid else None,
                ranks,
                None if anchors is None else anchors.to(device),
            ),
            examiner,
            ready,
            wish,
        )
        # The others wait, so that no launcher ends the first one at its work.
        ranks.share(ending)
    return ending


def load_banks(data: DataConfig, reporter: Reporter) -> list[Bank]:
    """Every source of training stems.

    Raises
    ------
    UsageError
        There is none, or a folder that is not what it should be.
    """

    def telling(name: str) -> Callable[[int, int], None]:
        return lambda done, total: reporter.advance(0.0, f"reading {name}: {done} of {total}")

    banks = []
    if data.musdb is not None:
        banks.append(musdb_bank(data.musdb, "train", data.musdb_weight, progress=telling("MUSDB18")))
    if data.slakh is not None:
        banks.append(slakh_bank(data.slakh, "train", limit=data.slakh_tracks, progress=telling("Slakh2100")))
    banks += [folder_bank(path, progress=telling(path.name)) for path in data.stems]
    if not banks:
        raise UsageError("nothing to train on: give --musdb DIR, --slakh DIR or --stems DIR")
    banks += [folder_bank(path, instruments=True, progress=telling(path.name)) for path in data.instruments]
    return banks


class SongExaminer:
    """Median SDR per class over validation songs, with the mean latents of the training stems."""

    def __init__(
        self,
        settings: Settings,
        config: LoopConfig,
        banks: Sequence[Bank],
        valid: Bank | None,
        segments: int,
        facts: dict[str, Any],
    ) -> None:
        self._settings, self._config, self._banks, self.valid = settings, config, banks, valid
        self._facts, self.segments = facts, segments
        self._classes = settings.recipe.mixing.classes
        self.mixture = mixture_sdr(valid.songs, self._classes) if valid else {}

    def examine(self, model: Model) -> Scores:
        return self._score(model, min(_QUICK_SEGMENTS, self.segments))

    def examine_finished(self, model: Model, reporter: Reporter) -> Scores:
        """With latents of many segments, and those of the fine classes that there are stems of."""
        scores = self._score(model, self.segments)
        for name in sorted({name for bank in self._banks for name in bank.fine()}):
            if name.partition("/")[0] not in self._classes:
                continue
            try:
                scores.latents.update(mean_latents(model, self._banks, self.segments, names=(name,)))
            except QsepError as error:
                reporter.line(f"no latent of {name}: {error}")
        return scores

    def _score(self, model: Model, segments: int) -> Scores:
        latents = mean_latents(model, self._banks, segments, names=self._classes)
        return Scores(validate(model, self.valid.songs, latents) if self.valid else {}, latents, segments)

    def card(self, progress: Progress, scores: Scores) -> dict[str, Any]:
        """Everything a model says about itself."""
        return {
            "made_by": f"qsep-live {__version__}",
            "recipe": self._settings.name,
            "settings": {key: _plain(value) for key, value in self._settings.flat().items()},
            "notes": self._settings.notes,
            "steps": progress.step,
            "batch": self._config.batch,
            "windows": progress.step * self._config.batch,
            "minutes": round(progress.seconds / 60, 1),
            **self._facts,
            "mixture_sdr": self.mixture,
            "sdr": scores.sdr,
            "latents": {name: [float(value) for value in z] for name, z in scores.latents.items()},
            "latent_segments": scores.segments,
            "ahead": self._settings.recipe.mixing.hidden,
        }


def _networks(settings: Settings, warm_start: Path | None) -> tuple[Model, str, list[str]]:
    """Fresh networks, with the weights of a checkpoint where it has the same network; its fingerprint; where not."""
    model = settings.networks()
    if settings.recipe.train_query and (anchors := settings.recipe.mixing.anchors):
        raise UsageError(
            f"mixing.anchors is {anchors}, and train_query is true: mean latents to ask with are those of a Query-net"
            " that stays as it is; set one of them to 0 or false"
        )
    if not settings.recipe.train_query:
        model.query_net.requires_grad_(False)
        if warm_start is None:
            raise UsageError(
                f"recipe {settings.name} keeps the Query-net as it is: give --warm-start a model that has one, such as"
                " scripts/query_net.py or --recipe query makes"
            )
    if warm_start is None:
        return model, "", []
    given = load_model(warm_start)
    remarks = []
    for name, module in model.modules().items():
        theirs = given.modules()[name]
        told = "" if type(theirs) is type(module) else type(theirs).__name__
        told = told or difference(_config(module), _config(theirs))
        if isinstance(theirs, PatchUNet) and isinstance(module, PatchUNet) and may_grow(theirs.config, module.config):
            grow(theirs, module)
        elif told:
            remarks.append(f"its {name} is another one ({told})")
        else:
            module.load_state_dict(theirs.state_dict())
    if len(remarks) == len(model.modules()) or (
        remarks and not settings.recipe.train_query and "query_net" in remarks[-1]
    ):
        raise UsageError(f"--warm-start {warm_start}: {'; '.join(remarks)}")
    return model, given.fingerprint, remarks


def _anchors(settings: Settings, model: Model, banks: Sequence[Bank]) -> torch.Tensor | None:
    """Mean latents of the classes, (classes, latent), where the recipe asks for whole classes by them."""
    mixing = settings.recipe.mixing
    if not mixing.anchors:
        return None
    means = mean_latents(model, banks, LATENT_SEGMENTS, names=mixing.classes)
    return torch.from_numpy(np.stack([means[name] for name in mixing.classes]))


def _config(module: torch.nn.Module) -> dict[str, Any]:
    return dict(vars(module.config))


def _examiner(
    settings: Settings,
    data: DataConfig,
    config: LoopConfig,
    banks: Sequence[Bank],
    reporter: Reporter,
    device: torch.device,
) -> SongExaminer:
    valid, where = _validation(data)
    if valid is None:
        reporter.line(f"no validation: {where}")
    described = ", ".join(f"{bank.name} ({len(bank.songs)} songs, {bank.minutes():.0f} min)" for bank in banks)
    facts = {"data": data.words or described, "valid": where if valid else "none", "device": _named(device)}
    examiner = SongExaminer(settings, config, banks, valid, data.latent_segments, facts)
    if valid is not None:
        told = ", ".join(f"{name} {value:.2f}" for name, value in examiner.mixture.items())
        reporter.line(f"validation: {where}; the mixture itself: {told} dB SDR")
    return examiner


def _validation(data: DataConfig) -> tuple[Bank | None, str]:
    """The validation songs and what they are, or None and why."""
    try:
        if data.validation is not None:
            bank = folder_bank(data.validation)
            return bank, f"{len(bank.songs)} songs of {data.validation.name}"
        if data.musdb is not None:
            bank = musdb_bank(data.musdb, "valid")
            return bank, f"{len(bank.songs)} validation songs of MUSDB18"
        if data.slakh is not None:
            bank = slakh_bank(data.slakh, "validation", limit=data.slakh_tracks)
            return bank, f"{len(bank.songs)} validation songs of Slakh2100"
    except UsageError as error:
        if data.validation is not None:
            raise
        return None, str(error)
    return None, "--stems has no validation songs of its own; give --validation DIR"


def _run(
    trainer: Trainer, examiner: SongExaminer | None, ready: Callable[[], None], wish: Callable[[], Ending | None]
) -> Ending:
    start = time.monotonic()
    ready()
    ending = trainer.run(wish)
    if trainer.ranks.first:
        trainer.reporter.line(
            f"step {trainer.progress.step}, {(time.monotonic() - start) / 60:.1f} min here: saved in"
            f" {trainer.folder.state}"
        )
        if ending is Ending.DONE:
            assert examiner is not None
            _finish(trainer, examiner)
    return ending


def _finish(trainer: Trainer, examiner: SongExaminer) -> None:
    """Write the model at the end; it, and the best one, get the latents of many segments."""
    folder, reporter = trainer.folder, trainer.reporter
    model, done = trainer.finished(), trainer.progress
    reporter.advance(1.0, "measuring the model")
    models = {folder.model: (model, done)}
    if folder.best.exists():
        best = load_model(folder.best)
        steps = int(best.card["steps"])
        models[folder.best] = (
            (model, done) if steps == done.step else (best, Progress(steps, 60.0 * best.card["minutes"]))
        )
    known: dict[int, Scores] = {}
    for path, (each, where) in models.items():
        if where.step not in known:
            known[where.step] = examiner.examine_finished(each, reporter)
        each.card = examiner.card(where, known[where.step])
        fingerprint = save_model(each, path, torch.float32)
        reporter.line(f"{path}: fingerprint {fingerprint}, {where.step} steps{_told(known[where.step])}")


def _told(scores: Scores) -> str:
    values = ", ".join(f"{name} {value:.2f}" for name, value in scores.sdr.items())
    return f"; SDR {values} dB" if values else ""


def _named(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{torch.get_num_threads()} CPU threads" if device.type == "cpu" else device.type.upper()


def _introduction(
    settings: Settings, config: LoopConfig, device: torch.device, ranks: Ranks, folder: RunFolder, going_on: bool
) -> str:
    many = f", {ranks.size} processes" if ranks.size > 1 else ""
    return (
        f"recipe {settings.name}, batch {config.batch}, {config.precision} on {device.type}{many};"
        f" {'going on with' if going_on else 'new run in'} {folder.path}"
    )


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value if value != float("inf") else "inf"

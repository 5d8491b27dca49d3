"""Trains a Query-net to tell sounds apart: by class, by instrument, and one recording from another.

The paper's objective asks of a latent that the Separator can use it. Trained along with a Separator that answers
quickly, latents fall together before they have come to mean anything; so the shipped Query-net learns this first, and
then stays as it is (recipe `shipped`). Four terms, on z = μ + σ·ε but for the third:

- which coarse classes sound in the query, one or two of them (binary cross-entropy from a linear layer);
- which instrument it is, where that is known (cross-entropy);
- two places of one recording have latents nearer than those of the others in the batch (cosines of μ; van den Oord,
  Li, Vinyals 2018);
- KL(Q ‖ N(0, I)), as in the paper: latents fill the space that random ones are drawn from.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from qsep_live.nets.query_net import QueryNet
from qsep_live.nets.spectrogram import mid_side
from qsep_live.training.augment import AugmentConfig
from qsep_live.training.mixing import SILENT, Mixer, MixingConfig, Sound
from qsep_live.training.reporter import Reporter
from qsep_live.training.schedule import Budget
from qsep_live.training.songs import CLASSES, Bank, Song

_TERMS = ("classes", "instruments", "recordings", "kl")
_TEMPERATURE = 0.2
_WARMUP = 30
"""Steps over which the learning rate rises."""
_CHECK_SEGMENTS = 2


@dataclass(frozen=True)
class ListeningConfig:
    """``batch`` recordings, two places of each; ``second`` is the share that a sound of another class joins."""

    batch: int = 16
    learning_rate: float = 1e-3
    classes: float = 3.0
    instruments: float = 0.7
    recordings: float = 0.5
    kl: float = 0.01
    second: float = 0.2
    shares: tuple[float, ...] = (0.2, 0.25, 0.15, 0.4)
    """How often each class is drawn: those of many instruments more often."""
    average: float = 0.98
    seed: int = 0
    augment: AugmentConfig = field(
        default_factory=lambda: AugmentConfig(speed=0.5, polarity=0.5, swap=0.5, pan=0.2, equaliser=0.4, reverb=0.1)
    )


@dataclass(frozen=True)
class Heard:
    """Two places of one recording (2, channels, SEGMENT), which classes sound (classes,), which instrument or −1."""

    sounds: Sound
    classes: NDArray[np.float32]
    instrument: int


class Listening:
    """Draws recordings from banks: those of instruments are drawn as often as a bank of their weight."""

    def __init__(self, banks: Sequence[Bank], config: ListeningConfig) -> None:
        self.config = config
        self.instruments = sorted({name for bank in banks if bank.instruments for name in bank.fine()})
        self._mixer = Mixer(banks, MixingConfig(channels=2, augment=config.augment), config.seed)
        self._weights = {
            name: [(bank.weight, found) for bank in banks if (found := _recordings(bank, name))] for name in CLASSES
        }

    def item(self, number: int) -> Heard:
        """Item ``number``; whatever is random in it comes from the seed and it."""
        random = np.random.default_rng((self.config.seed, number))
        while True:
            coarse = CLASSES[int(random.choice(len(CLASSES), p=self.config.shares))]
            song, name = self._recording(coarse, random)
            sounds = [self._mixer.sound(song, name, random) for _ in range(2)]
            labels = np.array([each == coarse for each in CLASSES], np.float32)
            instrument = self.instruments.index(name) if name in self.instruments else -1
            if random.random() < self.config.second:
                other = CLASSES[int(random.choice(len(CLASSES), p=self.config.shares))]
                if other != coarse:
                    song, name = self._recording(other, random)
                    gain = random.uniform(0.4, 1.2)
                    sounds = [_beside(s, self._mixer.sound(song, name, random), gain) for s in sounds]
                    labels[CLASSES.index(other)] = 1.0
                    instrument = -1
            if all(_rms(sound) > SILENT for sound in sounds):
                return Heard(np.stack(sounds), labels, instrument)

    def _recording(self, coarse: str, random: np.random.Generator) -> tuple[Song, str]:
        sources = self._weights[coarse]
        weights = np.array([weight for weight, _ in sources])
        names = sources[int(random.choice(len(sources), p=weights / weights.sum()))][1]
        name = list(names)[int(random.integers(len(names)))]
        return names[name][int(random.integers(len(names[name])))], name


def listen(
    net: QueryNet, banks: Sequence[Bank], budget: Budget, config: ListeningConfig, reporter: Reporter
) -> QueryNet:
    """Train ``net`` in place until the budget is used; the average of its weights is returned.

    Learning rate: a rise over `_WARMUP` steps, then half a cosine down to 0.
    """
    listening = Listening(banks, config)
    torch.manual_seed(config.seed)
    average = AveragedModel(net, multi_avg_fn=get_ema_multi_avg_fn(config.average))  # type: ignore[no-untyped-call]
    head = nn.Linear(net.config.latent, len(CLASSES) + len(listening.instruments))
    net.requires_grad_(True).train()
    optimiser = torch.optim.Adam([*net.parameters(), *head.parameters()], config.learning_rate)
    items = iter(DataLoader(_Items(listening), config.batch, num_workers=1, prefetch_factor=3, collate_fn=_stacked))
    start, step, recent = time.monotonic(), 0, []
    while (share := budget.progress(step, time.monotonic() - start)) < 1.0:
        rate = config.learning_rate * min(1.0, (step + 1) / _WARMUP) * 0.5 * (1.0 + math.cos(math.pi * share))
        for group in optimiser.param_groups:
            group["lr"] = rate
        terms = listening_losses(net, head, *next(items))
        weights = torch.tensor([config.classes, config.instruments, config.recordings, config.kl])
        optimiser.zero_grad()
        torch.dot(terms, weights).backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimiser.step()
        step += 1
        average.update_parameters(net)
        recent.append(terms.detach())
        reporter.advance(share, f"step {step}")
        if step % 50 == 0:
            means = torch.stack(recent).mean(dim=0).tolist()
            told = ", ".join(f"{name} {value:.3f}" for name, value in zip(_TERMS, means, strict=True))
            reporter.line(f"step {step}, {(time.monotonic() - start) / 60.0:.1f} min: {told}")
            recent.clear()
    averaged = average.module
    assert isinstance(averaged, QueryNet)
    return averaged.eval().requires_grad_(False)


def listening_losses(net: QueryNet, head: nn.Linear, sounds: Tensor, classes: Tensor, instruments: Tensor) -> Tensor:
    """The four terms, unweighted, (4,).

    Parameters
    ----------
    sounds
        (B, 2, channels, SEGMENT).
    classes
        (B, classes), 1 where one sounds.
    instruments
        (B,), −1 where it is not known.
    """
    mu, logvar = net(mid_side(sounds.flatten(0, 1))[:, :1].abs())
    answers = head(mu + torch.randn_like(mu) * torch.exp(0.5 * logvar))
    coarse = functional.binary_cross_entropy_with_logits(
        answers[:, : classes.shape[1]], classes.repeat_interleave(2, dim=0)
    )
    named = instruments.repeat_interleave(2)
    known = named >= 0
    fine = answers.new_zeros(())
    if known.any():
        fine = functional.cross_entropy(answers[known, classes.shape[1] :], named[known])
    unit = functional.normalize(mu, dim=1)
    near = (unit @ unit.T / _TEMPERATURE).fill_diagonal_(-math.inf)
    partner = torch.arange(len(mu)) ^ 1
    kl = 0.5 * (mu.square() + logvar.exp() - 1.0 - logvar).sum(dim=1).mean()
    return torch.stack([coarse, fine, functional.cross_entropy(near, partner), kl])


@torch.inference_mode()
def recognised(net: QueryNet, known: Sequence[Bank], asked: Sequence[Bank], names: Sequence[str]) -> dict[str, float]:
    """For each class, coarse or fine, the share of segments of ``asked`` nearest to its mean over ``known``."""

    def latents(banks: Sequence[Bank], name: str) -> Tensor:
        mixer = Mixer(banks, MixingConfig(classes=(name,), channels=2), 0)
        random = np.random.default_rng(0)
        songs = [song for bank in banks for song in bank.holding((name,))]
        cuts = [mixer.sound(song, name, random) for song in songs for _ in range(_CHECK_SEGMENTS)]
        return torch.cat(
            [net(mid_side(torch.from_numpy(cut)[None])[:, :1].abs())[0] for cut in cuts if _rms(cut) > SILENT]
        )

    means = torch.stack([latents(known, name).mean(dim=0) for name in names])
    return {
        name: float((torch.cdist(latents(asked, name), means).argmin(dim=1) == number).float().mean())
        for number, name in enumerate(names)
    }


class _Items(IterableDataset[Heard]):
    def __init__(self, listening: Listening) -> None:
        self._listening = listening

    def __iter__(self) -> Iterator[Heard]:
        worker = get_worker_info()
        number, step = (worker.id, worker.num_workers) if worker else (0, 1)
        while True:
            yield self._listening.item(number)
            number += step


def _stacked(items: list[Heard]) -> tuple[Tensor, Tensor, Tensor]:
    return (
        torch.from_numpy(np.stack([item.sounds for item in items])),
        torch.from_numpy(np.stack([item.classes for item in items])),
        torch.tensor([item.instrument for item in items]),
    )


def _recordings(bank: Bank, coarse: str) -> dict[str, list[Song]]:
    """Songs by what is drawn of them: each instrument in a bank of instruments, the whole class in others."""
    if not bank.instruments:
        songs = bank.holding((coarse,))
        return {coarse: songs} if songs else {}
    return {name: bank.holding((name,)) for name in bank.fine() if name.partition("/")[0] == coarse}


def _beside(sound: Sound, other: Sound, gain: float) -> Sound:
    mixed: Sound = sound + np.float32(gain * _rms(sound) / (_rms(other) + 1e-5)) * other
    return mixed


def _rms(sound: Sound) -> float:
    return float(np.sqrt(np.mean(np.square(sound))))

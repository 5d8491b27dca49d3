"""Batches by step, mixed ahead in processes of their own.

Whatever is random in an item comes from (seed, step, item), so a run that goes on at step n sees what it would have
seen, on any number of workers and ranks.
"""

from __future__ import annotations

import multiprocessing
import signal
import sys
from collections.abc import Iterator, Sized
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Protocol, cast

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from qsep_live.errors import QsepError

if TYPE_CHECKING:
    from qsep_live.training.mixing import Batch

_NOISE = 0x6E6F6973
"""Keeps the noise of an item apart from how it was mixed."""
_AHEAD = 4


class Mixes(Protocol):
    """What is asked of a `Mixer`."""

    def batch(self, size: int, step: int, first: int = 0) -> Batch:
        """Items ``first`` to ``first + size`` of step ``step``."""


@dataclass(frozen=True)
class Drawn:
    """A batch as tensors: mixture, target, query (size, channels, SEGMENT), the classes that are asked for by their
    mean latents (size, anchors, channels, SEGMENT) and which they are (size, anchors), how many of the newest frames
    are hidden (size,), and noise (2, size, latent)."""

    mixture: Tensor
    target: Tensor
    query: Tensor
    stems: Tensor
    named: Tensor
    hidden: Tensor
    noise: Tensor

    def to(self, device: torch.device) -> Drawn:
        return Drawn(*(each.to(device, non_blocking=True) for each in vars(self).values()))


@dataclass(frozen=True)
class Draw:
    """What to draw at every step: items ``first`` to ``first + size``."""

    mixer: Mixes
    seed: int
    first: int
    size: int
    latent: int

    def at(self, step: int) -> Drawn:
        batch = self.mixer.batch(self.size, step, self.first)
        arrays = {each.name: np.ascontiguousarray(getattr(batch, each.name)) for each in fields(batch)}
        tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
        return Drawn(**tensors, noise=self._noise(step))

    def _noise(self, step: int) -> Tensor:
        """Standard normal, for the reparameterised z of each item and for the z of latent regression."""
        items = range(self.first, self.first + self.size)
        generators = (np.random.default_rng((_NOISE, self.seed, step, item)) for item in items)
        each = [random.standard_normal((2, self.latent), np.float32) for random in generators]
        return torch.from_numpy(np.stack(each, axis=1))


def batches(draw: Draw, start: int, workers: int, pin: bool = False) -> Iterator[Drawn]:
    """Batches from step ``start`` on, without end, in order; ``workers`` processes draw ahead, 0 is this one."""
    loader: DataLoader[Any] = DataLoader(
        _Steps(draw),
        batch_size=None,
        sampler=cast("Sampler[int]", _From(start)),
        num_workers=workers,
        prefetch_factor=_AHEAD if workers else None,
        pin_memory=pin,
        collate_fn=_as_it_is,
        worker_init_fn=_start_worker,
        # Stems are shared with workers that are forked, and copied to others.
        multiprocessing_context=multiprocessing.get_context("fork") if workers and _forks() else None,
    )
    for each in loader:
        if isinstance(each, QsepError):
            raise each
        yield Drawn(*each)


def _forks() -> bool:
    return sys.platform.startswith("linux")


class _Steps(Dataset[tuple[Tensor, ...] | QsepError]):
    def __init__(self, draw: Draw) -> None:
        self._draw = draw

    def __getitem__(self, step: int) -> tuple[Tensor, ...] | QsepError:
        try:
            return tuple(vars(self._draw.at(step)).values())
        except QsepError as error:
            # Raised in a worker it would arrive with its traceback in its text.
            return error


@dataclass(frozen=True)
class _From(Sized):
    start: int

    def __iter__(self) -> Iterator[int]:
        step = self.start
        while True:
            yield step
            step += 1

    def __len__(self) -> int:
        return sys.maxsize


def _as_it_is(value: object) -> object:
    return value


def _start_worker(_number: int) -> None:
    """Ctrl-C, and a SIGTERM that a scheduler sends to every process, are for the one that can save; it ends its
    workers itself."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    torch.set_num_threads(1)

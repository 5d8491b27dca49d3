"""Several processes train one model: each takes its part of every batch, gradients are averaged (DDP).

``torchrun`` starts the processes and tells each its rank through the environment; without it there is one.

Threading: one rank is one process; its main thread makes every call, and all ranks make the same calls in the same
order.
"""

from __future__ import annotations

import datetime
import gc
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import nn

from qsep_live.errors import UsageError

T = TypeVar("T")
_PATIENCE = datetime.timedelta(hours=2)
"""How long ranks wait for the first one, which validates alone."""


@dataclass(frozen=True)
class Ranks:
    """This process among ``size``; rank 0 is the one that writes and prints."""

    rank: int = 0
    size: int = 1
    local: int = 0
    local_size: int = 1

    @property
    def first(self) -> bool:
        return self.rank == 0

    def part(self, batch: int) -> tuple[int, int]:
        """First item and number of items that this rank takes of a batch.

        Raises
        ------
        UsageError
            The batch cannot be shared out evenly.
        """
        if batch % self.size:
            raise UsageError(
                f"a batch of {batch} cannot be shared by {self.size} processes: give --batch a multiple of {self.size}"
            )
        share = batch // self.size
        return self.rank * share, share

    def highest(self, values: Sequence[float]) -> list[float]:
        """The elementwise maximum over all ranks."""
        if self.size == 1:
            return list(values)
        import torch.distributed as dist

        tensor = torch.tensor(values, dtype=torch.float64)
        dist.all_reduce(tensor, dist.ReduceOp.MAX)
        return [float(value) for value in tensor]

    def share(self, value: T) -> T:
        """Rank 0's value, on every rank."""
        if self.size == 1:
            return value
        import torch.distributed as dist

        box = [value]
        dist.broadcast_object_list(box, 0)
        return box[0]

    def wrap(self, module: nn.Module) -> nn.Module:
        """``module`` with gradients averaged over all ranks, and rank 0's weights."""
        if self.size == 1:
            return module
        from torch.nn.parallel import DistributedDataParallel

        # A step without latent regression may leave weights out.
        return DistributedDataParallel(module, broadcast_buffers=False, find_unused_parameters=True)


ALONE = Ranks()
"""The only process there is."""


def ranks_from_environment() -> Ranks:
    """What torchrun says this process is; alone without it."""
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR")
    if not all(name in os.environ for name in names):
        return ALONE
    numbers = [int(os.environ.get(name, "1")) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")]
    return Ranks(*numbers)


@contextmanager
def joined(ranks: Ranks) -> Iterator[Ranks]:
    """Within: the ranks can talk to each other (gloo on the CPU, NCCL between GPUs).

    What `Ranks.wrap` gave has to be out of use by the end. The group's threads end with it; one that outlives the
    interpreter aborts the process.
    """
    if ranks.size == 1:
        yield ranks
        return
    # DDP imports this; while there is a group, the import would hold it for good.
    import torch._dynamo
    import torch.distributed as dist

    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() and dist.is_nccl_available() else "gloo"
    dist.init_process_group(backend, timeout=_PATIENCE, rank=ranks.rank, world_size=ranks.size)
    try:
        yield ranks
    finally:
        gc.collect()
        dist.destroy_process_group()


def choose_device(name: str, ranks: Ranks = ALONE) -> torch.device:
    """The device for ``name``: ``auto`` takes CUDA, else MPS, else the CPU; a rank takes its own GPU.

    Raises
    ------
    UsageError
        This machine does not have it.
    """
    here = ["cpu"]
    if torch.backends.mps.is_available():
        here.insert(0, "mps")
    if torch.cuda.is_available():
        here.insert(0, "cuda")
    if name == "auto":
        name = here[0]
    if name not in here:
        raise UsageError(f"there is no {name} device here: give --device {' or '.join(here)}")
    if name != "cuda":
        return torch.device(name)
    if ranks.local >= torch.cuda.device_count():
        raise UsageError(
            f"{ranks.local_size} processes and {torch.cuda.device_count()} GPUs: give torchrun --nproc-per-node"
            f" {torch.cuda.device_count()}"
        )
    torch.cuda.set_device(ranks.local)
    return torch.device("cuda", ranks.local)

"""The state of a run in one safetensors file, written whole or not at all.

A new state is written beside the last one, forced to the disk, and then takes its place: whatever happens in between,
one of the two is complete.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from torch import Tensor

from qsep_live.nets.model import Model
from qsep_live.tensor_file import open_tensors
from qsep_live.training.optimiser import Optimiser
from qsep_live.whole_file import write_whole

_KEY = "qsep_live_training"
_SCHEMA = 1


@dataclass
class Progress:
    """Where a run stands.

    Attributes
    ----------
    step
        Steps done.
    seconds
        Time spent on them.
    best
        Highest validation score so far, dB; None before the first validation.
    """

    step: int = 0
    seconds: float = 0.0
    best: float | None = None


@dataclass(frozen=True)
class State:
    """Tensors by name, and the numbers that go with them. What ranks hand to each other."""

    tensors: Mapping[str, Tensor]
    progress: Progress


def take_state(model: Model, averaged: Model, optimiser: Optimiser, progress: Progress) -> State:
    """Everything that a later run continues from."""
    tensors: dict[str, Tensor] = {}
    for prefix, each in (("model", model), ("averaged", averaged)):
        for name, module in each.modules().items():
            tensors |= {f"{prefix}.{name}.{key}": value for key, value in module.state_dict().items()}
    return State(tensors | optimiser.tensors(), progress)


def put_state(state: State, model: Model, averaged: Model, optimiser: Optimiser) -> None:
    """Continue from ``state``. Raises ValueError where it is of other networks."""
    try:
        for prefix, each in (("model", model), ("averaged", averaged)):
            for name, module in each.modules().items():
                module.load_state_dict(_below(state.tensors, f"{prefix}.{name}."))
        optimiser.load(state.tensors)
    except (RuntimeError, KeyError) as error:
        raise ValueError(str(error).splitlines()[0]) from None


def save_state(state: State, path: Path) -> None:
    """Write ``path`` whole or not at all.

    Raises
    ------
    QsepError
        It cannot be written (a full disk, say); what ``path`` held before is kept.
    """
    from safetensors.torch import save

    tensors = {key: value.detach().cpu().clone().contiguous() for key, value in state.tensors.items()}
    words = json.dumps({"schema": _SCHEMA, **asdict(state.progress)})
    write_whole(path, save(tensors, {_KEY: words}))


def load_state(path: Path) -> State:
    """Read what `save_state` wrote.

    Raises
    ------
    QsepError
        The file is missing, cut off, or something else.
    """
    wrong = "not the state of a run ({reason}); remove it to start again, or give another --output"
    with open_tensors(path, _KEY, _SCHEMA, wrong, "pt") as (words, tensors):
        return State(tensors, Progress(**words))


def _below(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key[len(prefix) :]: value for key, value in tensors.items() if key.startswith(prefix)}

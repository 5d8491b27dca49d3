"""Makes HTDemucs ready on this machine: weights, a graph of OpenVINO for each length of window, and the card.

Everything is written in a hidden folder beside the one that is wanted, the card last, and renamed at the end: a build
that is broken off, by a full disk or a Ctrl-C, leaves nothing that is taken for a model.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import psutil

from qsep_live.errors import QsepError, UsageError
from qsep_live.models.adapters.htdemucs_files import graph_file, network_file, sha256
from qsep_live.models.adapters.htdemucs_sound import SHORTEST
from qsep_live.models.adapters.htdemucs_weights import HOP, RATE, Bag, Network, read_source, save_network
from qsep_live.models.registry import CARD, SCHEMA
from qsep_live.models.spec import SeparatorSpec
from qsep_live.whole_file import write_whole

PUBLISHED_WINDOW = 343_980
"""Samples: what it was trained with, 7.8 s."""
SECONDS = (7.8, 3.0, 1.5)
LONGEST = 30.0
"""Seconds: attention costs the square of it."""
EDGE = 2 * HOP
"""Samples, 46 ms: with so much sound behind it, an estimate is within 0.5 dB of what it gets (DESIGN.md's table)."""
LICENCE = "Meta's weights: for personal and research use, not commercial"
_TOLERANCE = 1e-3
"""Of the largest sample, between the graph and the torch network."""


def build(
    source: Path | Bag,
    folder: Path,
    name: str,
    seconds: Sequence[float] = SECONDS,
    tell: Callable[[str], None] = lambda _: None,
) -> SeparatorSpec:
    """Write the model ``name`` into ``folder``, which must not be there yet.

    Parameters
    ----------
    source
        A file of weights (see `read_source`), or what `htdemucs_hub.read_hub` gives.
    seconds
        Lengths of the windows it will be ready for.
    tell
        Is called with a line about each step; a step takes seconds.

    Raises
    ------
    QsepError
        The source cannot be used, a package is missing, or the disk is full.
    UsageError
        The lengths cannot be meant, or ``folder`` is there.
    """
    windows = window_lengths(seconds)
    if folder.exists():
        raise UsageError(f"{folder} is there already; remove it first: qsep-live models remove {name}")
    if find_spec("openvino") is None:
        raise QsepError("HTDemucs is made ready for OpenVINO, which is not installed: pip install openvino")
    if isinstance(source, Path):
        tell(f"reading {source}")
        source = read_source(source)
    with _hidden(folder) as hidden:
        _require_room(hidden, source, len(windows))
        for index, network in enumerate(source.networks):
            save_network(network, hidden / network_file(index))
            for samples in windows:
                of = f" of network {index + 1} of {len(source.networks)}" if len(source.networks) > 1 else ""
                tell(f"making the graph for windows of {samples / RATE:.1f} s{of}")
                _write_graph(network, samples, hidden / graph_file(index, samples), check=samples == windows[-1])
        sums = {path.name: sha256(path) for path in sorted(hidden.iterdir())}
        of_weights = [sums[network_file(index)] for index in range(len(source.networks))]
        spec = SeparatorSpec(
            name=name,
            fingerprint=hashlib.sha256(json.dumps([of_weights, source.shares]).encode()).hexdigest()[:16],
            rate=RATE,
            channels=2,
            carrier="stems",
            latent=len(source.stems),
            windows=windows,
            hop=HOP,
            stems=source.stems,
            edge=EDGE,
            licence=LICENCE,
            origin=source.origin,
        )
        card = {
            "schema": SCHEMA,
            "adapter": "htdemucs",
            "spec": asdict(spec),
            "shares": source.shares,
            "files": sums,
        }
        write_whole(hidden / CARD, json.dumps(card, indent=1).encode())
    _compile(folder, source, windows, sums, tell)
    return spec


def window_lengths(seconds: Sequence[float]) -> tuple[int, ...]:
    """In samples, the longest first: the published length as it is, others a multiple of the hop.

    Raises
    ------
    UsageError
        A length is out of range, or there is none.
    """
    shortest = (EDGE + SHORTEST) / RATE
    windows = set()
    for each in seconds:
        if not shortest < each <= LONGEST:
            raise UsageError(f"a window of {each} s: HTDemucs takes {shortest:.2f} to {LONGEST:.0f} s")
        published = abs(each * RATE - PUBLISHED_WINDOW) < HOP
        windows.add(PUBLISHED_WINDOW if published else round(each * RATE / HOP) * HOP)
    if not windows:
        raise UsageError("HTDemucs needs at least one length of window, for example 1.5 s")
    return tuple(sorted(windows, reverse=True))


def _write_graph(network: Network, samples: int, path: Path, check: bool) -> None:
    from qsep_live.models.adapters.htdemucs_graph import difference, openvino_model
    from qsep_live.nets.openvino_ops import import_openvino, openvino_core

    module = network.torch()
    model = openvino_model(module, samples)
    try:
        import_openvino()[0].save_model(model, str(path), compress_to_fp16=False)
        # A full disk is not an error to it: what was written is counted.
        for written in (path, path.with_suffix(".bin")):
            with written.open("rb+") as file:
                os.fsync(file.fileno())
        written_model = openvino_core().read_model(str(path))
    except (OSError, RuntimeError) as error:
        free = shutil.disk_usage(path.parent).free // 1_000_000
        reason = (str(error).splitlines() or [""])[0][:80]
        raise QsepError(f"{path.parent}: the graph could not be written ({free} MB free): {reason}") from None
    if check:
        error_of = difference(module, written_model, samples)
        if not np.isfinite(error_of) or error_of > _TOLERANCE:
            raise QsepError(
                f"OpenVINO's graph of HTDemucs differs from the network by {error_of:.2g}: not a model to use"
            )


def _compile(
    folder: Path, bag: Bag, windows: Sequence[int], sums: Mapping[str, str], tell: Callable[[str], None]
) -> None:
    """Fill OpenVINO's cache, so that no session compiles. It goes by the folder's name, so the folder has its own now.

    Broken off here, the model is whole: what is missing is compiled when it is first used.
    """
    from qsep_live.models.adapters.htdemucs_openvino import OpenVinoRunner

    for exact in (True, False):
        runner = OpenVinoRunner(folder, bag.shares, sums, 1, exact)
        tell(f"compiling for this machine ({runner.name})")
        for samples in windows:
            runner.compile(samples)


def _require_room(folder: Path, bag: Bag, windows: int) -> None:
    weights = sum(value.nbytes for network in bag.networks for value in network.state.values())
    # A graph has the weights once more; what OpenVINO compiles of it, in two precisions, two thirds of that.
    needed = int(weights * (1 + 1.7 * windows))
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise QsepError(f"{folder.parent}: {free // 1_000_000} MB are free; HTDemucs needs {needed // 1_000_000} MB")


@contextmanager
def _hidden(folder: Path) -> Iterator[Path]:
    """A folder beside ``folder`` that becomes it at the end, and goes where an error comes first."""
    hidden = folder.with_name(f".{folder.name}.{os.getpid()}.part")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        for left in folder.parent.glob(f".{folder.name}.*.part"):  # by a build that was killed
            owner = left.name.split(".")[-2]
            if owner == str(os.getpid()) or (owner.isdigit() and not psutil.pid_exists(int(owner))):
                shutil.rmtree(left, ignore_errors=True)
        hidden.mkdir()
        try:
            yield hidden
            hidden.rename(folder)
        finally:
            shutil.rmtree(hidden, ignore_errors=True)
    except OSError as error:
        raise QsepError(f"{folder}: could not be written: {error.strerror or error}") from None

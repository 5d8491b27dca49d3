"""Work on every track, in this process or in several; each process opens the network for itself."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import Any, Protocol, TypeVar

from qsep_live.evaluation.tracks import Tell, Track, Tracks, quiet

Result = TypeVar("Result", covariant=True)
Heard = TypeVar("Heard", contravariant=True)
Opened = TypeVar("Opened", covariant=True)
Each = TypeVar("Each")


class Spec(Protocol[Opened]):
    """What a network is opened from. Picklable, if there are several jobs."""

    def open(self) -> Opened: ...


class Work(Protocol[Heard, Result]):
    """What is done with a track. Picklable, if there are several jobs."""

    def __call__(self, network: Heard, track: Track, /) -> Result: ...


def over_tracks(
    work: Work[Each, Result],
    spec: Spec[Each],
    tracks: Tracks,
    jobs: int = 1,
    tell: Tell = quiet,
) -> Iterator[Result]:
    """``work(network, track)`` for every track, in order; ``tell`` hears how many are done."""
    if jobs <= 1 or len(tracks) <= 1:
        network = spec.open()
        for index in range(len(tracks)):
            yield work(network, tracks[index])
            tell(index + 1)
        return
    context = multiprocessing.get_context("spawn")
    workers = min(jobs, len(tracks))
    with ProcessPoolExecutor(workers, context, initializer=_open, initargs=(spec,)) as pool:
        for done, result in enumerate(pool.map(_call, ((work, tracks, index) for index in range(len(tracks)))), 1):
            yield result
            tell(done)


_network: Any = None
"""Of a pool's process."""


def _open(spec: Spec[Any]) -> None:
    global _network
    _network = spec.open()


def _call(order: tuple[Work[Any, Any], Tracks, int]) -> Any:
    work, tracks, index = order
    assert _network is not None
    return work(_network, tracks[index])

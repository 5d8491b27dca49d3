"""A process of its own for each measurement, so that none finds another's threads, caches or memory."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import TypeVar

from qsep_live.errors import QsepError

T = TypeVar("T")


class Alone:
    """A fresh process that does what it is told, one call after the other. A context manager."""

    def __enter__(self) -> Alone:
        self._pool = ProcessPoolExecutor(1, mp_context=get_context("spawn"))
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown()

    def call(self, work: Callable[..., T], *arguments: object) -> T:
        """``work(*arguments)``.

        Raises
        ------
        QsepError
            The process died.
        """
        try:
            return self._pool.submit(work, *arguments).result()
        except BrokenProcessPool:
            named = ", ".join([work.__name__.strip("_"), *map(str, arguments)])
            raise QsepError(f"a measuring process died ({named}); was there enough memory?") from None


def alone(work: Callable[..., T], *arguments: object) -> T:
    """``work(*arguments)`` in a fresh process."""
    with Alone() as process:
        return process.call(work, *arguments)

"""A JACK server of the test's own, with the dummy driver."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest

_counter = itertools.count()


@pytest.fixture
def jack_name(monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a JACK server that does not run; this process's JACK clients will look for it."""
    name = f"qsep-control-{next(_counter)}"
    monkeypatch.setenv("JACK_DEFAULT_SERVER", name)
    monkeypatch.setenv("JACK_NO_START_SERVER", "1")
    return name


@pytest.fixture
def jackd(jack_server: Callable[..., Any], jack_name: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A running JACK server that this process's JACK clients find."""
    server = jack_server(jack_name, synchronous=True)
    try:
        server.start()
        monkeypatch.setenv("JACK_DEFAULT_SERVER", server.name)
        yield server
    finally:
        server.stop()

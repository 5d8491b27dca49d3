"""JSON lines: one object a line on stdout, and nothing else there.

Each has a ``type`` (``status``, ``event``, ``summary``, ``result``, ``error``) and the ``time`` in seconds since 1970.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self, TextIO

from qsep_live.engine.status import Status
from qsep_live.ui.display import Output


def json_line(kind: str, values: Mapping[str, Any]) -> str:
    """One object on one line; numbers that JSON does not have become null."""
    return json.dumps({"type": kind, "time": round(time.time(), 3), **_legal(values)}, allow_nan=False)


def _legal(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _legal(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_legal(item) for item in value]
    return value


class JsonDisplay:
    """A `Display` for programs."""

    interval = 0.1

    def __init__(self, stream: TextIO) -> None:
        self._out = Output(stream)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    @property
    def closed(self) -> bool:
        return self._out.closed

    def event(self, text: str) -> None:
        self._out.line(json_line("event", {"text": text}))

    def show(self, status: Status) -> None:
        self._out.line(json_line("status", status.as_json()))

    def finish(self, status: Status) -> None:
        self._out.line(json_line("summary", status.as_json()))

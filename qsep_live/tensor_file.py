"""safetensors files whose header says in JSON what the tensors are. This module imports no room."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from qsep_live.errors import QsepError

_LONGEST = 80


@contextmanager
def open_tensors(
    path: Path, key: str, schema: int, wrong: str, framework: Literal["numpy", "pt"] = "numpy"
) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """What the header has under ``key``, without its schema number, and all tensors by name.

    What is found to be wrong in the body, as a KeyError, RuntimeError, TypeError or ValueError, is told like a damaged
    file: ``wrong`` says what it is not, with ``{reason}`` in it.

    Raises
    ------
    QsepError
        The file is missing, damaged, of another ``schema``, or something else.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework=framework) as file:
            words = json.loads((file.metadata() or {})[key])
            if words.pop("schema") != schema:
                raise ValueError("of another version")
            yield words, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except OSError as error:
        raise QsepError(f"{path}: {error.strerror or error}") from None
    except (SafetensorError, AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())[:_LONGEST] or type(error).__name__
        raise QsepError(f"{path}: {wrong.format(reason=reason)}") from None

"""A checkpoint's JSON header, read without torch and without its weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from qsep_live.errors import QsepError

SCHEMA = 1
MAX_HEADER = 1 << 20
MAX_AHEAD = 64


def read_header(path: Path) -> dict[str, Any]:
    """The JSON header of a checkpoint, without its weights.

    Raises
    ------
    QsepError
        The file is missing, truncated, or not a checkpoint of qsep-live.
    """
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if not 2 <= length <= MAX_HEADER:
                raise ValueError("no safetensors header")
            raw = file.read(length)
            if len(raw) < length:
                raise ValueError("truncated header")
            entry = json.loads(raw)["__metadata__"]["qsep_live"]
            header = json.loads(entry)
            if not isinstance(header, dict) or not isinstance(header.get("config"), dict):
                raise ValueError("no hyperparameters")
    except OSError as error:
        raise QsepError(f"{path}: {error.strerror or error}; give a .safetensors checkpoint") from None
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        reason = f"missing {error}" if isinstance(error, KeyError) else str(error).splitlines()[0]
        raise QsepError(f"{path}: not a qsep-live checkpoint ({reason[:80]})") from None
    if header.get("schema") != SCHEMA:
        raise QsepError(f"{path}: checkpoint schema {str(header.get('schema'))[:40]}; this version reads {SCHEMA}")
    return header


def frames_ahead(path: Path, header: dict[str, Any]) -> int:
    """Frames beyond the newest that the model in ``path`` was trained to tell: its card's ``ahead``, else 0.

    Raises
    ------
    QsepError
        It is no such number.
    """
    card = header.get("card", {})
    ahead = card.get("ahead", 0) if isinstance(card, dict) else None
    if type(ahead) is not int or not 0 <= ahead <= MAX_AHEAD:
        raise QsepError(f"{path}: its card says ahead {str(ahead)[:40]}; must be 0 to {MAX_AHEAD} frames")
    return ahead

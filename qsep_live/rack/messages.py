"""How the rack words its errors: what is unknown, what is nearest, what exists."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def unknown(kind: str, name: str, known: Iterable[str]) -> str:
    """One line for a name that does not exist: the nearest that does, and all that do."""
    names = sorted(known, key=str.lower)
    if not names:
        return f"no {kind} '{name}' (there are none)"
    by_lower = {each.lower(): each for each in names}
    near = difflib.get_close_matches(name.lower(), list(by_lower), n=1, cutoff=0.5)
    hint = f"; did you mean '{by_lower[near[0]]}'?" if near else "."
    return f"no {kind} '{name}'{hint} There are: {', '.join(names)}"


def one_line(error: BaseException) -> str:
    """An exception as one line of text, its type included when it says nothing else."""
    text = " ".join(str(error).split())
    return text or type(error).__name__

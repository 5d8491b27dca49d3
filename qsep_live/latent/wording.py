"""How values stand in messages: quoted, on one line, with the nearest valid name.

Threading: pure functions, any thread.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from difflib import get_close_matches


def shown(text: str) -> str:
    """``text`` quoted for a message: escaped, and cut when long."""
    return repr(text if len(text) <= 60 else text[:57] + "...")


def one_line(message: str) -> str:
    """``message`` with everything a terminal would not print as one plain line replaced by ``?``."""
    return "".join(char if char.isprintable() else "?" for char in message)


def nearest(name: str, names: Sequence[str]) -> str | None:
    """The one of ``names`` that was most likely meant by ``name``."""
    folded = {candidate.lower(): candidate for candidate in names}
    # Only the beginning of a very long name is compared: the comparison takes quadratic time.
    close = get_close_matches(name[:100].lower(), list(folded), n=1, cutoff=0.6)
    return folded[close[0]] if close else None


def kind(value: object) -> str:
    """What ``value`` is, in the words of someone who writes TOML."""
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN or infinite"
    names = {
        str: "text",
        int: "a whole number",
        float: "a number",
        list: "a list",
        tuple: "a list",
        dict: "a table",
    }
    return names.get(type(value), f"a {type(value).__name__}")

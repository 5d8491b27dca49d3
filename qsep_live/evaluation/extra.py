"""The packages that only measuring needs, imported when they are used."""

from __future__ import annotations

import importlib
from typing import Any

from qsep_live.errors import UsageError

EXTRA = "qsep-live[evaluate]"


def needs(module: str) -> Any:
    """Import ``module``, for example ``"scipy.signal"``.

    Raises
    ------
    UsageError
        It is not installed; says which extra brings it.
    """
    try:
        return importlib.import_module(module)
    except ImportError:
        package = module.partition(".")[0]
        raise UsageError(f"this needs {package}, which is not installed: pip install '{EXTRA}'") from None


def pyplot() -> Any:
    """matplotlib's pyplot, drawing into files only."""
    needs("matplotlib").use("Agg")
    return needs("matplotlib.pyplot")

"""What goes wrong inside the session's own processes, on demand; they find this file by PYTHONPATH.

A fault happens when a file of its name is in the folder ``$QSEP_FAULTS``. The program itself knows nothing of it.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.util
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

FOLDER = Path(os.environ["QSEP_FAULTS"])


def break_network(module: Any) -> None:
    """``mask-raises``: the network raises once, as a GPU does that was lost."""
    open_backend = module.open_backend

    class Breakable:
        def __init__(self, real: Any) -> None:
            self._real = real

        def __getattr__(self, name: str) -> Any:
            return getattr(self._real, name)

        def __call__(self, *given: Any) -> Any:
            if (FOLDER / "mask-raises").exists():
                (FOLDER / "mask-raises").unlink()
                raise RuntimeError("CUDA error: an illegal memory access was encountered")
            return self._real(*given)

    module.open_backend = lambda *arguments, **options: Breakable(open_backend(*arguments, **options))


def break_slots(module: Any) -> None:
    """``raises``, ``nan``, ``slow``: what the effect of that name in the rack does."""
    real = module.Slot._try

    def attempt(self: Any, x: Any) -> Any:
        if self.name in ("raises", "nan", "slow") and (FOLDER / self.name).exists():
            self.source = Bad(self.source, self.name)
            (FOLDER / self.name).unlink()
        return real(self, x)

    module.Slot._try = attempt


class Bad:
    """An effect gone wrong."""

    def __init__(self, source: Any, how: str) -> None:
        self._source, self._how = source, how

    def process(self, x: Any) -> Any:
        if self._how == "raises":
            raise RuntimeError("the plugin fell over")
        out = self._source.process(x)
        if self._how == "nan":
            out[:, ::7] = float("nan")
        else:
            time.sleep(0.03)
        return out


PATCHES: dict[str, Callable[[Any], None]] = {
    "qsep_live.nets.inference": break_network,
    "qsep_live.rack.slot": break_slots,
}


class Finder(importlib.abc.MetaPathFinder):
    """Lets the named modules be found as ever, and changes them once they are loaded."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name not in PATCHES:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        assert spec is not None
        assert spec.loader is not None
        load = spec.loader.exec_module

        def load_and_patch(module: ModuleType) -> None:
            load(module)
            PATCHES[name](module)

        spec.loader.exec_module = load_and_patch  # type: ignore[method-assign]
        return spec


sys.meta_path.insert(0, Finder())

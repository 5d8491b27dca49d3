from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture
def children(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """What spawned processes run, importable in them too: spawn hands on ``sys.path``."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    import engine_children

    return engine_children

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from qsep_live.models.registry import find_stems, stem_separators

SOURCE = (Path(__file__).parent / "bands.py").read_text("utf-8")
Package = Callable[..., Path]


@pytest.fixture
def contract(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    import separator_contract

    return separator_contract


@pytest.fixture
def bands(separator_package: Package, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """The separator of an installed package, loaded as the program loads it."""
    monkeypatch.setenv("QSEP_LIVE_HOME", str(tmp_path / "home"))
    monkeypatch.syspath_prepend(str(separator_package("bands", SOURCE, "Bands", module="other_bands")))
    entry = find_stems("bands")
    assert entry is not None
    assert (entry.origin, entry.spec.stems) == ("qsep-bands", ("low", "high"))
    assert [each.spec.name for each in stem_separators()] == ["bands"]
    return entry.open()


def test_another_packages_separator_keeps_to_the_contract(bands: Any, contract: ModuleType) -> None:
    contract.check_separator(bands)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda stems, _window: stems[:1],
        lambda stems, _window: stems.astype(np.float64),
        lambda stems, _window: stems + np.float32(0.01),
        lambda stems, _window: stems * np.float32(np.nan),
        lambda stems, _window: np.zeros_like(stems),
        lambda stems, window: (stems, window.fill(0.0))[0],
        lambda stems, _window: stems * np.random.default_rng().uniform(0.5, 1.0, 1).astype(np.float32),
    ],
)
def test_the_contract_finds_what_is_broken(
    bands: Any, contract: ModuleType, wrong: Callable[[np.ndarray, np.ndarray], np.ndarray]
) -> None:
    class Broken:
        spec = bands.spec

        def warm_up(self, window: int) -> None:
            pass

        def __call__(self, window: np.ndarray) -> np.ndarray:
            return wrong(bands(window), window)

    with pytest.raises(AssertionError):
        contract.check_separator(Broken())


def test_the_contract_finds_a_buffer_that_is_used_again(bands: Any, contract: ModuleType) -> None:
    kept: dict[int, np.ndarray] = {}

    class Broken:
        spec = bands.spec

        def warm_up(self, window: int) -> None:
            kept[window] = np.empty((2, 2, window), np.float32)

        def __call__(self, window: np.ndarray) -> np.ndarray:
            out = kept[window.shape[1]]
            out[:] = bands(window)
            return out

    with pytest.raises(AssertionError, match="written over"):
        contract.check_separator(Broken())

"""Where the bundled and the user's files lie: in a wheel, in a checkout, and when they are gone."""

from __future__ import annotations

from pathlib import Path

import platformdirs
import pytest

import qsep_live
from qsep_live import bundled
from qsep_live.errors import QsepError


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "site" / "qsep_live"
    folder.mkdir(parents=True)
    monkeypatch.setattr(bundled, "files", lambda _name: folder)
    return folder


@pytest.mark.parametrize("name", ["presets", "models"])
def test_this_installation_has_them(name: str) -> None:
    folder = bundled.bundled_folder(name)
    root = Path(qsep_live.__file__).parent
    assert folder in (root / "data" / name, root.parent / name)
    assert folder.is_dir()


def test_a_wheel_carries_them_inside_the_package(package: Path) -> None:
    (package / "data" / "models").mkdir(parents=True)
    (package.parent / "models").mkdir()
    (package.parent / "pyproject.toml").touch()
    assert bundled.bundled_folder("models") == package / "data" / "models"


def test_a_checkout_has_them_beside_the_package(package: Path) -> None:
    (package.parent / "models").mkdir()
    (package.parent / "pyproject.toml").touch()
    assert bundled.bundled_folder("models") == package.parent / "models"


def test_a_strangers_folder_in_site_packages_is_not_taken(package: Path) -> None:
    (package.parent / "models").mkdir()
    with pytest.raises(QsepError, match="install qsep-live again"):
        bundled.bundled_folder("models")


def test_the_users_folder_can_be_moved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QSEP_LIVE_HOME", str(tmp_path))
    assert bundled.user_folder("presets") == tmp_path / "presets"
    monkeypatch.setenv("QSEP_LIVE_HOME", "relative")
    assert bundled.user_folder("presets").is_absolute()


@pytest.mark.parametrize("value", [None, ""])
def test_else_it_is_the_platforms(value: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    if value is None:
        monkeypatch.delenv("QSEP_LIVE_HOME", raising=False)
    else:
        monkeypatch.setenv("QSEP_LIVE_HOME", value)
    expected = Path(platformdirs.user_data_dir("qsep-live", appauthor=False)) / "presets"
    assert bundled.user_folder("presets") == expected

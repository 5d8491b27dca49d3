"""The preset library: the user's folder before the bundled one, and broken files that stop nobody."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from qsep_live.bundled import bundled_folder
from qsep_live.errors import QsepError, UsageError
from qsep_live.latent.library import PresetLibrary
from qsep_live.latent.preset import Preset
from qsep_live.latent.preset_file import save_preset

MODEL = "0123456789abcdef" * 4


def preset(name: str, value: float = 0.5) -> Preset:
    return Preset(name, np.full(32, value, np.float32), MODEL)


@pytest.fixture
def user(tmp_path: Path) -> Path:
    return tmp_path / "home" / "presets"


@pytest.fixture
def library(tmp_path: Path, user: Path) -> PresetLibrary:
    for name in ("vocals", "drums", "bass"):
        save_preset(preset(name), tmp_path / "bundled")
    return PresetLibrary([user, tmp_path / "bundled"])


def test_bundled_presets_without_a_user_folder(library: PresetLibrary, user: Path) -> None:
    assert library.names() == ["bass", "drums", "vocals"]
    assert library.get("drums") == preset("drums")
    assert library.is_bundled("drums")
    assert library.problems() == []
    assert not user.exists()


def test_the_users_presets_come_first(library: PresetLibrary, user: Path) -> None:
    save_preset(preset("vocals", 0.9), user)
    save_preset(preset("hihat"), user)
    assert library.names() == ["bass", "drums", "hihat", "vocals"]
    assert [p.name for p in library.presets()] == library.names()
    assert library.get("vocals").latent[0] == np.float32(0.9)
    assert not library.is_bundled("vocals")
    assert library.path("vocals") == user / "vocals.toml"


def test_unknown_names_list_what_exists_and_the_nearest(library: PresetLibrary) -> None:
    with pytest.raises(UsageError) as caught:
        library.get("Vocal")
    message = str(caught.value)
    assert "bass, drums, vocals" in message
    assert "Did you mean 'vocals'?" in message


@pytest.mark.parametrize("name", ["../bundled/vocals", "", "x" * 10000, "a\nb", "\x1b[2J", "VOCALS", "vocals.toml"])
def test_names_from_anywhere_are_looked_up_and_never_opened(library: PresetLibrary, name: str) -> None:
    with pytest.raises(UsageError) as caught:
        library.get(name)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 300


def test_an_empty_library_says_where_it_looked(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no presets are in"):
        PresetLibrary([tmp_path / "a", tmp_path / "b"]).get("vocals")


def test_saving(library: PresetLibrary, user: Path) -> None:
    assert library.save(preset("hihat")) == user / "hihat.toml"
    assert "hihat" in library.names()
    with pytest.raises(UsageError, match=r"'hihat' exists already.*--overwrite"):
        library.save(preset("hihat", 0.1))
    with pytest.raises(UsageError, match="'hihat' exists already"):
        library.save(preset("HiHat"))
    assert library.get("hihat") == preset("hihat")
    library.save(preset("hihat", 0.1), overwrite=True)
    assert library.get("hihat") == preset("hihat", 0.1)


def test_a_bundled_preset_is_hidden_only_on_request(library: PresetLibrary) -> None:
    with pytest.raises(UsageError, match=r"'vocals' comes with qsep-live.*--overwrite"):
        library.save(preset("vocals", 0.9))
    library.save(preset("vocals", 0.9), overwrite=True)
    assert library.get("vocals") == preset("vocals", 0.9)
    library.remove("vocals")
    assert library.get("vocals") == preset("vocals")


def test_removing(library: PresetLibrary, user: Path) -> None:
    path = library.save(preset("hihat"))
    assert library.remove("hihat") == path
    assert not path.exists()
    with pytest.raises(UsageError, match="there is no preset 'hihat'"):
        library.remove("hihat")
    with pytest.raises(UsageError) as caught:
        library.remove("vocals")
    assert "cannot be removed" in str(caught.value)
    assert str(user) in str(caught.value)
    assert "vocals" in library.names()


def test_broken_files_are_reported_and_stop_nobody(library: PresetLibrary, user: Path) -> None:
    user.mkdir(parents=True)
    (user / "broken.toml").write_text("schema = 1\nlatent = [1]\nmodel = '12345678'\n")
    (user / "noise.toml").write_bytes(bytes(range(256)))
    (user / "bad name.toml").write_text("")
    (user / "folder.toml").mkdir()
    (user / "notes.txt").write_text("not a preset")
    (user / ".vocals.0a1b.tmp").write_text("left by a crash")
    assert library.names() == ["bass", "drums", "vocals"]
    problems = library.problems()
    assert len(problems) == 4
    assert all(line.startswith(str(user)) and line.isprintable() for line in problems)
    with pytest.raises(QsepError, match=r"broken\.toml:2: latent has 1 numbers"):
        library.get("broken")
    library.remove("broken")
    assert len(library.problems()) == 3


def test_a_broken_file_of_the_users_does_not_give_way_to_the_bundled_one(library: PresetLibrary, user: Path) -> None:
    user.mkdir(parents=True)
    (user / "vocals.toml").write_text("schema = 1")
    assert library.names() == ["bass", "drums"]
    with pytest.raises(QsepError, match="is missing"):
        library.get("vocals")


def test_a_folder_that_is_none_is_a_problem(library: PresetLibrary, user: Path) -> None:
    user.parent.mkdir(parents=True)
    user.write_text("")
    assert library.names() == ["bass", "drums", "vocals"]
    assert len(library.problems()) == 1
    assert "cannot be listed" in library.problems()[0]


def test_default_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QSEP_LIVE_HOME", str(tmp_path))
    assert PresetLibrary().folders == (tmp_path / "presets", bundled_folder("presets"))


def test_needs_a_folder() -> None:
    with pytest.raises(ValueError, match="at least one"):
        PresetLibrary([])

"""The preset library: the user's folder before the bundled one, and broken files that stop nobody."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from qsep_live.bundled import bundled_folder
from qsep_live.errors import QsepError, UsageError
from qsep_live.latent.library import PresetLibrary, fits
from qsep_live.latent.preset import Preset
from qsep_live.latent.preset_file import save_preset
from qsep_live.models.spec import SeparatorSpec

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


BAND = SeparatorSpec(
    "band4", "0" * 16, 44100, 2, "stems", 4, (44100,), 1024, stems=("drums", "bass", "other", "vocals")
)


def of_stems(name: str, **weights: float) -> Preset:
    return Preset(name, np.array(list(weights.values())), stems=tuple(weights))


def one_line_of(error: pytest.ExceptionInfo[UsageError]) -> str:
    message = str(error.value)
    assert message.isprintable()
    return message


def test_each_stem_of_a_model_is_a_preset_without_a_file(library: PresetLibrary) -> None:
    found = library.for_model("vocals", BAND)
    assert found.path is None
    assert found.preset.stems == BAND.stems
    assert found.preset.latent.tolist() == [0.0, 0.0, 0.0, 1.0]
    assert library.for_model("other", BAND).preset.latent.tolist() == [0.0, 0.0, 1.0, 0.0]
    # The own network has its latent of the same name.
    assert library.for_model("vocals", None, MODEL) == (preset("vocals"), library.folders[1] / "vocals.toml")


def test_the_users_weights_go_before_the_models_stem(library: PresetLibrary, user: Path) -> None:
    path = save_preset(of_stems("vocals", vocals=4, other=3), user)
    found = library.for_model("vocals", BAND)
    assert found.path == path
    np.testing.assert_array_equal(found.preset.latent, np.array([0, 0, 0.6, 0.8], np.float32))
    # And do not stand in the way of the bundled latent.
    assert library.for_model("vocals", None, MODEL).preset == preset("vocals")


def test_the_users_latent_does_not_stand_before_the_models_stem(library: PresetLibrary, user: Path) -> None:
    save_preset(preset("vocals", 0.9), user)
    assert library.for_model("vocals", BAND).path is None
    assert library.for_model("vocals", None, MODEL).path == user / "vocals.toml"


def test_a_model_of_one_set_of_stems_in_any_form_shares_presets(library: PresetLibrary, user: Path) -> None:
    save_preset(of_stems("duo", bass=3, vocals=4), user)
    other_form = dataclasses.replace(BAND, name="band4-fast", fingerprint="f" * 16, stems=BAND.stems[::-1])
    one, other = (library.for_model("duo", spec).preset for spec in (BAND, other_form))
    np.testing.assert_array_equal(one.latent, other.latent[::-1])


def test_what_belongs_to_another_model_says_so_and_how_to_have_it_in_this_one(
    library: PresetLibrary, user: Path
) -> None:
    save_preset(preset("hi-hat"), user)
    with pytest.raises(UsageError) as caught:
        library.for_model("hi-hat", BAND)
    message = one_line_of(caught)
    assert (
        "'hi-hat' is a latent of model 01234567, but band4 takes weights of stems (drums, bass, other, vocals)"
        in message
    )
    assert "qsep-live presets new hi-hat --query FILE --model NAME" in message

    save_preset(of_stems("duo", bass=3, vocals=4), user)
    with pytest.raises(UsageError) as caught:
        library.for_model("duo", None, MODEL)
    assert "'duo' holds weights of stems (bass, vocals), but model 01234567 takes a latent" in one_line_of(caught)

    save_preset(of_stems("trio", guitar=3, vocals=4), user)
    with pytest.raises(UsageError) as caught:
        library.for_model("trio", BAND)
    assert "needs the stem 'guitar', but band4 has drums, bass, other, vocals" in one_line_of(caught)


def test_a_hidden_preset_that_fits_is_offered(library: PresetLibrary, user: Path) -> None:
    path = save_preset(Preset("vocals", np.ones(32), "f" * 64), user)
    with pytest.raises(UsageError) as caught:
        library.for_model("vocals", None, MODEL)
    assert f"or rename {path}, and the 'vocals' that comes with qsep-live is used" in one_line_of(caught)
    path = save_preset(of_stems("drums", guitar=1), user)
    with pytest.raises(UsageError) as caught:
        library.for_model("drums", BAND)
    assert f"or rename {path}, and the model's own stem 'drums' is used" in one_line_of(caught)


def test_unknown_names_list_what_fits_the_model(library: PresetLibrary, user: Path) -> None:
    save_preset(of_stems("duo", bass=3, vocals=4), user)
    save_preset(preset("hihat"), user)
    with pytest.raises(UsageError) as caught:
        library.for_model("voclas", BAND)
    message = one_line_of(caught)
    assert "no preset 'voclas' for band4; there are bass, drums, duo, other, vocals." in message
    assert "Did you mean 'vocals'?" in message


def test_a_broken_file_does_not_give_way_to_the_models_stem(library: PresetLibrary, user: Path) -> None:
    user.mkdir(parents=True)
    (user / "vocals.toml").write_text("schema = 2\n[stems]\nvocals = -1\n")
    with pytest.raises(QsepError, match=r"vocals\.toml:2: the weight of stem 'vocals' is -1"):
        library.for_model("vocals", BAND)
    assert [each.preset.name for each in library.every(BAND) if each.path is None] == ["bass", "drums", "other"]


def test_every_preset_and_where_it_comes_from(library: PresetLibrary, user: Path) -> None:
    save_preset(of_stems("vocals", vocals=4, other=3), user)
    save_preset(preset("drums", 0.1), user)
    found = [(each.preset.name, each.preset.kind[:5], library.origin(each.path)) for each in library.every(BAND)]
    assert found == [
        ("bass", "laten", "bundled"),
        ("bass", "stems", "model"),
        ("drums", "laten", "yours"),
        ("drums", "stems", "model"),
        ("other", "stems", "model"),
        ("vocals", "laten", "bundled"),
        ("vocals", "stems", "yours"),
    ]
    assert [fits(each.preset, BAND) for each in library.every(BAND)] == [kind == "stems" for _, kind, _ in found]


def test_the_latents_of_a_model_are_not_hidden_by_weights_of_stems(library: PresetLibrary, user: Path) -> None:
    save_preset(of_stems("vocals", vocals=1), user)
    save_preset(Preset("alien", np.ones(32), "f" * 64), user)
    assert [each.name for each in library.latents_of(MODEL)] == ["bass", "drums", "vocals"]
    assert library.latents_of(MODEL)[2] == preset("vocals")

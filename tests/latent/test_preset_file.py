"""Preset files: what is written is read again, and no hostile file gives more than a one-line error."""

from __future__ import annotations

import errno
import os
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tomli_w
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from qsep_live.bundled import bundled_folder
from qsep_live.errors import QsepError
from qsep_live.latent.preset import Preset
from qsep_live.latent.preset_file import MAX_BYTES, dump_preset, load_preset, parse_preset, save_preset

MODEL = "0123456789abcdef" * 4
LATENT = "latent = [" + ", ".join(["0.5"] * 32) + "]"
GOOD = f'schema = 1\nmodel = "{MODEL}"\n{LATENT}\n'

text = st.text(st.characters(exclude_categories=("Cc", "Cs")), max_size=40)
number = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**63), 2**63 - 1)
latents = hnp.arrays(np.float32, 32, elements=st.floats(width=32, allow_nan=False, allow_infinity=False))


def refusal(content: str | bytes, name: str = "vocals") -> str:
    data = content.encode() if isinstance(content, str) else content
    with pytest.raises(QsepError) as caught:
        parse_preset(data, name, "p/vocals.toml")
    message = str(caught.value)
    assert message.startswith("p/vocals.toml")
    assert message.isprintable()
    assert len(message) < 400
    return message


@given(
    latents,
    text,
    st.none() | text.filter(bool),
    st.dictionaries(text, text | number | st.lists(text | number)),
)
def test_what_is_dumped_is_read_again(latent: Any, description: str, effects: str | None, provenance: Any) -> None:
    made = Preset("a-b_C", latent, MODEL, description, provenance, effects)
    read = parse_preset(dump_preset(made).encode(), "a-b_C", "x.toml")
    assert read == made
    assert read.latent.tobytes() == latent.tobytes()


def test_numbers_are_written_short() -> None:
    written = dump_preset(Preset("a", np.full(32, 0.1, np.float32), MODEL))
    assert "0.1," in written
    assert "schema = 2" in written


def test_weights_of_stems_are_written_by_name_and_read_again(tmp_path: Path) -> None:
    made = Preset("band", np.array([3.0, 4.0, 1.0]), "", "loud", {"n": 1}, "hall", ("vocals", "drums", "lead gtr."))
    path = save_preset(made, tmp_path)
    assert load_preset(path) == made
    table = tomllib.loads(path.read_text())
    assert list(table["stems"]) == ["vocals", "drums", "lead gtr."]
    assert sum(weight**2 for weight in table["stems"].values()) == pytest.approx(1.0, abs=1e-6)
    assert not table.keys() & {"model", "latent"}


def test_weights_written_by_hand_need_not_be_normalised() -> None:
    read = parse_preset(b"schema = 2\n[stems]\nvocals = 3\ndrums = 4\n", "band", "band.toml")
    np.testing.assert_array_equal(read.latent, np.array([0.6, 0.8], np.float32))
    assert read.stems == ("vocals", "drums")


def test_a_file_of_schema_1_reads_as_the_same_preset_in_schema_2() -> None:
    old, new = (parse_preset(GOOD.replace("schema = 1", f"schema = {n}").encode(), "a", "a.toml") for n in (1, 2))
    assert old == new
    assert parse_preset(dump_preset(old).encode(), "a", "a.toml") == old


def test_the_bundled_latents_are_read_bit_for_bit_and_kept_by_writing() -> None:
    paths = sorted(bundled_folder("presets").glob("*.toml"))
    assert paths
    for path in paths:
        table = tomllib.loads(path.read_text())
        read = load_preset(path)
        assert read.model == table["model"]
        assert read.latent.tobytes() == np.array(table["latent"], np.float32).tobytes()
        assert parse_preset(dump_preset(read).encode(), path.stem, "again") == read


def test_save_and_load(tmp_path: Path) -> None:
    made = Preset("vocals", np.linspace(-1, 1, 32), MODEL, "lead\nand choir", {"songs": 94}, "hall")
    path = save_preset(made, tmp_path / "new" / "folder")
    assert path == tmp_path / "new" / "folder" / "vocals.toml"
    assert load_preset(path) == made
    assert [entry.name for entry in path.parent.iterdir()] == ["vocals.toml"]


def test_a_failed_save_leaves_the_old_file_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = Preset("vocals", np.zeros(32), MODEL)
    path = save_preset(old, tmp_path)

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(QsepError, match=r"vocals\.toml: cannot be written \(No space left on device\)"):
        save_preset(Preset("vocals", np.ones(32), MODEL), tmp_path)
    assert load_preset(path) == old
    assert [entry.name for entry in tmp_path.iterdir()] == ["vocals.toml"]


def test_saving_where_a_file_is_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "presets").write_text("")
    with pytest.raises(QsepError, match="cannot be written"):
        save_preset(Preset("a", np.zeros(32), MODEL), tmp_path / "presets")


def test_a_preset_too_large_to_be_read_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(QsepError, match="shorten"):
        save_preset(Preset("a", np.zeros(32), MODEL, "x" * MAX_BYTES), tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("content", "line", "says"),
    [
        (GOOD + "latnet = 1\n", 4, "unknown key 'latnet'; did you mean 'latent'?"),
        (GOOD + "zzz = 1\n", 4, "the keys are schema, model, latent, stems"),
        ('name = "vocals"\n' + GOOD, 1, "rename the file"),
        (GOOD.replace(LATENT, "latent = [1]"), 3, "latent has 1 numbers"),
        (GOOD.replace("0.5]", "nan]"), 3, "latent value 32 is NaN"),
        (GOOD.replace("0.5]", "1e39]"), 3, "latent value 32"),
        (GOOD.replace("0.5]", f"0x{'f' * 5000}]"), 3, "latent value 32"),
        (GOOD.replace("0.5]", '"x"]'), 3, "latent value 32 is text"),
        (GOOD.replace("0.5]", "1979-05-27]"), 3, "latent value 32 is a date"),
        (GOOD.replace(LATENT, "latent = 3"), 3, "latent is a whole number"),
        (GOOD.replace("schema = 1", "schema = 3"), 1, "update qsep-live"),
        (GOOD.replace("schema = 1", f"schema = 0x{'f' * 5000}"), 1, "update qsep-live"),
        (GOOD.replace("schema = 1", "schema = true"), 1, "write schema = 2"),
        (GOOD.replace("schema = 1", "schema = 1.0"), 1, "write schema = 2"),
        (GOOD.replace(f'"{MODEL}"', "12"), 2, "model is a whole number"),
        (GOOD.replace(MODEL, "xyz"), 2, "must be a fingerprint"),
        (GOOD + "# note\n\ndescription = []\n", 6, "description is a list"),
        (GOOD + 'description = """\nlatent = 1\n"""\neffects = 3\n', 7, "effects is a whole number"),
        (GOOD + 'description = "\\u001b"\n', 4, "U+001B"),
        (GOOD + "[provenance]\na = {b = 1}\n", 4, "provenance 'a' is a table"),
        (GOOD + f"[provenance]\na = 0x{'f' * 5000}\n", 4, "64-bit"),
        (GOOD + "provenance.x = 2020-01-01\n", 4, "provenance 'x' is a date"),
        (GOOD + "[stems]\nvocals = 1\n", 4, "stems came with schema 2: write schema = 2"),
        (GOOD.replace("schema = 1", "schema = 2") + "[stems]\nvocals = 1\n", 2, "not both"),
        ("schema = 2\nstems = 3\n", 2, "stems is a whole number"),
        ("schema = 2\n[stems]\n", 2, "stems is empty"),
        ("schema = 2\n[stems]\nvocals = true\n", 2, "the weight of stem 'vocals' is true or false"),
        ("schema = 2\n[stems]\nvocals = -1\n", 2, "the weight of stem 'vocals' is -1"),
        ("schema = 2\n[stems]\nvocals = nan\n", 2, "the weight of stem 'vocals' is nan"),
        ("schema = 2\n[stems]\nvocals = 0\nbass = 0.0\n", 2, "the weights of all stems are 0"),
        (f"schema = 2\n[stems]\nvocals = 0x{'f' * 5000}\n", 2, "the weight of stem 'vocals' is inf"),
        ('schema = 2\n[stems]\n"a\\nb" = 1\n', 2, "printable"),
        ("schema = 2\n[stems.vocals]\na = 1\n", 2, "the weight of stem 'vocals' is a table"),
        (GOOD + "[latent]\n", 4, "is not TOML"),
        ("schema = 1\nschema = 1\n", 2, "is not TOML"),
        ("schema = 1\nlatent = [\n", None, "is not TOML"),
        (b"schema = 1\n\xff\xfe = 2\n", 2, "is not UTF-8"),
    ],
)
def test_errors_name_the_line_and_what_would_be_right(content: str | bytes, line: int | None, says: str) -> None:
    message = refusal(content)
    assert says in message
    if line is not None:
        assert message.startswith(f"p/vocals.toml:{line}: ")


@pytest.mark.parametrize("key", ["schema", "model", "latent"])
def test_a_missing_key_is_named(key: str) -> None:
    kept = "\n".join(line for line in GOOD.splitlines() if not line.startswith(key))
    assert f"'{key}' is missing" in refusal(kept)


def test_an_empty_file_says_what_a_preset_needs() -> None:
    assert "a preset needs schema, and either model and latent, or stems" in refusal("")


def test_a_byte_order_mark_is_accepted() -> None:
    assert parse_preset(b"\xef\xbb\xbf" + GOOD.encode(), "a", "a.toml").latent[0] == 0.5


@pytest.mark.parametrize("name", ["a b", "", "a.b", "con"])
def test_a_file_name_that_is_no_preset_name(name: str) -> None:
    assert "cannot name a preset" in refusal(GOOD, name)


@pytest.mark.parametrize(
    "content",
    [
        "a = " + "[" * 20000,
        "a = " + "{a=" * 10000,
        "a." * 14000 + "a = 1",
        "a = " + "9" * 30000,
        "a = 1" + "0" * 300 + "e" + "9" * 300,
        "\n" * 30000 + "x = 1",
        "\n".join(f"k{i} = 1" for i in range(2500)),
        '"' + "x" * 30000 + '" = 1',
        "latent = 1\n" * 2500,
        "x = '''\n" + "zz =\n" * 5000 + "'''\nzz = 1\n",
        "\0" * 1000,
    ],
    ids=lambda content: repr(content[:12]),
)
def test_hostile_files_are_refused(content: str) -> None:
    assert len(content) <= MAX_BYTES
    refusal(content)


@settings(max_examples=300)
@given(st.binary(max_size=300) | st.text(max_size=300).map(lambda s: s.encode("utf-8", "surrogatepass")))
def test_random_bytes_are_refused(data: bytes) -> None:
    refusal(data)


@settings(max_examples=300)
@given(st.data())
def test_damaged_files_are_read_or_refused_but_never_more(data: st.DataObject) -> None:
    content = bytearray(GOOD.encode() + b'description = "x"\n[provenance]\nsongs = 3\n')
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content) - 1))
        content[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    try:
        read = parse_preset(bytes(content), "vocals", "p/vocals.toml")
    except QsepError:
        refusal(bytes(content))
        return
    assert read.latent.ndim == 1
    assert np.isfinite(read.latent).all()
    assert parse_preset(dump_preset(read).encode(), "vocals", "again") == read


toml_value = st.recursive(
    st.integers() | st.floats() | st.booleans() | st.text(max_size=8) | st.dates() | st.datetimes(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.fixed_dictionaries(
        {"schema": st.just(1) | toml_value, "model": st.just(MODEL) | toml_value, "latent": toml_value},
        optional=dict.fromkeys(("description", "effects", "provenance", "extra"), toml_value),
    )
    | st.fixed_dictionaries({"schema": st.just(2), "stems": toml_value, "extra": toml_value})
)
def test_valid_toml_of_wrong_types_is_refused(table: dict[str, Any]) -> None:
    refusal(tomli_w.dumps(table))


def test_files_that_are_no_files(tmp_path: Path) -> None:
    with pytest.raises(QsepError, match="no such file"):
        load_preset(tmp_path / "absent.toml")
    (tmp_path / "folder.toml").mkdir()
    with pytest.raises(QsepError, match="no such file"):
        load_preset(tmp_path / "folder.toml")


def test_a_huge_file_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "huge.toml"
    with path.open("wb") as file:
        file.truncate(2**33)
    with pytest.raises(QsepError, match="larger than 32 KiB"):
        load_preset(path)

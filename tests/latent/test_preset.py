"""Presets: what is accepted, what is refused, and the model they belong to."""

from __future__ import annotations

import dataclasses
import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qsep_live.errors import QsepError, UsageError
from qsep_live.latent.preset import Preset
from qsep_live.latent.preset_fields import PresetError, check_name

MODEL = "0123456789abcdef" * 4


def preset(**changes: Any) -> Preset:
    fields: dict[str, Any] = {"name": "vocals", "latent": np.arange(32, dtype=np.float32), "model": MODEL}
    return Preset(**(fields | changes))


def test_latent_is_a_read_only_float32_copy() -> None:
    source = np.arange(32, dtype=np.float64)
    made = preset(latent=source)
    source[0] = 99.0
    assert made.latent.dtype == np.float32
    assert made.latent[0] == 0.0
    with pytest.raises(ValueError, match="read-only"):
        made.latent[0] = 1.0
    with pytest.raises(dataclasses.FrozenInstanceError):
        made.name = "drums"  # type: ignore[misc]


def test_provenance_is_a_copy() -> None:
    source: dict[str, Any] = {"queries": ["a.wav"]}
    made = preset(provenance=source)
    source["queries"].append("b.wav")
    assert made.provenance == {"queries": ["a.wav"]}


def test_equality_is_by_value() -> None:
    assert preset() == preset()
    assert hash(preset()) == hash(preset())
    others = [
        preset(name="drums"),
        preset(latent=np.ones(32)),
        preset(model="f" * 64),
        preset(description="x"),
        preset(effects="hall"),
        preset(provenance={"n": 1}),
    ]
    assert all(preset() != other for other in others)
    assert preset() != "vocals"


def test_survives_the_way_into_a_spawned_process() -> None:
    made = preset(description="lead", provenance={"songs": 3, "queries": ["a", "b"]}, effects="hall")
    copy = pickle.loads(pickle.dumps(made))
    assert copy == made
    assert not copy.latent.flags.writeable


@pytest.mark.parametrize("name", ["a", "Hi-Hat_2", "808", "x" * 64])
def test_good_names(name: str) -> None:
    assert preset(name=name).name == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        "-v",
        "_v",
        "a b",
        "a,b",
        "a.b",
        "../a",
        "a/b",
        "a\\b",
        "ä",
        "a\n",
        "\x1b[2J",
        "x" * 65,
        "con",
        "LPT1",
    ],
)
def test_bad_names_are_usage_errors_on_one_line(name: str) -> None:
    with pytest.raises(UsageError) as caught:
        check_name(name)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("latent", "says"),
    [
        (np.zeros(1), "has 1 numbers"),
        ([], "has 0 numbers"),
        (np.zeros((1, 32)), "shape (1, 32)"),
        (np.zeros(32, complex), "complex"),
        (np.array(["1"] * 32), "must hold numbers"),
        ([0.0] * 31 + [float("nan")], "value 32 is NaN"),
        ([0.0] * 31 + [1e39], "value 32"),
        ([10**400] + [0] * 31, "value 1"),
        ([0.0, True] + [0.0] * 30, "value 2 is true or false"),
        (["1"] + [0.0] * 31, "value 1 is text"),
        ("x" * 32, "is text"),
        (None, "must be a list"),
    ],
)
def test_bad_latents(latent: Any, says: str) -> None:
    with pytest.raises(PresetError) as caught:
        preset(latent=latent)
    assert says in str(caught.value)
    assert caught.value.key == "latent"


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"model": ""}, "model"),
        ({"model": "abc"}, "model"),
        ({"model": "xyz" * 10}, "model"),
        ({"model": "a" * 129}, "model"),
        ({"model": "a" * 64 + "\n"}, "model"),
        ({"model": 12345678}, "model"),
        ({"description": "\x1b[2J"}, "description"),
        ({"description": "\ud800"}, "description"),
        ({"description": 3}, "description"),
        ({"effects": ""}, "effects"),
        ({"effects": "a\0b"}, "effects"),
        ({"provenance": [1]}, "provenance"),
        ({"provenance": {"a": {"b": 1}}}, "provenance"),
        ({"provenance": {"a": [[1]]}}, "provenance"),
        ({"provenance": {"a": float("inf")}}, "provenance"),
        ({"provenance": {"a": 2**63}}, "provenance"),
        ({"provenance": {"a": None}}, "provenance"),
        ({"provenance": {"\x07": 1}}, "provenance"),
        ({"provenance": {1: 1}}, "provenance"),
    ],
)
def test_bad_fields_name_their_key_on_one_line(changes: dict[str, Any], key: str) -> None:
    with pytest.raises(PresetError) as caught:
        preset(**changes)
    assert caught.value.key == key
    assert str(caught.value).isprintable()


def test_fingerprint_is_compared_without_case() -> None:
    assert preset(model=MODEL.upper()).model == MODEL
    preset().require_model(MODEL)
    preset().require_model(MODEL.upper())


def test_another_model_is_refused_with_what_to_do() -> None:
    with pytest.raises(UsageError) as caught:
        preset().require_model("fedcba98" * 8)
    message = str(caught.value)
    for part in ("'vocals'", "01234567", "fedcba98", "qsep-live presets new vocals --query"):
        assert part in message
    assert MODEL not in message
    assert message.isprintable()


def test_models_that_begin_alike_are_shown_as_far_as_they_differ() -> None:
    with pytest.raises(UsageError, match=r"model 0123456789abcdef, .* 0123456789ffffff is"):
        preset().require_model("0123456789" + "f" * 54)


def test_a_latent_has_as_many_numbers_as_its_model() -> None:
    other = preset(latent=np.ones(48))
    other.require_model(MODEL, 48)
    with pytest.raises(UsageError, match=r"'vocals' has 48 numbers, but a latent of its model has 32: make it again"):
        other.require_model(MODEL)
    with pytest.raises(UsageError, match="32 numbers, but a latent of its model has 48"):
        preset().beside(other)


@given(st.text(max_size=200))
def test_any_other_fingerprint_is_one_printable_line(fingerprint: str) -> None:
    with pytest.raises(QsepError) as caught:
        preset().require_model(fingerprint)
    assert str(caught.value).isprintable()


STEMS = ("drums", "bass", "other", "vocals")


def of_stems(name: str = "band", **weights: float) -> Preset:
    return Preset(name, np.array(list(weights.values())), stems=tuple(weights))


def test_weights_of_stems_are_brought_to_the_sphere() -> None:
    made = of_stems(vocals=3, drums=4)
    np.testing.assert_array_equal(made.latent, np.array([0.6, 0.8], np.float32))
    assert (made.model, made.stems, made.kind) == ("", ("vocals", "drums"), "stems vocals, drums")
    assert not made.latent.flags.writeable
    assert made == of_stems(vocals=30, drums=40)
    assert made != of_stems(vocals=3, bass=4)
    copy = pickle.loads(pickle.dumps(made))
    assert copy == made
    assert hash(copy) == hash(made)


@given(st.lists(st.floats(0, 1e300), min_size=1, max_size=6).filter(any))
def test_normalising_again_changes_no_bit(weights: list[float]) -> None:
    names = tuple(f"stem {i}" for i in range(len(weights)))
    once = Preset("x", np.array(weights), stems=names)
    assert np.linalg.norm(once.latent.astype(np.float64)) == pytest.approx(1.0, abs=1e-6)
    assert (once.latent >= 0).all()
    assert Preset("x", once.latent, stems=names).latent.tobytes() == once.latent.tobytes()


@pytest.mark.parametrize(
    ("latent", "stems", "says"),
    [
        ([1.0, -0.5], ("a", "b"), "the weight of stem 'b' is -0.5"),
        ([float("nan"), 1.0], ("a", "b"), "the weight of stem 'a' is nan"),
        ([1.0, float("inf")], ("a", "b"), "the weight of stem 'b' is inf"),
        ([0.0, -0.0], ("a", "b"), "all stems are 0"),
        ([1.0], ("a", "b"), "1 weights for 2 stems"),
        ([1.0, 1.0], ("a", "a"), "one name"),
        ([1.0], ("a\n",), "printable"),
        ([1.0], (" ",), "printable"),
        ([1.0], ("x" * 65,), "1 to 64"),
        ("no", ("a",), "is text"),
    ],
)
def test_bad_weights(latent: Any, stems: Any, says: str) -> None:
    with pytest.raises(PresetError) as caught:
        Preset("x", latent, stems=stems)
    assert says in str(caught.value)
    assert caught.value.key == "stems"
    assert str(caught.value).isprintable()


def test_a_model_or_stems_but_not_both() -> None:
    with pytest.raises(PresetError, match="not both"):
        preset(stems=("a",), latent=[1.0])


def test_a_preset_belongs_to_names_and_not_to_their_order() -> None:
    band = of_stems(vocals=3, drums=4)
    fitted = band.for_stems(STEMS)
    np.testing.assert_array_equal(fitted.latent, np.array([0.8, 0, 0, 0.6], np.float32))
    assert (fitted.name, fitted.stems) == ("band", STEMS)
    assert fitted.for_stems(STEMS) is fitted
    np.testing.assert_array_equal(band.for_stems(("drums", "vocals")).latent, np.array([0.8, 0.6], np.float32))


@pytest.mark.parametrize(
    ("act", "says"),
    [
        (
            lambda: of_stems(guitar=1).for_stems(STEMS, "htdemucs"),
            "needs the stem 'guitar', but htdemucs has drums, bass, other, vocals",
        ),
        (
            lambda: preset().for_stems(STEMS, "htdemucs"),
            "'vocals' is a latent of model 01234567, but htdemucs takes weights of stems (drums, bass",
        ),
        (
            lambda: of_stems(drums=1).require_model(MODEL),
            "'band' holds weights of stems (drums), but model 01234567 takes a latent",
        ),
        (
            lambda: of_stems(drums=1).beside(preset()),
            "'vocals' (latent of 01234567) and 'band' (stems drums) cannot be on one path",
        ),
        (
            lambda: preset().beside(of_stems(drums=1)),
            "'band' (stems drums) and 'vocals' (latent of 01234567) cannot be on one path",
        ),
    ],
)
def test_what_does_not_fit_says_what_would(act: Any, says: str) -> None:
    with pytest.raises(UsageError) as caught:
        act()
    assert says in str(caught.value)
    assert str(caught.value).isprintable()

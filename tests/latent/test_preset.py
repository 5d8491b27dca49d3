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
from qsep_live.latent.preset import Preset, PresetError, check_name

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
        (np.zeros(31), "shape (31,)"),
        (np.zeros((1, 32)), "shape (1, 32)"),
        (np.zeros(32, complex), "complex"),
        (np.array(["1"] * 32), "must hold numbers"),
        ([0.0] * 33, "33 numbers, must have 32"),
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


@given(st.text(max_size=200))
def test_any_other_fingerprint_is_one_printable_line(fingerprint: str) -> None:
    with pytest.raises(QsepError) as caught:
        preset().require_model(fingerprint)
    assert str(caught.value).isprintable()

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qsep_live.errors import UsageError
from qsep_live.training.recipe import RECIPES
from qsep_live.training.settings import difference, settings_of


def test_the_papers_own_settings() -> None:
    flat = settings_of("paper").flat()
    assert (flat["losses.reconstruction"], flat["losses.kl"], flat["losses.latent"]) == (10.0, 0.01, 0.5)
    assert (flat["batch"], flat["learning_rate"], flat["optimiser.betas"]) == (5, 2e-4, (0.5, 0.999))
    assert flat["schedule.kind"] == "steps"
    assert (flat["schedule.hold"], flat["schedule.drop"], flat["schedule.every"]) == (200_000, 5e-6, 10_000)
    assert math.isinf(flat["optimiser.clip"])
    assert flat["optimiser.weight_decay"] == 0.0


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_builds_networks_of_one_latent(name: str) -> None:
    model = settings_of(name).networks()
    assert model.separator.config.latent == model.query_net.config.latent == 32


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("losses.kl=0.02", "losses.kl", 0.02),
        ("losses.kl = 1", "losses.kl", 1.0),
        ("batch=3", "batch", 3),
        ("separator.widths=2,2,4,4,4,4", "separator.widths", (2, 2, 4, 4, 4, 4)),
        ("separator.final_adain=false", "separator.final_adain", False),
        ("mixing.gain=0.5, 1", "mixing.gain", (0.5, 1.0)),
        ("optimiser.clip=inf", "optimiser.clip", math.inf),
        ("schedule.kind=cosine", "schedule.kind", "cosine"),
    ],
)
def test_one_setting_changes_and_no_other(text: str, name: str, value: object) -> None:
    before = settings_of("paper")
    after = before.changed([text])
    assert after.flat()[name] == value
    assert type(after.flat()[name]) is type(before.flat()[name])
    assert {key: each for key, each in after.flat().items() if key != name} == {
        key: each for key, each in before.flat().items() if key != name
    }


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("losses.lk=1", "did you mean 'losses.kl'?"),
        ("kl=1", "did you mean 'losses.kl'?"),
        ("xyzzy=1", "there are separator.widths"),
        ("losses=1", "there is no setting"),
        ("losses.kl", "write NAME=VALUE"),
        ("losses.kl=much", "must be a number"),
        ("losses.kl=nan", "must be a number"),
        ("batch=2.5", "must be a whole number"),
        ("separator.final_adain=1", "true or false"),
        ("schedule.kind=linear", "there are cosine, steps"),
        ("losses.kind=l2", "there are magnitude, sdr"),
        ("mixing.augment.sped=1", "did you mean 'mixing.augment.speed'"),
    ],
)
def test_what_cannot_be_meant(text: str, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        settings_of("paper").changed([text])
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_recipe_that_there_is_not() -> None:
    with pytest.raises(UsageError, match="no recipe 'shiped'; did you mean 'shipped'"):
        settings_of("shiped")
    with pytest.raises(UsageError, match=", ".join(RECIPES)):
        settings_of("xyzzy")


@given(st.text(max_size=30))
def test_any_other_text_is_a_usage_error_of_one_line(text: str) -> None:
    settings = settings_of("paper")
    if text.partition("=")[0].strip() in settings.flat():
        return
    with pytest.raises(UsageError) as caught:
        settings.changed([text])
    assert len(str(caught.value).splitlines()) == 1


def test_difference_names_the_first() -> None:
    assert difference({"a": 1, "b": 2}, {"a": 1, "b": 2}) == ""
    assert difference({"a": 1, "b": 2}, {"a": 1, "b": 3}) == "b is 3 there and 2 here"
    assert difference({"a": 1, "b": 2}, {"a": 1}) == "b is None there and 2 here"

from __future__ import annotations

from pathlib import Path

import pedalboard
import pytest

from qsep_live.errors import QsepError
from qsep_live.rack.effects import EFFECTS, Effect, create, find


@pytest.fixture(params=sorted(EFFECTS))
def effect(request: pytest.FixtureRequest) -> Effect:
    return EFFECTS[request.param]


def needed(effect: Effect, impulse_response: Path) -> dict[str, str]:
    return {o.name: str(impulse_response) for o in effect.options if o.default is None}


def test_defaults_are_pedalboards_own(effect: Effect, impulse_response: Path) -> None:
    own = create(effect, needed(effect, impulse_response))
    plain = (
        getattr(pedalboard, effect.type)(str(impulse_response))
        if effect.type == "Convolution"
        else getattr(pedalboard, effect.type)()
    )
    assert type(own) is type(plain)
    for parameter in effect.parameters:
        assert getattr(own, parameter.name) == pytest.approx(getattr(plain, parameter.name))
        assert getattr(own, parameter.name) == pytest.approx(parameter.default)
    for option in effect.options:
        if option.default is not None:
            assert getattr(own, option.name) == getattr(plain, option.name)


def test_pedalboard_takes_both_ends_of_every_range(effect: Effect, impulse_response: Path) -> None:
    own = create(effect, needed(effect, impulse_response))
    for parameter in effect.parameters:
        for value in (parameter.minimum, parameter.maximum):
            setattr(own, parameter.name, value)
            assert getattr(own, parameter.name) == pytest.approx(value)
    for option in effect.options:
        if option.kind == "number":
            create(effect, {option.name: option.minimum})
            create(effect, {option.name: option.maximum})
        for choice in option.choices:
            create(effect, {option.name: choice})


def test_every_pedalboard_effect_is_offered_or_refused() -> None:
    skipped = {
        "Plugin",
        "PluginContainer",
        "Pedalboard",
        "Chain",
        "Mix",
        "ExternalPlugin",
        "VST3Plugin",
        "AudioUnitPlugin",
    }
    kinds = {
        n
        for n, k in vars(pedalboard).items()
        if n[0] != "_" and isinstance(k, type) and issubclass(k, pedalboard.Plugin)
    }
    assert kinds - skipped - set(EFFECTS) == {"PitchShift", "IIRFilter", "GSMFullRateCompressor"}


@pytest.mark.parametrize("name", ["HighShelfFilter", "highshelffilter", "high_shelf_filter", "HIGH-SHELF filter"])
def test_names_in_any_style(name: str) -> None:
    assert find(name).type == "HighShelfFilter"


def test_a_file_that_is_no_sound(tmp_path: Path) -> None:
    bad = tmp_path / "impulse.wav"
    bad.write_text("no sound")
    with pytest.raises(QsepError, match=r"cannot read the sound file .*impulse\.wav"):
        create(EFFECTS["Convolution"], {"impulse_response": str(bad)})

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pedalboard
import pytest
from numpy.typing import NDArray

from qsep_live.rack.effects import EFFECTS
from qsep_live.rack.rack import Rack

RATE = 44100
Sound = NDArray[np.float32]
MOVING = [(kind, p.name) for kind, effect in EFFECTS.items() for p in effect.parameters]

# A gate that opens in 1 ms clicks by itself when the threshold meets the tone.
SETTINGS = {"NoiseGate": {"attack_ms": 20.0}}


def tone() -> Sound:
    """Two partials that fade in, so that nothing but the effect can click."""
    t = np.arange(RATE * 6 // 10) / RATE
    wave = 0.3 * np.sin(2 * np.pi * 221 * t) + 0.2 * np.sin(2 * np.pi * 557 * t)
    wave *= np.minimum(1, t / 0.1) ** 2
    return np.stack([wave, 0.5 * wave], axis=1).astype(np.float32)


def click(sound: Sound) -> float:
    return float(np.abs(np.diff(sound, 2, axis=0)).max())


def run(rack: Rack, name: str, value_at: Callable[[int], float]) -> Sound:
    sound, out = tone(), []
    rack.set(name, value_at(0))
    rack.reset()
    for number, start in enumerate(range(0, len(sound), 64)):
        rack.set(name, value_at(number))
        out.append(rack.process(sound[start : start + 64]))
    return np.concatenate(out)


@pytest.mark.parametrize(("kind", "name"), MOVING)
def test_moving_a_parameter_clicks_no_more_than_leaving_it(
    one_effect: Callable[..., Rack], kind: str, name: str
) -> None:
    rack = one_effect(kind, **SETTINGS.get(kind, {}))
    full = f"rack.{kind.lower()}.{name}"
    parameter = next(p for p in rack.parameters if p.name == full)
    still = 0.0
    for travel in (0.0, 0.5, 1.0):
        still = max(still, click(run(rack, full, lambda _, t=travel: parameter.from_travel(t))))
    jumping = run(rack, full, lambda n: parameter.maximum if (n // 60) % 2 else parameter.minimum)
    sweeping = run(rack, full, lambda n: parameter.from_travel(0.5 + 0.5 * np.sin(n / 20)))
    assert rack.faults == {}
    assert click(jumping) < 1.5 * still + 0.003
    assert click(sweeping) < 1.5 * still + 0.003


@pytest.mark.parametrize(("kind", "name", "values"), [("Gain", "gain_db", (-30, 10)), ("Delay", "mix", (0, 1))])
def test_the_measure_hears_the_click_of_a_bare_effect(kind: str, name: str, values: tuple[float, float]) -> None:
    """Guards the test above: the same jump on the pedalboard object itself is far outside its bound."""
    effect = getattr(pedalboard, kind)()
    sound, out = tone().T, []
    for number, start in enumerate(range(0, RATE // 2, 64)):
        setattr(effect, name, values[(number // 60) % 2])
        out.append(effect.process(np.ascontiguousarray(sound[:, start : start + 64]), RATE, reset=False))
    assert click(np.concatenate(out, axis=1).T) > 0.1


@pytest.mark.parametrize("block", [5, 64, 512])
def test_a_value_is_reached_and_stays(one_effect: Callable[..., Rack], block: int) -> None:
    rack = one_effect("Gain")
    ones = np.ones((block, 2), np.float32)
    rack.process(ones)
    rack.set("rack.gain.gain_db", -20.0)
    for _ in range(RATE // 10 // block):
        out = rack.process(ones)
    assert out == pytest.approx(0.1, rel=1e-5)


def test_a_delays_time_moves_with_its_memory_kept(one_effect: Callable[..., Rack]) -> None:
    rack = one_effect("Delay", delay_seconds=0.5, mix=1.0)
    pulse = np.zeros((RATE, 2), np.float32)
    pulse[1000] = 1.0
    out = []
    for start in range(0, RATE, 100):
        if start == 5000:
            rack.set("rack.delay.delay_seconds", 0.25)
        out.append(rack.process(pulse[start : start + 100]))
    assert np.flatnonzero(np.concatenate(out)[:, 0] > 0.5).tolist() == [1000 + RATE // 4 + rack.latency]


def test_filters_stay_below_half_the_rate(make_rack: Callable[..., Rack]) -> None:
    rack = make_rack('[[effect]]\ntype = "LowpassFilter"\n', rate=16000)
    name = "rack.lowpassfilter.cutoff_frequency_hz"
    assert rack.parameters[0].maximum == pytest.approx(7840)
    rack.set(name, 20000.0)
    assert rack.values[name] == pytest.approx(7840)

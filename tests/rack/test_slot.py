from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from qsep_live.rack.rack import Rack
from qsep_live.rack.twin import TwinSource

Sound = NDArray[np.float32]
RATE = 44100
CHAIN = """
[[effect]]
type = "BrickwallLimiter"
name = "bad"
[effect.parameters]
ceiling_db = 0
[[effect]]
type = "Invert"
"""


class Broken:
    """Stands where a pedalboard object was and goes wrong after some calls."""

    def __init__(self, real: Any, wrong: Callable[[Sound], Any], good: int = 20) -> None:
        self.real, self.wrong, self.good = real, wrong, good

    def process(self, x: Sound, rate: float, **options: Any) -> Any:
        self.good -= 1
        return self.real.process(x, rate, **options) if self.good >= 0 else self.wrong(x)

    def reset(self) -> None:
        self.real.reset()


def explode(x: Sound) -> Any:
    raise RuntimeError("out of\nmemory")


def break_effect(rack: Rack, wrong: Callable[[Sound], Any]) -> None:
    source = rack.slots[0].source
    assert isinstance(source, TwinSource)
    for copy in source._copies:
        for lane in copy:
            lane.effect = Broken(lane.effect, wrong)


def tone(frames: int) -> Sound:
    """220.5 Hz: a multiple of 200 frames can be played again without a step."""
    wave = 0.2 * np.sin(2 * np.pi * np.arange(frames) / 200)
    return np.stack([wave, wave], axis=1).astype(np.float32)


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        (explode, "RuntimeError: out of memory"),
        (lambda x: np.full_like(x, np.nan), "not finite"),
        (lambda x: np.full_like(x, np.inf), "not finite"),
        (lambda x: x[:1].copy(), "shape (1, 102)"),
        (lambda x: np.zeros((2, 5000), np.float32), "shape (2, 5000)"),
        (lambda x: x[0], "shape (102,)"),
        (lambda x: None, "AttributeError"),
        (lambda x: x[:, :0], "keeps returning fewer"),
    ],
)
def test_a_failing_effect_is_left_out_and_the_sound_goes_on(
    make_rack: Callable[..., Rack], play: Callable[..., Sound], wrong: Callable[[Sound], Any], text: str
) -> None:
    rack = make_rack(CHAIN, max_block=102)
    break_effect(rack, wrong)
    sound = tone(30000)
    out = play(rack, sound, [102])
    assert list(rack.faults) == ["bad"]
    assert text in rack.faults["bad"]
    assert "\n" not in rack.faults["bad"]
    assert np.isfinite(out).all()
    # The effects after it still work, and nothing is out of step: the inverted input, as late as before.
    assert np.array_equal(out[15000:], -sound[15000 - rack.latency : 30000 - rack.latency])


@pytest.mark.parametrize("wrong", [explode, lambda x: np.full_like(x, np.nan)])
def test_the_step_to_dry_does_not_click(
    make_rack: Callable[..., Rack], play: Callable[..., Sound], wrong: Callable[[Sound], Any]
) -> None:
    rack = make_rack('[[effect]]\ntype = "Gain"\n[effect.parameters]\ngain_db = -40\n')
    break_effect(rack, wrong)
    out = play(rack, tone(30000), [100])[500:]
    assert list(rack.faults) == ["gain"]
    assert np.abs(np.diff(out, axis=0)).max() < 0.02


def late(seconds: float, at: range) -> Callable[[Sound], Sound]:
    """Takes ``seconds`` for each of the blocks ``at``, counted from the first call, and changes nothing."""
    calls = itertools.count()

    def process(x: Sound) -> Sound:
        if next(calls) in at:
            time.sleep(seconds)
        return x.copy()

    return process


@pytest.mark.parametrize(
    ("patience", "seconds", "at", "fault"),
    [
        (0.05, 0.012, range(1000), "takes longer than the sound lasts"),
        (0.05, 0.012, range(0, 1000, 10), ""),  # the blocks between make good for it
        (0.25, 0.3, range(1), ""),  # one stall, however long
        (math.inf, 0.012, range(10), ""),  # offline
    ],
)
def test_an_effect_that_cannot_keep_up_is_left_out(
    make_rack: Callable[..., Rack], patience: float, seconds: float, at: range, fault: str
) -> None:
    rack = make_rack('[[effect]]\ntype = "Invert"\n', patience=patience)
    slow = late(seconds, at)
    for slot in rack.slots:
        for lane in slot.source._copies[0]:  # type: ignore[attr-defined]
            lane.effect = Broken(lane.effect, slow, good=0)
    sound = tone(30 * 200)
    for start in range(0, len(sound), 200):
        began = time.perf_counter()
        rack.process(sound[start : start + 200])
        # As live: the next block comes when it is due, or at once if that was missed.
        time.sleep(max(0.0, 200 / RATE - (time.perf_counter() - began)))
    assert rack.faults.get("invert", "") == fault


def test_reset_keeps_a_fault(make_rack: Callable[..., Rack], play: Callable[..., Sound]) -> None:
    rack = make_rack(CHAIN)
    break_effect(rack, explode)
    sound = tone(6000)
    play(rack, sound, [100])
    rack.reset()
    out = play(rack, sound, [100])
    assert list(rack.faults) == ["bad"]
    assert np.array_equal(out[rack.latency :], -sound[: -rack.latency])


def test_bypass_is_the_input_in_step(make_rack: Callable[..., Rack], play: Callable[..., Sound]) -> None:
    rack = make_rack('[[effect]]\ntype = "BrickwallLimiter"\nname = "top"\n[effect.parameters]\nceiling_db = -20\n')
    sound = tone(30000)
    play(rack, sound, [256])
    rack.set("rack.top.bypass", 1.0)
    out = play(rack, sound, [256])
    assert np.array_equal(out[5000:], sound[5000 - rack.latency : 30000 - rack.latency])
    rack.set("rack.top.bypass", 0.0)
    back = play(rack, sound, [256])
    assert np.abs(back[5000:]).max() < 0.11
    assert np.abs(np.diff(np.concatenate([out, back])[5000:], 2, axis=0)).max() < 0.01


def test_a_rack_may_start_bypassed(make_rack: Callable[..., Rack], play: Callable[..., Sound]) -> None:
    rack = make_rack('[[effect]]\ntype = "Reverb"\nbypass = true\n')
    sound = tone(3000)
    assert np.array_equal(play(rack, sound, [64])[rack.latency :], sound[: -rack.latency])

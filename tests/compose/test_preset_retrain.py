from __future__ import annotations

import numpy as np
import pytest
import torch

from qsep_live.compose.emotions import DEFAULT, EMOTIONS
from qsep_live.compose.preset_actor import ActorCritic, Asked
from qsep_live.compose.preset_retrain import WINDOWS, emotion_shift, windows_of
from qsep_live.compose.preset_search import GradientSearch, RandomSearch
from qsep_live.compose.reality import Reality
from qsep_live.dsp.grid import SEGMENT
from qsep_live.errors import QsepError


def test_emotions_are_relative_to_each_other() -> None:
    shifts = np.array([emotion_shift(DEFAULT, name) for name in EMOTIONS])
    np.testing.assert_allclose(shifts.mean(axis=0), 0.0, atol=1e-9)
    bright, dark = emotion_shift(DEFAULT, "bright"), emotion_shift(DEFAULT, "dark")
    assert bright.pitch > 0 > dark.pitch
    assert emotion_shift(DEFAULT, "bright", 0.5).pitch == pytest.approx(bright.pitch / 2)


def test_reality_is_the_distance_to_the_nearest() -> None:
    real = np.eye(4, 32, dtype=np.float32)
    reality = Reality(real)
    np.testing.assert_allclose(reality.measure(real), 0.0)
    assert reality.limit == pytest.approx(1.0)
    assert float(reality.measure(real[:1] + 3.0 * np.eye(5, 32, dtype=np.float32)[4:])[0]) == pytest.approx(3 / 2**0.5)


def test_windows_leave_silence_out_and_repeat_what_is_short() -> None:
    noise = np.random.default_rng(1).standard_normal((SEGMENT * 20, 2)).astype(np.float32)
    noise[SEGMENT * 10 :] = 0.0
    found = windows_of(noise, "x")
    assert found.shape == (WINDOWS, 2, SEGMENT)
    assert (np.abs(found).max(axis=(1, 2)) > 0).all()
    short = windows_of(noise[:3000], "x")
    assert short.shape == (1, 2, SEGMENT)
    np.testing.assert_array_equal(short[0, :, 3000:6000].T, noise[:3000])


def test_windows_of_nothing_is_an_error() -> None:
    with pytest.raises(QsepError, match=r"song\.wav is silent"):
        windows_of(np.zeros((SEGMENT, 1), np.float32), "song.wav")
    with pytest.raises(QsepError, match="shorter than a frame"):
        windows_of(np.ones((1023, 1), np.float32), "song.wav")


def test_the_actor_reaches_a_condition_that_can_be_reached() -> None:
    """In place of the Separator a known function: the actor has to find its way with no more than it is told."""
    torch.manual_seed(2)
    real = torch.randn(40, 32)
    ways = torch.randn(2, 32) / 32**0.5
    ways[1] -= (ways[1] @ ways[0]) / (ways[0] @ ways[0]) * ways[0]

    def ask(latents: torch.Tensor) -> Asked:
        inside = latents @ ways.T
        slope = (1.0 - torch.tanh(inside / 2) ** 2)[:, :, None] * ways / 2
        return Asked(latents, torch.tanh(inside / 2), slope)

    target = torch.tensor([0.3, -0.25])
    way = float(torch.linalg.vector_norm(target))
    begun = ask(real[:1]).condition
    searches = ((GradientSearch(real[0], begun[0] + target, 1.0), 0.2), (RandomSearch(real[0], 8.0, 1), 0.9))
    for search, share in searches:
        found = torch.cat([search.round(ask, 4).condition for _ in range(12)])
        assert float(torch.linalg.vector_norm(found - begun - target, dim=1).min()) < share * way
    pair = ActorCritic(real[0], real, ask(real[:8]), target, 8.0, seed=1)
    begin = ask(real[:1]).condition
    for _ in range(12):
        asked = pair.round(ask, 4)
    gap = torch.linalg.vector_norm(asked.condition - begin - target, dim=1).mean()
    assert float(gap) < 0.2 * float(torch.linalg.vector_norm(target))
    again = ActorCritic(real[0], real, ask(real[:8]), target, 8.0, seed=1)
    for _ in range(12):
        same = again.round(ask, 4)
    torch.testing.assert_close(same.latents, asked.latents)

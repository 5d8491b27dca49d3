from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from qsep_live.compose.mel import BANDS, Array, Mel, mel_of
from qsep_live.compose.mel_net import MelConfig, MelNet
from qsep_live.compose.mel_pieces import Piece
from qsep_live.compose.mel_quality import Bands, Generated, generate
from qsep_live.compose.mel_train import fit_buffers


@pytest.fixture(scope="module")
def clip(band: Callable[[int, float], Array]) -> Mel:
    return mel_of(band(1, 6.0))


@pytest.fixture(scope="module")
def net(clip: Mel) -> MelNet:
    torch.manual_seed(1)
    made = MelNet(MelConfig(units=8, wide=8, narrow=8, components=1))
    fit_buffers(made, [Piece("a", 0, clip.db, clip.loudest)])
    return made.eval()


@pytest.fixture(scope="module")
def made(net: MelNet, clip: Mel) -> Generated:
    return generate(net, clip, 20.0)


def test_bands_are_apart_by_the_root_mean_square() -> None:
    one = Bands(np.zeros(BANDS, np.float32), np.ones(BANDS, np.float32))
    other = Bands(np.where(np.arange(BANDS) % 2, 3.0, 0.0).astype(np.float32), one.deviation + 2.0)
    assert one.apart(one) == (0.0, 0.0)
    assert one.apart(other) == pytest.approx((3.0 / np.sqrt(2.0), 2.0))


def test_every_whole_stretch_has_a_level(made: Generated) -> None:
    assert len(made.sound) == 20 * 22_050
    assert len(made.levels) == 2
    assert made.drift == made.levels[1] - made.levels[0]
    assert made.drawing > 0.0
    assert made.streaming > 0.0
    assert np.isnan(replace(made, levels=()).drift)


def test_levels_and_bands_are_those_of_the_sounds(
    band: Callable[[int, float], Array], clip: Mel, made: Generated
) -> None:
    def rms(sound: Array) -> float:
        return 10.0 * float(np.log10(np.mean(sound**2)))

    stretch = len(made.sound) // 2
    parts = (made.sound[:stretch], made.sound[stretch : 2 * stretch])
    for level, part in zip(made.levels, parts, strict=True):
        assert level == pytest.approx(rms(part) - rms(band(1, 6.0)), abs=2.0)
    for bands, mel in ((made.clip, clip), (made.made, made.mel)):
        loud = mel.db.mean(axis=0) > -50.0
        assert loud.any()
        assert np.allclose(bands.mean[loud], (mel.db.mean(axis=0) + 10.0 * np.log10(mel.loudest))[loud], atol=0.5)


def test_a_clip_that_repeats_has_equal_halves(net: MelNet, clip: Mel) -> None:
    twice = Mel(np.concatenate([clip.db, clip.db]), clip.loudest)
    assert generate(net, twice, 0.5).halves == pytest.approx((0.0, 0.0), abs=1e-4)
    risen = Mel(np.concatenate([clip.db, np.maximum(clip.db - 6.0, -80.0)]), clip.loudest)
    assert 4.0 < generate(net, risen, 0.5).halves[0] < 6.1

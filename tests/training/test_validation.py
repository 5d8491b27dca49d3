from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from qsep_live.dsp.grid import MODEL_RATE, SEGMENT
from qsep_live.nets.model import Model
from qsep_live.nets.patch_unet import PatchUNetConfig
from qsep_live.nets.query_net import QueryNet, QueryNetConfig
from qsep_live.nets.separator import SeparatorConfig
from qsep_live.training.data import CLASSES, Bank, Song
from qsep_live.training.validation import mean_latents, mixture_sdr, sdr, separate, validate

Z = np.zeros(32, np.float32)


class Constant(torch.nn.Module):
    """A Separator whose mask is the same everywhere, or what ``latent[0]`` says."""

    def __init__(self, gain: float | None) -> None:
        super().__init__()
        self.gain = gain
        self.config = SeparatorConfig()

    def forward(self, magnitude: Tensor, z: Tensor) -> Tensor:
        self.heard = magnitude.shape[1]
        gain = float(z[0, 0]) if self.gain is None else self.gain
        return torch.full_like(magnitude[:, :1], gain)


def masking(gain: float | None) -> Model:
    query_net = QueryNet(QueryNetConfig((2, 2, 2, 2, 2, 2), gru_units=4))
    return Model(Constant(gain), query_net)  # type: ignore[arg-type]


def noise(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, (1, count)).astype(np.float32)


@pytest.mark.parametrize("count", [5000, SEGMENT, 7 * MODEL_RATE, 7 * MODEL_RATE + 12_345])
@pytest.mark.parametrize("channels", [1, 2])
def test_a_mask_of_ones_gives_the_input_back(count: int, channels: int) -> None:
    sound = np.concatenate([noise(count, seed) for seed in range(channels)])
    out = separate(masking(1.0), sound, Z)
    assert out.shape == sound.shape
    np.testing.assert_allclose(out, sound, atol=1e-5)


def test_a_mask_scales() -> None:
    sound = noise(2 * MODEL_RATE)
    np.testing.assert_allclose(separate(masking(0.25), sound, Z), 0.25 * sound, atol=1e-5)
    assert not separate(masking(0.0), sound, Z).any()


def test_the_latent_reaches_the_separator() -> None:
    sound, z = noise(MODEL_RATE), Z.copy()
    z[0] = 0.5
    np.testing.assert_allclose(separate(masking(None), sound, z), 0.5 * sound, atol=1e-5)


@pytest.mark.parametrize("hearing", [1, 2])
def test_a_network_hears_as_many_channels_as_it_was_made_for(hearing: int) -> None:
    model = masking(1.0)
    model.separator.config = PatchUNetConfig(channels=hearing)
    for given in (1, 2):
        separate(model, np.repeat(noise(1000), given, axis=0), Z)
        assert model.separator.heard == hearing  # type: ignore[comparison-overlap]


@pytest.mark.parametrize(
    ("estimate", "decibels"), [(0.9, 20.0), (1.1, 20.0), (0.0, 0.0), (-1.0, -6.0206), (0.5, 6.0206)]
)
def test_sdr_of_a_scaled_copy(estimate: float, decibels: float) -> None:
    reference = noise(10_000)
    assert sdr(reference, (estimate * reference).astype(np.float32)) == pytest.approx(decibels, abs=1e-3)


def test_sdr_at_the_ends() -> None:
    reference = noise(10_000)
    assert sdr(reference, reference) > 100
    assert math.isnan(sdr(np.zeros((1, 10_000), np.float32), reference))
    assert sdr(reference, reference + 0.1 * noise(10_000, 1)) == pytest.approx(20.0, abs=0.3)


def _levels(**level: float) -> Song:
    stems = {name: (level[name] * noise(2 * MODEL_RATE, k) * 32767) for k, name in enumerate(CLASSES)}
    return Song("song", {name: stem.astype(np.int16) for name, stem in stems.items()})


def test_doing_nothing_scores_the_ratio_of_a_class_to_the_others() -> None:
    song = _levels(vocals=0.2, drums=0.1, bass=0.1, other=0.05)
    scores = mixture_sdr([song])
    assert scores["vocals"] == pytest.approx(10 * np.log10(0.04 / 0.0225), abs=0.2)
    assert scores["other"] == pytest.approx(10 * np.log10(0.0025 / 0.06), abs=0.2)
    latents = dict.fromkeys(CLASSES, Z)
    passed = validate(masking(1.0), [song], latents)
    for name in CLASSES:
        assert passed[name] == pytest.approx(scores[name], abs=0.1)


def test_scores_are_medians_that_leave_silent_classes_out() -> None:
    songs = [_levels(vocals=v, drums=0.1, bass=0.1, other=0.1) for v in (0.0, 0.1, 0.2, 0.4)]
    scores = mixture_sdr(songs)
    single = [mixture_sdr([song])["vocals"] for song in songs[1:]]
    assert scores["vocals"] == pytest.approx(np.median(single))


def test_mean_latents_are_repeatable_and_one_a_class(model: Model, bank: Bank) -> None:
    first, again = mean_latents(model.eval(), [bank], 3), mean_latents(model, [bank], 3)
    assert set(first) == set(CLASSES)
    for name in CLASSES:
        assert first[name].shape == (32,)
        assert first[name].dtype == np.float32
        np.testing.assert_array_equal(first[name], again[name])
    assert not np.allclose(first["vocals"], first["bass"])

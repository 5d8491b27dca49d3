from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
import torch
from torch import Tensor

from qsep_live.dsp.grid import BINS, SEGMENT
from qsep_live.errors import UsageError
from qsep_live.nets.model import Model
from qsep_live.nets.patch_unet import PatchUNet, PatchUNetConfig
from qsep_live.nets.query_net import QueryNet, QueryNetConfig
from qsep_live.nets.spectrogram import mid_side
from qsep_live.training.losses import LossConfig, objective

SDR = LossConfig("sdr", 1.0)


@dataclass
class Sounds:
    mixture: Tensor
    target: Tensor
    query: Tensor
    stems: Tensor = field(default_factory=lambda: torch.zeros(0))
    named: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.int64))
    hidden: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.int64))


def sounds(seed: int = 0, batch: int = 2, channels: int = 1) -> Sounds:
    generator = torch.Generator().manual_seed(seed)
    target, rest = (0.2 * torch.randn(batch, channels, SEGMENT, generator=generator) for _ in range(2))
    return Sounds(target + rest, target, target)


def noise(batch: int = 2, latent: int = 32) -> Tensor:
    return torch.randn(2, batch, latent, generator=torch.Generator().manual_seed(7))


class Fixed(torch.nn.Module):
    """A Separator with one mask for everything, which keeps what it was given."""

    def __init__(self, gain: float, channels: int = 1) -> None:
        super().__init__()
        self.gain = torch.nn.Parameter(torch.tensor(gain))
        self.config = PatchUNetConfig(channels=channels)
        self.heard: list[Tensor] = []
        self.latents: list[Tensor] = []

    def forward(self, magnitude: Tensor, z: Tensor) -> Tensor:
        self.heard.append(magnitude)
        self.latents.append(z)
        return self.gain.expand(z.shape[0], 1, *magnitude.shape[2:])


def fixed(gain: float, channels: int = 1) -> Model:
    torch.manual_seed(0)
    return Model(Fixed(gain, channels), QueryNet(QueryNetConfig((2, 2, 2, 2, 2, 2), gru_units=4)))  # type: ignore[arg-type]


@pytest.mark.parametrize("config", [LossConfig(), SDR])
def test_losses_are_finite_and_every_weight_learns(model: Model, config: LossConfig) -> None:
    losses = objective(model, sounds(), config, 0, noise())
    assert all(math.isfinite(v) for v in (losses.total.item(), losses.reconstruction, losses.kl, losses.latent))
    assert losses.kl > 0
    assert losses.latent > 0
    losses.total.backward()
    for name, module in model.modules().items():
        for key, parameter in module.named_parameters():
            assert parameter.grad is not None, f"{name}.{key}"
            assert parameter.grad.isfinite().all(), f"{name}.{key}"
    # A bias before an instance norm has no effect; weights all do.
    weights = [p for m in model.modules().values() for k, p in m.named_parameters() if k.endswith("weight")]
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in weights)


def test_the_shipped_network_learns_from_stereo() -> None:
    torch.manual_seed(0)
    separator = PatchUNet(PatchUNetConfig((4, 6), channels=2, squeeze=16))
    model = Model(separator, QueryNet(QueryNetConfig((2, 2, 2, 2, 2, 2), gru_units=4)))
    # The dense layers begin at nothing and pass no gradient on before their first step.
    for _ in range(2):
        model.separator.zero_grad()
        objective(model, sounds(channels=2), SDR, 0, noise()).total.backward()
        with torch.no_grad():
            for parameter in separator.parameters():
                assert parameter.grad is not None
                parameter -= 0.1 * parameter.grad
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in separator.parameters())


@pytest.mark.parametrize("config", [LossConfig(reconstruction=3.0), LossConfig("sdr", 2.0, edge=8, edge_weight=2.0)])
def test_the_total_is_the_weighted_sum(model: Model, config: LossConfig) -> None:
    config = replace(config, kl=0.2, latent=0.7, latent_every=4)
    losses = objective(model, sounds(), config, 8, noise())
    expected = config.reconstruction * losses.reconstruction + 0.2 * losses.kl + 0.7 * 4 * losses.latent
    assert losses.total.item() == pytest.approx(expected, rel=1e-5)


def test_the_latent_term_is_taken_on_every_nth_step(model: Model) -> None:
    config = LossConfig(latent_every=3)
    taken = [objective(model, sounds(batch=1), config, step, noise(1)).latent > 0 for step in range(6)]
    assert taken == [True, False, False, True, False, False]


def test_the_magnitude_term_is_the_mean_of_what_is_missing() -> None:
    both = sounds()
    losses = objective(fixed(0.25), both, LossConfig(), 1, noise())
    target, mixture = (mid_side(each).abs() for each in (both.target, both.mixture))
    assert losses.reconstruction == pytest.approx((target - 0.25 * mixture).abs().mean().item(), rel=1e-5)


@pytest.mark.parametrize("channels", [1, 2])
def test_the_sdr_term_is_minus_the_sdr(channels: int) -> None:
    """With a mask that is the same everywhere the spectrum's SDR can be had from the spectra themselves."""
    both = sounds(channels=channels)
    losses = objective(fixed(0.5, channels), both, SDR, 1, noise())
    target, mixture = (mid_side(each).numpy() for each in (both.target, both.mixture))
    error = np.sum(np.abs(target - 0.5 * mixture) ** 2, axis=(1, 2, 3))
    power = np.sum(np.abs(target) ** 2, axis=(1, 2, 3))
    assert losses.reconstruction == pytest.approx(float(np.mean(10 * np.log10(error / power + 1e-3))), abs=1e-3)


def test_a_quiet_segment_counts_as_much_as_a_loud_one() -> None:
    loud = sounds()
    quiet = Sounds(0.05 * loud.mixture, 0.05 * loud.target, 0.05 * loud.query)
    one, other = (objective(fixed(0.5), each, SDR, 1, noise()).reconstruction for each in (loud, quiet))
    assert one == pytest.approx(other, abs=0.01)


def test_targets_that_hardly_sound_are_forgiven() -> None:
    """With a floor, how wrong a faint target comes out matters less than how wrong a plain one does."""
    both = sounds()
    faint = Sounds(both.mixture, 0.01 * both.target, both.target)
    config = LossConfig("sdr", 1.0, floor=0.03)
    slopes = {}
    for name, each in (("plain", both), ("faint", faint)):
        for floor, settings in (("without", SDR), ("with", config)):
            model = fixed(0.5)
            objective(model, each, settings, 1, noise()).total.backward()
            grad = model.separator.gain.grad  # type: ignore[union-attr]
            assert isinstance(grad, Tensor)
            slopes[name, floor] = abs(float(grad))
    assert slopes["faint", "with"] < slopes["faint", "without"]
    assert slopes["plain", "with"] > 0.7 * slopes["plain", "without"]


def test_the_right_edge_counts_more() -> None:
    both = sounds()
    # Wrong at the end alone: the mixture has nothing but the target before.
    both.mixture = both.target.clone()
    both.mixture[..., -4096:] += 0.5
    plain = objective(fixed(1.0), both, SDR, 1, noise()).reconstruction
    edge = objective(fixed(1.0), both, LossConfig("sdr", 1.0, edge=16, edge_weight=4.0), 1, noise()).reconstruction
    assert edge > plain + 2.0


def test_the_kl_term_is_that_of_gaussians(model: Model) -> None:
    both = sounds()
    losses = objective(model, both, LossConfig(), 0, noise())
    with torch.no_grad():
        mu, logvar = model.query_net(mid_side(both.query)[:, :1].abs())
        posterior = torch.distributions.Normal(mu, torch.exp(0.5 * logvar))
        expected = torch.distributions.kl_divergence(posterior, torch.distributions.Normal(0.0, 1.0)).sum(1).mean()
    assert losses.kl == pytest.approx(expected.item(), rel=1e-4)


def test_the_latent_comes_from_the_query() -> None:
    both, other = sounds(), sounds(seed=1)
    model = fixed(0.5)
    objective(model, both, LossConfig(latent_every=2), 1, noise())
    objective(model, Sounds(both.mixture, both.target, other.target), LossConfig(latent_every=2), 1, noise())
    first, second = model.separator.latents  # type: ignore[union-attr]
    assert not torch.equal(first, second)


@pytest.mark.parametrize("channels", [1, 2])
def test_what_the_separator_hears(channels: int) -> None:
    model = fixed(0.5, channels)
    objective(model, sounds(channels=2), LossConfig("sdr", latent_every=2), 1, noise())
    (heard,) = model.separator.heard  # type: ignore[misc]
    assert heard.shape[:3] == (2, channels, BINS)  # type: ignore[union-attr]


def test_a_perfect_mask_costs_almost_nothing_in_magnitude_and_reaches_the_ceiling_in_sdr() -> None:
    both = sounds()
    both.mixture = both.target
    assert objective(fixed(1.0), both, LossConfig(), 1, noise()).reconstruction == pytest.approx(0.0, abs=1e-7)
    assert objective(fixed(1.0), both, SDR, 1, noise()).reconstruction == pytest.approx(-30.0, abs=0.01)


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(UsageError, match="there are magnitude, sdr"):
        LossConfig("si-sdr")


def test_anchors_are_asked_for_with_their_latents_in_the_same_mixture() -> None:
    model, both = fixed(1.0), sounds()
    anchors = torch.randn(4, 32, generator=torch.Generator().manual_seed(1))
    both.stems = torch.stack([both.mixture, both.target, torch.zeros_like(both.target)], dim=1)
    both.named = torch.tensor([[0, 1, 3], [1, 2, 3]])
    found = objective(model, both, replace(SDR, kl=0.0, spread=0.0), 0, noise(), anchors)
    separator = model.separator
    assert isinstance(separator, Fixed)
    assert separator.heard[0].shape[0] == 2, "the mixture is encoded once"
    z = separator.latents[0].reshape(2, 4, 32)
    torch.testing.assert_close(z[:, 1:], anchors[both.named])
    torch.testing.assert_close(z[:, 0], model.query_net(mid_side(both.query).abs())[0])
    alone = [
        objective(model, Sounds(both.mixture, wanted, both.query), replace(SDR, kl=0.0), 0, noise()).reconstruction
        for wanted in (both.target, *both.stems.unbind(1))
    ]
    assert found.reconstruction == pytest.approx(sum(alone) / 4, abs=1e-4)


@pytest.mark.parametrize("spread", [0.0, 0.5, 1.0])
def test_the_spread_of_the_latent(spread: float) -> None:
    model, both = fixed(1.0), sounds()
    objective(model, both, replace(SDR, spread=spread), 0, noise())
    mu, logvar = model.query_net(mid_side(both.query).abs())
    separator = model.separator
    assert isinstance(separator, Fixed)
    torch.testing.assert_close(separator.latents[0], mu + spread * noise()[0] * torch.exp(0.5 * logvar))


def test_windows_are_the_newest_frames_in_turns() -> None:
    model, given = fixed(0.4), sounds()
    config = replace(SDR, latent=0.0, windows=(64, 256))
    losses = [objective(model, given, config, step, noise()).reconstruction for step in range(3)]
    heard = [each.shape[-1] for each in model.separator.heard]  # type: ignore[union-attr]
    assert heard == [64, 256, 64]
    assert losses[0] == losses[2]
    assert losses[1] == objective(model, given, replace(config, windows=(256,)), 0, noise()).reconstruction
    # What a mask of 0.4 leaves of this noise, whose target and rest are as loud: 0.6² + 0.4².
    assert losses[0] == pytest.approx(10 * math.log10(0.52), abs=0.1)
    np.testing.assert_array_equal(model.separator.heard[0], model.separator.heard[1][..., -64:])  # type: ignore[union-attr,index]


def test_windows_that_the_model_cannot_have_are_one_line(model: Model) -> None:
    for windows in ((96, 100), (512,)):
        with pytest.raises(UsageError, match=r"this model takes a multiple of \d+, up to 256"):
            LossConfig(latent=0.0, windows=windows).require_model(model)
    with pytest.raises(UsageError, match="latent regression encodes whole segments"):
        LossConfig(windows=(128,)).require_model(model)
    with pytest.raises(UsageError, match=r"losses\.windows is empty"):
        LossConfig(windows=())
    LossConfig(latent=0.0, windows=(128, 256)).require_model(model)
    LossConfig().require_model(model)


def test_hidden_frames_are_not_heard_and_asked_for_all_the_same() -> None:
    model, given = fixed(0.4), replace(sounds(), hidden=torch.tensor([0, 7]))
    losses = objective(model, given, SDR, 0, noise())
    heard = model.separator.heard[0]
    whole = mid_side(given.mixture).abs()
    torch.testing.assert_close(heard[0], whole[0])
    torch.testing.assert_close(heard[1, ..., :-7], whole[1, ..., :-7])
    assert not heard[1, ..., -7:].any()
    assert losses.reconstruction == objective(fixed(0.4), sounds(), SDR, 0, noise()).reconstruction

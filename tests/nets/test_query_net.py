"""The Query-net: shapes, and the paper's sizes by default."""

from __future__ import annotations

import pytest
import torch

from qsep_live.dsp.grid import BINS, FRAMES
from qsep_live.nets.query_net import QueryNet, QueryNetConfig, compress


@pytest.mark.parametrize(("batch", "frames"), [(1, FRAMES), (3, FRAMES), (1, 64)])
def test_it_gives_a_gaussian_of_32_dimensions(batch: int, frames: int) -> None:
    mu, logvar = QueryNet()(torch.rand(batch, 1, BINS, frames))
    assert mu.shape == logvar.shape == (batch, 32)
    assert torch.isfinite(mu).all()
    assert torch.isfinite(logvar).all()


def test_the_gru_takes_16_steps_of_channels_on_the_frequency_axis() -> None:
    net = QueryNet()
    convolved = net.conv(torch.rand(1, 1, BINS, FRAMES))
    assert convolved.shape == (1, 128, 8, 16)
    assert net.gru.input_size == 128 * 8
    assert [layer.out_channels for layer in net.conv if isinstance(layer, torch.nn.Conv2d)] == [
        32,
        32,
        64,
        64,
        128,
        128,
    ]
    assert {layer.kernel_size for layer in net.conv if isinstance(layer, torch.nn.Conv2d)} == {(4, 4)}


def test_silence_has_a_finite_latent() -> None:
    for power in (0.5, 1.0):
        mu, logvar = QueryNet(QueryNetConfig((2,) * 6, gru_units=4, input_power=power))(torch.zeros(1, 1, BINS, FRAMES))
        assert torch.isfinite(mu).all()
        assert torch.isfinite(logvar).all()


def test_compress_is_the_identity_for_the_paper_and_keeps_silence_differentiable() -> None:
    magnitude = torch.zeros(4, requires_grad=True)
    assert compress(magnitude, 1.0) is magnitude
    compress(magnitude, 0.5).sum().backward()
    assert torch.isfinite(magnitude.grad).all()

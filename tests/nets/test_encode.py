"""Segments of sound to latents, in batches of bounded size."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from qsep_live.dsp.grid import SEGMENT
from qsep_live.nets import encode as encode_module
from qsep_live.nets.encode import BATCH, encode
from qsep_live.nets.model import Model
from qsep_live.nets.spectrogram import magnitude


def noise(count: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((count, SEGMENT)).astype(np.float32)


def test_it_is_the_query_net_s_mean(model: Model) -> None:
    audio = noise(3)
    mu, _ = model.query_net(magnitude(torch.from_numpy(audio)))
    found = encode(model, audio)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, mu.numpy(), atol=1e-6)


def test_many_segments_are_taken_a_batch_at_a_time(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    model.query_net.register_forward_pre_hook(lambda _, inputs: sizes.append(inputs[0].shape[0]))
    monkeypatch.setattr(encode_module, "BATCH", 2)
    found = encode(model, noise(5))
    assert sizes == [2, 2, 1]
    assert BATCH <= 32
    np.testing.assert_allclose(found[4:], encode(model, noise(5)[4:]), atol=1e-5)


def test_no_segments_are_no_latents(model: Model) -> None:
    assert encode(model, noise(0)).shape == (0, 32)


@pytest.mark.parametrize("shape", [(SEGMENT,), (1, SEGMENT - 1), (1, 1, SEGMENT)])
def test_another_shape_is_refused(model: Model, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="must be"):
        encode(model, np.zeros(shape, np.float32))

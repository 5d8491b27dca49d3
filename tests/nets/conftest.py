"""Small networks with random weights, quick to run and to write."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from qsep_live.dsp.grid import BINS, FRAMES
from qsep_live.nets.model import Model, save_model
from qsep_live.nets.query_net import QueryNet, QueryNetConfig
from qsep_live.nets.separator import Separator, SeparatorConfig

WIDTHS = (4, 6, 8, 8, 10, 12)
SHIPPED = SeparatorConfig(WIDTHS, input_power=0.5, final_adain=False, adain_offset=True)
CONFIGS = {"paper": SeparatorConfig(WIDTHS), "shipped": SHIPPED, "shallow": SeparatorConfig((4, 6, 8), input_power=0.7)}


@pytest.fixture(params=sorted(CONFIGS))
def config(request: pytest.FixtureRequest) -> SeparatorConfig:
    return CONFIGS[request.param]


@pytest.fixture
def separator(config: SeparatorConfig) -> Separator:
    return random_separator(config)


@pytest.fixture
def model() -> Model:
    torch.manual_seed(1)
    query_net = QueryNet(QueryNetConfig((2, 2, 2, 2, 2, 2), gru_units=4, input_power=0.5))
    return Model(random_separator(SHIPPED), query_net, {"made": "by a test"}).eval()


@pytest.fixture
def checkpoint(model: Model, tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    save_model(model, path)
    return path


@pytest.fixture
def sound() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Magnitudes with loud and quiet places, and a latent."""
    random = np.random.default_rng(3)
    magnitude = 40.0 * random.random((BINS, FRAMES)) ** 6
    return magnitude.astype(np.float32), random.standard_normal(32).astype(np.float32)


def random_separator(config: SeparatorConfig) -> Separator:
    """A Separator in which every weight, biases too, is random."""
    torch.manual_seed(0)
    separator = Separator(config).eval().requires_grad_(False)
    for parameter in separator.parameters():
        if parameter.ndim == 1:
            parameter.normal_(0.5, 0.5)
    return separator

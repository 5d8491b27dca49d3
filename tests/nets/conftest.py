"""Small networks with random weights, quick to run and to write."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from qsep_live.dsp.grid import BINS, FRAMES
from qsep_live.nets.model import Model, build_separator, save_model
from qsep_live.nets.patch_unet import PatchUNet, PatchUNetConfig
from qsep_live.nets.query_net import QueryNet, QueryNetConfig
from qsep_live.nets.separator import Separator, SeparatorConfig

WIDTHS = (4, 6, 8, 8, 10, 12)
SHIPPED = SeparatorConfig(WIDTHS, input_power=0.5, final_adain=False, adain_offset=True)
CONFIGS = {"paper": SeparatorConfig(WIDTHS), "shipped": SHIPPED, "shallow": SeparatorConfig((4, 6, 8), input_power=0.7)}
PATCHES = {
    "patches of the middle": PatchUNetConfig((6, 8), (2, 8), 1, input_power=0.3, squeeze=64),
    "patches of both": PatchUNetConfig((8, 12, 16, 20), channels=2),
    "patches, deeper": PatchUNetConfig((6, 8, 10), channels=2, depth=3),
    "patches, a kernel a band": PatchUNetConfig((6, 8, 10), channels=2, depth=2, bands=4),
    "patches, a finer level": PatchUNetConfig((6, 8, 10), channels=2, bands=2, fine=3),
    "patches, a norm a channel": PatchUNetConfig((6, 8, 10), (2, 2), 2, depth=2, bands=2, per_channel=True),
    "patches, attention": PatchUNetConfig((6, 8, 64), channels=2, attention=2),
}


@pytest.fixture(params=sorted(CONFIGS))
def config(request: pytest.FixtureRequest) -> SeparatorConfig:
    return CONFIGS[request.param]


@pytest.fixture
def separator(config: SeparatorConfig) -> Separator | PatchUNet:
    return random_separator(config)


@pytest.fixture(params=[*sorted(CONFIGS), *sorted(PATCHES)])
def any_separator(request: pytest.FixtureRequest) -> Separator | PatchUNet:
    """Of either kind."""
    return random_separator({**CONFIGS, **PATCHES}[request.param])


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
    """Magnitudes of a middle and a side with loud and quiet places, and a latent."""
    random = np.random.default_rng(3)
    magnitude = 40.0 * random.random((2, BINS, FRAMES)) ** 6
    return magnitude.astype(np.float32), random.standard_normal(32).astype(np.float32)


def random_separator(config: SeparatorConfig | PatchUNetConfig) -> Separator | PatchUNet:
    """A network in which every weight is random, also those that begin as ones or zeros."""
    torch.manual_seed(0)
    separator = build_separator(config).eval().requires_grad_(False)
    for name, parameter in separator.named_parameters():
        if parameter.ndim == 1:
            parameter.normal_(0.5, 0.5)
        elif name in ("scale", "shift", "place") or "spread" in name:
            parameter.normal_(0.5, 0.1)
        elif not parameter.any():
            parameter.normal_(0.0, 0.1)
    return separator

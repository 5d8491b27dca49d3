"""BandStream, in torch and in numpy: step equals whole, no look into the future, z at any frame, and its file."""

from __future__ import annotations

import itertools
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from qsep_live.errors import QsepError, UsageError
from qsep_live.nets.band_stream import BandStream, BandStreamConfig, State, scan
from qsep_live.nets.band_stream_steps import BandStreamSteps, Memory
from qsep_live.nets.inference import BACKENDS, open_backend, open_network
from qsep_live.nets.inference_weights import band_table
from qsep_live.nets.model import Model, load_model, save_model
from qsep_live.nets.query_net import QueryNet, QueryNetConfig

CONFIG = BandStreamConfig(width=8, shared=1, steered=2, looks=(-1, 0, 2))
FRAMES = 24


@pytest.fixture(scope="module")
def network() -> BandStream:
    torch.manual_seed(0)
    return BandStream(CONFIG).eval().requires_grad_(False)


def heard(seed: int = 1, frames: int = FRAMES) -> Tensor:
    return torch.rand(2, CONFIG.channels, 512, frames, generator=torch.Generator().manual_seed(seed))


def asked(count: int = 2) -> Tensor:
    return torch.randn(count, CONFIG.latent, generator=torch.Generator().manual_seed(3))


@settings(deadline=None, max_examples=20)
@given(cuts=st.lists(st.integers(1, FRAMES - 1), max_size=5, unique=True), look=st.sampled_from(CONFIG.looks))
def test_step_equals_whole(network: BandStream, cuts: list[int], look: int) -> None:
    magnitude, z = heard(), asked(4)
    whole, last = network.stream(magnitude, z, look, {})
    state: State = {}
    pieces = []
    edges = [0, *sorted(cuts), FRAMES]
    for start, stop in itertools.pairwise(edges):
        piece, state = network.stream(magnitude[..., start:stop], z, look, state)
        pieces.append(piece)
    torch.testing.assert_close(torch.cat(pieces, dim=-1), whole, atol=1e-5, rtol=0)
    for name, value in last.items():
        torch.testing.assert_close(state[name], value, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("look", CONFIG.looks)
def test_what_comes_later_changes_no_gain(network: BandStream, look: int) -> None:
    magnitude, other = heard(), heard()
    other[..., FRAMES // 2 :] = heard(seed=2)[..., FRAMES // 2 :]
    one, _ = network.stream(magnitude, asked(), look, {})
    two, _ = network.stream(other, asked(), look, {})
    torch.testing.assert_close(one[..., : FRAMES // 2], two[..., : FRAMES // 2])
    assert not torch.allclose(one[..., FRAMES // 2 :], two[..., FRAMES // 2 :])


@pytest.mark.parametrize("look", CONFIG.looks)
def test_a_window_has_the_gains_of_its_own_frames(network: BandStream, look: int) -> None:
    told, _ = network.stream(heard(), asked(), look, {})
    window = network(heard(), asked(), look)
    assert window.shape == (2, 1, 512, FRAMES)
    for frame in (5, 10, FRAMES - 3):
        torch.testing.assert_close(window[..., frame], told[..., frame + look])


def test_several_latents_share_a_window(network: BandStream) -> None:
    z = asked(6)
    together = network(heard(), z)
    for index in range(6):
        alone = network(heard()[index // 3][None], z[index][None])
        torch.testing.assert_close(together[index], alone[0], atol=1e-5, rtol=1e-4)


def test_loud_and_quiet_music_have_the_same_gains(network: BandStream) -> None:
    torch.testing.assert_close(network(heard() * 64.0, asked()), network(heard() * 4.0, asked()), atol=2e-3, rtol=0)


def test_silence_and_what_follows_it_are_finite(network: BandStream) -> None:
    silence = torch.zeros(1, 2, 512, 12)
    mask, state = network.stream(silence, asked(1), 0, {})
    assert mask.isfinite().all()
    after, _ = network.stream(heard()[:1], asked(1), 0, state)
    assert after.isfinite().all()


def test_a_look_that_it_has_no_head_for(network: BandStream) -> None:
    with pytest.raises(ValueError, match="a look of 7"):
        network(heard(), asked(), 7)


def test_bands_fill_the_bins() -> None:
    assert sum(size * count for size, count in band_table()) == 512


def test_the_recurrence_is_the_sum_it_says_and_so_is_its_gradient() -> None:
    generator = torch.Generator().manual_seed(0)
    keep, fresh = torch.rand(2, 7, 3, generator=generator, dtype=torch.float64).requires_grad_().unbind(0)
    before = torch.randn(3, generator=generator, dtype=torch.float64)
    last, rows = before, []
    for each, more in zip(keep, fresh, strict=True):
        last = each * last + more
        rows.append(last)
    torch.testing.assert_close(scan(keep, fresh, before), torch.stack(rows))
    arguments = tuple(each.detach().clone().requires_grad_() for each in (keep, fresh, before))
    assert torch.autograd.gradcheck(scan, arguments)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory, network: BandStream) -> Path:
    path = tmp_path_factory.mktemp("models") / "stream.safetensors"
    save_model(Model(network, QueryNet(QueryNetConfig(channels=(4,) * 6, gru_units=4))), path, torch.float32)
    return path


def test_its_file_gives_the_same_network(checkpoint: Path, network: BandStream) -> None:
    loaded = load_model(checkpoint)
    assert loaded.separator.config == CONFIG
    torch.testing.assert_close(loaded.separator(heard(), asked()), network(heard(), asked()))


@pytest.mark.parametrize("backend", [each for each in BACKENDS if each != "auto"])
def test_nothing_runs_it_window_by_window(checkpoint: Path, backend: str) -> None:
    with pytest.raises(QsepError, match="keeps its state from frame to frame"):
        open_backend(checkpoint, "cpu", backend)


@pytest.mark.parametrize("latents", [1, 3])
def test_frame_by_frame_in_numpy_it_gives_the_same_gains(network: BandStream, latents: int) -> None:
    weights = {name: value.numpy() for name, value in network.state_dict().items()}
    steps, memory = BandStreamSteps(weights, asdict(CONFIG), "abc"), Memory()
    magnitude, z = heard()[:1], asked(latents)
    frames = [steps(magnitude[0, :, :, t].numpy(), z.numpy(), memory) for t in range(FRAMES)]
    told = torch.from_numpy(np.stack(frames, axis=-1))
    for head, look in enumerate(CONFIG.looks):
        whole, _ = network.stream(magnitude, z, look, {})
        torch.testing.assert_close(told[head], whole[:, 0], atol=1e-5, rtol=0)


def test_a_latent_that_changes_is_heard_at_the_very_frame(network: BandStream) -> None:
    weights = {name: value.numpy() for name, value in network.state_dict().items()}
    magnitude = heard()[0].numpy()
    one, other = asked(2).numpy()
    steps, memory, state = BandStreamSteps(weights, asdict(CONFIG), "abc"), Memory(), {}
    for frame in range(FRAMES):
        z = one if frame < 10 else other
        told = steps(magnitude[:, :, frame], z, memory)[1, 0]
        whole, state = network.stream(torch.from_numpy(magnitude[None, :, :, frame : frame + 1]),
                                      torch.from_numpy(z[None]), 0, state)  # fmt: skip
        np.testing.assert_allclose(told, whole[0, 0, :, 0].numpy(), atol=1e-5)


def test_a_checkpoint_opens_as_what_runs_it(checkpoint: Path) -> None:
    opened = open_network(checkpoint)
    assert isinstance(opened, BandStreamSteps)
    assert opened.looks == CONFIG.looks
    opened.warm_up()


@pytest.mark.parametrize("where", [{"device": "cuda"}, {"backend": "openvino"}])
def test_what_it_does_not_run_on(checkpoint: Path, where: dict[str, str]) -> None:
    with pytest.raises(UsageError, match="runs on --device cpu alone"):
        open_network(checkpoint, **where)


def test_shapes_that_it_is_not_given(checkpoint: Path) -> None:
    steps = open_network(checkpoint)
    with pytest.raises(ValueError, match="shapes"):
        steps(np.zeros((1, 512), np.float32), np.zeros(32, np.float32), Memory())  # type: ignore[call-arg]

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from qsep_live.compose.melody import BAR, FIRST_NOTE, STEPS, TOKENS
from qsep_live.compose.vae import MusicVae, VaeConfig, draw, kl
from qsep_live.compose.vae_file import load_vae, save_vae
from qsep_live.compose.vae_scores import note_f1
from qsep_live.errors import QsepError

SMALL = VaeConfig(embedding=8, encoder=12, latent=6, conductor=10, bar=7, decoder=14)


@pytest.fixture(scope="module")
def vae() -> MusicVae:
    torch.manual_seed(4)
    made = MusicVae(SMALL)
    with torch.no_grad():  # decisions far apart
        made.logits.weight.mul_(30)
        made.embed.weight.mul_(3)
    return made.eval()


@pytest.fixture(scope="module")
def latent() -> Tensor:
    return torch.randn(3, 6, generator=torch.Generator().manual_seed(2))


def test_free_running_is_teacher_forcing_on_its_own_tokens(vae: MusicVae, latent: Tensor) -> None:
    tokens = vae.generate(latent)
    assert tokens.shape == (3, STEPS)
    assert len(tokens.unique()) > 5
    assert torch.equal(vae.decode(latent, tokens).argmax(dim=2), tokens)


def test_expected_tokens_are_chances_that_sharpen_to_the_written_ones(vae: MusicVae, latent: Tensor) -> None:
    latent = latent.clone().requires_grad_(True)
    shares = vae.expected(latent)
    assert shares.shape == (3, STEPS, TOKENS)
    assert torch.allclose(shares.sum(dim=2), torch.ones(3, STEPS), atol=1e-5)
    (gradient,) = torch.autograd.grad(shares[:, :, FIRST_NOTE:].sum(), latent)
    assert (gradient.abs().sum(dim=1) > 0).all()
    sharp = vae.expected(latent, sharpness=1e4)
    # Nearly all: where two tokens are all but equally likely, the mean of both goes on elsewhere.
    assert (sharp.argmax(dim=2) == vae.generate(latent)).float().mean() > 0.9


def test_a_bar_depends_on_the_latent_and_its_own_past_alone(vae: MusicVae, latent: Tensor) -> None:
    tokens = vae.generate(latent)
    logits = vae.decode(latent, tokens)
    other = tokens.clone()
    other[:, 5 * BAR + 3] = (other[:, 5 * BAR + 3] + 7) % TOKENS
    changed = (vae.decode(latent, other) - logits).abs().amax(dim=(0, 2)) > 0
    assert changed.nonzero().flatten().tolist() == list(range(5 * BAR + 4, 6 * BAR))
    assert not torch.allclose(vae.decode(latent + 1.0, tokens), logits)


def test_a_hidden_past_is_no_help(vae: MusicVae, latent: Tensor) -> None:
    a, b = torch.zeros(3, STEPS, dtype=torch.long), torch.full((3, STEPS), 9)
    assert torch.equal(vae.decode(latent, a, keep=0.0), vae.decode(latent, b, keep=0.0))
    assert not torch.equal(vae.decode(latent, a), vae.decode(latent, b))


def test_drawn_tokens_depend_on_the_generator(vae: MusicVae, latent: Tensor) -> None:
    def drawn(seed: int) -> Tensor:
        return vae.generate(latent, 20.0, torch.Generator().manual_seed(seed))

    assert torch.equal(drawn(1), drawn(1))
    assert not torch.equal(drawn(1), drawn(2))


def test_kl_and_reparameterisation_are_a_gaussians() -> None:
    mean, log_variance = torch.tensor([[0.5, -1.0]]), torch.tensor([[0.3, -0.7]])
    a = torch.distributions.Normal(mean, (0.5 * log_variance).exp())
    b = torch.distributions.Normal(torch.zeros(2), torch.ones(2))
    assert kl(mean, log_variance) == pytest.approx(float(torch.distributions.kl_divergence(a, b).sum()), rel=1e-5)
    noise = torch.randn(50_000, 2, generator=torch.Generator().manual_seed(1))
    drawn = draw(mean, log_variance, noise)
    assert drawn.mean(0).tolist() == pytest.approx([0.5, -1.0], abs=0.02)
    assert drawn.var(0).log().tolist() == pytest.approx([0.3, -0.7], abs=0.03)


def test_a_file_gives_the_network_back(vae: MusicVae, latent: Tensor, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    mark = save_vae(vae, path, {"steps": 3}, torch.float32)
    found = load_vae(path)
    assert (found.fingerprint, found.card) == (mark, {"steps": 3})
    assert torch.equal(found.vae.generate(latent), vae.generate(latent))
    other = MusicVae(SMALL)
    assert save_vae(other, tmp_path / "b.safetensors", {}) != mark


@pytest.mark.parametrize("damage", ["cut", "flip", "text", "missing"])
def test_a_damaged_file_is_named(vae: MusicVae, tmp_path: Path, damage: str) -> None:
    path = tmp_path / "a.safetensors"
    save_vae(vae, path, {}, torch.float32)
    data = path.read_bytes()
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes({"cut": data[:-9], "flip": data[:-1] + bytes([data[-1] ^ 1]), "text": b"no weights"}[damage])
    with pytest.raises(QsepError) as told:
        load_vae(path)
    assert str(told.value).startswith(f"{path}: ")
    assert "\n" not in str(told.value)


def test_a_checkpoint_of_the_separator_is_refused(tmp_path: Path) -> None:
    from qsep_live.nets.model import Model, save_model
    from qsep_live.nets.query_net import QueryNet, QueryNetConfig
    from qsep_live.nets.separator import Separator, SeparatorConfig

    widths = (2, 2, 4, 4, 4, 4)
    model = Model(Separator(SeparatorConfig(widths=widths)), QueryNet(QueryNetConfig(channels=widths)))
    save_model(model, tmp_path / "other.safetensors")
    with pytest.raises(QsepError, match="no usable MusicVAE \\(it holds query_net, separator\\)"):
        load_vae(tmp_path / "other.safetensors")


def test_note_f1_counts_step_and_pitch() -> None:
    true = torch.tensor([[5, 1, 0, 7, 1, 9]]).numpy()
    assert note_f1(true, true) == 1.0
    assert note_f1(torch.tensor([[5, 1, 7, 1, 1, 8]]).numpy(), true) == pytest.approx(2 * 1 / 6)
    assert note_f1(true * 0, true) == 0.0
    assert note_f1(true * 0, true * 0) == 1.0

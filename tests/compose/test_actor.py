"""The actor, the critic, and what measures them, on networks and songs made here."""

from __future__ import annotations

import itertools
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from qsep_live.compose.actor import Actor, ActorConfig
from qsep_live.compose.actor_file import load_actor, save_actor
from qsep_live.compose.chords import certain
from qsep_live.compose.composer import Composer, arc, places
from qsep_live.compose.emotions import DEFAULT, Reference
from qsep_live.compose.interpolation import edit_distance, through_latents, through_tokens
from qsep_live.compose.melody import FIRST_NOTE, LOWEST, melody_of
from qsep_live.compose.search import gradient_search, missed, random_search
from qsep_live.compose.songs import Song, song_windows
from qsep_live.compose.steering import closed, compare
from qsep_live.compose.train_actor import ActorTrainer, ActorTraining, draw_wanted
from qsep_live.compose.vae import MusicVae, VaeConfig
from qsep_live.compose.vae_file import save_vae
from qsep_live.errors import QsepError
from tests.compose.conftest import tune

SMALL = VaeConfig(embedding=8, encoder=8, latent=12, conductor=8, bar=12, step=8, decoder=16)
TRAINING = ActorTraining(batch=32, written=4, learning_rate=1e-2, structure=0.0, distance=0.0, lately=256, real=64)


@pytest.fixture(scope="module")
def vae() -> MusicVae:
    """Random, but its notes' pitches follow the latent widely."""
    torch.manual_seed(3)
    made = MusicVae(SMALL)
    with torch.no_grad():
        made.logits.weight.mul_(6)
        made.linear_bars.weight.mul_(3)
        made.linear_steps.weight.mul_(3)
    return made.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def song() -> Song:
    return Song("a", song_windows(tune(1, 20)))


@pytest.fixture(scope="module")
def trained(vae: MusicVae, song: Song) -> ActorTrainer:
    torch.set_num_threads(1)
    made = ActorTrainer(vae, (song,), ActorConfig(latent=12, hidden=32), TRAINING)
    made.train(lambda step, _: step / 60, lambda share, losses: None)
    return made


def files(folder: Path, vae: MusicVae, actor: Actor) -> tuple[Path, Path]:
    mark = save_vae(vae, folder / "vae.safetensors", {}, torch.float32)
    save_actor(actor, mark, folder / "actor.safetensors", {"steps": 3}, torch.float32)
    return folder / "vae.safetensors", folder / "actor.safetensors"


def test_the_critic_learns_what_latents_stand_for(trained: ActorTrainer, vae: MusicVae) -> None:
    latent = torch.randn(64, 12, generator=torch.Generator().manual_seed(9))
    with torch.no_grad():
        judged = trained.critic(latent)
    pitch = torch.tensor([melody_mean(each) for each in vae.generate(latent)])
    assert np.corrcoef(judged.pitch.numpy(), pitch.numpy())[0, 1] > 0.3  # of latents that it has not seen


def test_an_actor_that_has_learned_nothing_leaves_latents_about_where_they_are() -> None:
    latent, wanted = torch.randn(64, 12), torch.tensor([[70.0, 5.0]]).expand(64, -1)
    with torch.no_grad():
        moved = (Actor(ActorConfig(latent=12, hidden=32))(latent, wanted) - latent).norm(dim=1) / latent.norm(dim=1)
    assert float(moved.mean()) < 0.25


def test_the_actor_that_comes_along_closes_gaps() -> None:
    torch.set_num_threads(1)
    wanted = {name: DEFAULT[name] for name in ("intense", "dark")}
    for outcome in compare(Composer(), wanted, 12, 0, 3):
        corrected = outcome.method == "actor"
        assert outcome.pitch_closed > (0.8 if corrected else 0.6)
        assert outcome.density_closed > (0.75 if corrected else 0.3)
        assert np.nanmean(outcome.after.in_key) > 0.9 * np.nanmean(outcome.before.in_key)


def test_the_more_often_it_is_asked_the_less_is_missed(vae: MusicVae, trained: ActorTrainer, tmp_path: Path) -> None:
    composer = Composer(*files(tmp_path, vae, trained.actor))
    latent, wanted = torch.randn(32, 12, generator=torch.Generator().manual_seed(6)), Reference(70.0, 5.0)
    moved = [composer.move(latent, wanted, corrections) for corrections in range(4)]
    misses = [missed(certain(vae.generate(each)), wanted) for each in moved]
    assert all((after <= before).all() for before, after in itertools.pairwise(misses))
    assert misses[-1].mean() < misses[0].mean()
    alone = composer.move(latent[5:6], wanted, 3)
    assert torch.allclose(alone, moved[-1][5:6], atol=1e-4)


def test_an_actor_goes_on_with_what_it_has_learned(
    vae: MusicVae, song: Song, trained: ActorTrainer, tmp_path: Path
) -> None:  # fmt: skip
    mark = save_vae(vae, tmp_path / "vae.safetensors", {}, torch.float32)
    save_actor(trained.actor, mark, tmp_path / "actor.safetensors", {}, torch.float32)
    far = []
    for rate in (0.0, 1e-3):
        begun = load_actor(tmp_path / "actor.safetensors", mark).actor
        more = ActorTrainer(vae, (song,), begun.config, replace(TRAINING, learning_rate=rate), begun)
        more.train(lambda step, _: step / 3, lambda share, losses: None)
        pairs = zip(more.actor.parameters(), trained.actor.parameters(), strict=True)
        far.append(max(float((a - b).detach().abs().max()) for a, b in pairs))
    assert far[0] == 0.0 < far[1] < 0.01


def melody_mean(tokens: torch.Tensor) -> float:
    notes = tokens[tokens >= FIRST_NOTE] - FIRST_NOTE + LOWEST
    return float(notes.double().mean()) if len(notes) else 70.0


def test_wanted_values_are_in_range() -> None:
    wanted = draw_wanted(500)
    assert 58.0 <= float(wanted[:, 0].min()) < 60.0 < 80.0 < float(wanted[:, 0].max()) <= 82.0
    assert 2.0 <= float(wanted[:, 1].min()) < 2.3 < 9.0 < float(wanted[:, 1].max()) <= 10.0


def test_an_actor_belongs_to_its_vae(vae: MusicVae, tmp_path: Path) -> None:
    actor = Actor(ActorConfig(latent=12, hidden=8))
    _, path = files(tmp_path, vae, actor)
    with pytest.raises(QsepError, match="belongs to another VAE"):
        load_actor(path, "0" * 32)
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(QsepError, match="no usable actor"):
        load_actor(path, "0" * 32)


def test_strength_is_the_share_of_the_way(vae: MusicVae, trained: ActorTrainer, tmp_path: Path) -> None:
    composer = Composer(*files(tmp_path, vae, trained.actor))
    latent, wanted = composer.draw(4), Reference(70.0, 5.0)
    assert torch.equal(composer.draw(4), latent)
    assert torch.equal(composer.steer(latent, wanted, 0.0), latent)
    far = [float((composer.steer(latent, wanted, share) - latent).norm()) for share in (0.25, 0.5, 1.0)]
    assert 0.0 < far[0] < far[1] < far[2]
    written = composer.melody(latent)
    assert torch.isfinite(composer.encode(written)).all()


@given(st.integers(0, 2**32 - 1), st.floats(0.0, 1.0))
def test_an_arc_stays_between_its_ends(seed: int, place: float) -> None:
    first, second = torch.randn(2, 40, generator=torch.Generator().manual_seed(seed))
    found = arc(first, second, place)
    assert torch.equal(arc(first, second, 0.0), first)
    assert torch.equal(arc(first, second, 1.0), second)
    longest = float(torch.maximum(first.norm(), second.norm()))
    assert float(found.norm()) <= 1.5 * longest
    assert torch.allclose(arc(second, first, 1.0 - place), found, atol=1e-4)
    assert places(3) == (0.0, 0.5, 1.0)


def test_both_searches_come_nearer(vae: MusicVae) -> None:
    generator = torch.Generator().manual_seed(1)
    latent, wanted = torch.randn(4, 12, generator=generator), Reference(70.0, 5.0)
    with torch.no_grad():
        before = missed(vae.expected(latent, certain=True), wanted)
        by_chance = missed(vae.expected(random_search(vae, latent, wanted, 10, generator), certain=True), wanted)
    by_gradient = missed(vae.expected(gradient_search(vae, latent, wanted, 15), certain=True), wanted)
    assert (by_chance <= before + 1e-5).all()
    assert by_chance.mean() < before.mean()
    assert by_gradient.mean() < before.mean()


def test_certain_chances_are_the_written_tokens(vae: MusicVae) -> None:
    latent = torch.randn(3, 12, generator=torch.Generator().manual_seed(2), requires_grad=True)
    shares = vae.expected(latent, certain=True)
    assert torch.equal(shares.argmax(dim=2), vae.generate(latent))
    assert torch.allclose(shares.max(dim=2).values, torch.ones(3, 256), atol=1e-5)
    (gradient,) = torch.autograd.grad(shares[:, :, FIRST_NOTE:].sum(), latent)
    assert (gradient.abs().sum(dim=1) > 0).all()


def test_the_share_of_a_gap_that_is_closed() -> None:
    assert closed(np.array([60.0, 80.0]), np.array([68.0, 72.0]), 70.0) == pytest.approx(0.8)
    assert closed(np.array([60.0, 80.0]), np.array([60.0, np.nan]), 70.0) == pytest.approx(0.0)


def test_the_comparison_has_a_row_for_each_method(vae: MusicVae, trained: ActorTrainer, tmp_path: Path) -> None:
    composer = Composer(*files(tmp_path, vae, trained.actor))
    found = list(compare(composer, {"clear": Reference(70.0, 5.0)}, 12, 2, 0, gradient_steps=2, tries=2))
    rows = [(each.method, len(each.after.pitch)) for each in found]
    assert rows == [("actor", 12), ("once", 12), ("gradient", 2), ("random", 2)]
    assert all(each.distance > 0 for each in found[:3])
    assert np.array_equal(found[0].before.pitch[:2], found[2].before.pitch)


@given(st.lists(st.integers(0, 3), max_size=12), st.lists(st.integers(0, 3), max_size=12))
def test_the_edit_distance_is_levenshteins(a: list[int], b: list[int]) -> None:
    @cache
    def slow(i: int, j: int) -> int:
        if not i or not j:
            return i + j
        return min(slow(i - 1, j) + 1, slow(i, j - 1) + 1, slow(i - 1, j - 1) + (a[i - 1] != b[j - 1]))

    assert edit_distance(np.array(a, np.int64), np.array(b, np.int64)) == slow(len(a), len(b))


def test_a_way_begins_and_ends_at_its_ends(vae: MusicVae, trained: ActorTrainer, tmp_path: Path) -> None:
    composer = Composer(*files(tmp_path, vae, trained.actor))
    a, b = tune(1), tune(2)
    way = through_latents(composer, a, b, 4)
    assert len(way.steps) == 3
    assert way.from_first[0] == 0.0
    mixed = through_tokens(a, b, 4, np.random.default_rng(1))
    assert mixed.from_first[-1] == edit_distance(a.tokens(), b.tokens()) / 256
    assert melody_of(a.tokens()) == a


def test_principal_components_give_codes_back() -> None:
    torch.manual_seed(1)
    made = MusicVae(VaeConfig(embedding=8, encoder=8, latent=40, conductor=8, bar=6, step=8, decoder=16)).eval()
    tokens = torch.from_numpy(np.concatenate([song_windows(tune(seed, 24)) for seed in range(30)]))
    with torch.no_grad():
        codes = made.codes(tokens.reshape(-1, 16)).reshape(len(tokens), 16, 6)
        made.start_linear(codes, 0.01)
        mean, log_variance = made.encode(tokens)
        back = made._bars(mean).reshape(codes.shape)
    assert float((back - codes).square().mean()) < 0.05 * float(codes.var(dim=0).mean())
    used = mean.std(dim=0) > 0.1
    assert used.any()
    # Real music's latents have the prior's mean and variance, and what the noise drowns is left to the prior.
    assert mean[:, used].std(dim=0).numpy() == pytest.approx(1.0, abs=0.05)
    assert float(mean.mean(dim=0).abs().max()) < 0.05
    assert float(log_variance.max()) <= 0.0

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from qsep_live.compose.mel import BANDS, FLOOR, FRAMES_A_SECOND, Array, Mel, mel_of
from qsep_live.compose.mel_generator import MelGenerator
from qsep_live.compose.mel_net import MelConfig, MelNet, Mixture, log_likelihood
from qsep_live.compose.mel_net_file import load_mel_net, save_mel_net
from qsep_live.compose.mel_pieces import Piece
from qsep_live.compose.mel_scores import bands_of, normalised, score
from qsep_live.compose.mel_train import Lanes, MelTrainer, MelTraining, fit_buffers, split_songs
from qsep_live.compose.vae_file import load_vae
from qsep_live.errors import QsepError, UsageError

Band = Callable[[int, float], Array]
SMALL = MelConfig(units=24, wide=16, narrow=16, components=2)
QUICK = MelTraining(batch=4, span=64, learning_rate=0.01, dropout=0.0)


class Quiet:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def line(self, text: str) -> None:
        self.lines.append(text)

    def advance(self, share: float, text: str) -> None:
        assert 0.0 <= share <= 1.0


@pytest.fixture(scope="module")
def clip(band: Band) -> Mel:
    return mel_of(band(1, 6.0))


@pytest.fixture(scope="module")
def pieces(band: Band) -> list[Piece]:
    """Four songs, each with a copy."""
    made = [(f"song{seed}", copy, mel_of(band(seed + 10 * copy, 12.0))) for seed in range(4) for copy in range(2)]
    return [Piece(song, copy, mel.db, mel.loudest) for song, copy, mel in made]


@pytest.fixture
def net(clip: Mel) -> MelNet:
    torch.manual_seed(1)
    made = MelNet(SMALL)
    fit_buffers(made, [Piece("a", 0, clip.db, clip.loudest)])
    return made.eval()


def test_frame_by_frame_is_the_same_as_all_at_once(net: MelNet, clip: Mel) -> None:
    frames = torch.from_numpy(normalised(clip.db[:50]))[None]
    whole, after = net(frames, net.start(1))
    state, parts = net.start(1), []
    for start, stop in ((0, 1), (1, 2), (2, 20), (20, 50)):
        mixture, state = net(frames[:, start:stop], state)
        parts.append(mixture)
    for name, values in whole._asdict().items():
        assert torch.allclose(torch.cat([getattr(part, name) for part in parts], dim=1), values, atol=1e-5)
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(after, state, strict=True))


def test_no_frame_is_predicted_from_itself_or_later_ones(net: MelNet) -> None:
    frames = torch.randn(1, 40, BANDS, generator=torch.Generator().manual_seed(0))
    other = frames.clone()
    other[:, 25] += 1.0
    (mixture, _), (changed, _) = net(frames, net.start(1)), net(other, net.start(1))
    differs = (mixture.means - changed.means).abs().amax(dim=(0, 2, 3)) > 0
    assert differs.nonzero().flatten().tolist() == list(range(25, 40))


def test_an_innovation_gives_its_frame_back(net: MelNet, clip: Mel) -> None:
    frames = torch.from_numpy(normalised(clip.db[:50]))
    again = net.following(frames[:-1], net.innovation(frames[:-1], frames[1:]))
    assert torch.allclose(again, frames[1:], atol=1e-3)


def test_the_likelihood_is_a_mixtures() -> None:
    random = torch.Generator().manual_seed(0)
    mixture = Mixture(*(torch.randn(shape, generator=random) for shape in ((1, 3, 2), (1, 3, 2, 4), (1, 3, 2, 4))))
    each = torch.distributions.Independent(torch.distributions.Normal(mixture.means, mixture.log_deviations.exp()), 1)
    reference = torch.distributions.MixtureSameFamily(torch.distributions.Categorical(logits=mixture.logits), each)
    value = torch.randn(1, 3, 4, generator=random)
    assert torch.allclose(log_likelihood(mixture, value), reference.log_prob(value), atol=1e-4)


def test_drawn_frames_have_the_expected_mean(net: MelNet, clip: Mel) -> None:
    frames = torch.from_numpy(normalised(clip.db[:9]))[None]
    mixture, _ = net(frames, net.start(1))
    last, newest = frames[:, -1:], Mixture(*(part[:, -1:] for part in mixture))
    random = torch.Generator().manual_seed(0)
    drawn = torch.cat([net.sample(last, newest, 1.0, random) for _ in range(4000)])
    apart = (drawn.mean(dim=0) - net.expected(frames, mixture)[0, -1]) / drawn.std(dim=0) * math.sqrt(len(drawn))
    assert apart.abs().max() < 5.0
    still = torch.cat([net.sample(last, newest, 0.0, random) for _ in range(50)])
    assert len(still.unique(dim=0)) <= SMALL.components


def test_nothing_runs_away_whatever_the_weights(clip: Mel) -> None:
    """Weights a hundred times too large, a minute, with twice the noise."""
    torch.manual_seed(2)
    wild = MelNet(SMALL).eval()
    with torch.no_grad():
        for weight in wild.parameters():
            weight.mul_(100.0)
    generator = MelGenerator(wild, clip, temperature=2.0)
    frames = np.stack(list(generator.frames(round(60 * FRAMES_A_SECOND))))
    assert np.isfinite(frames).all()
    assert frames.min() >= FLOOR
    assert frames.max() <= 0.0


def test_no_band_is_louder_than_it_is_in_the_clip(net: MelNet, clip: Mel) -> None:
    frames = np.stack(list(MelGenerator(net, clip, temperature=2.0).frames(200)))
    assert (frames <= clip.db.max(axis=0)).all()
    assert (frames == clip.db.max(axis=0)).any()
    assert frames.max() <= 0.0
    assert frames.min() >= FLOOR


def test_equal_seeds_give_equal_frames(net: MelNet, clip: Mel) -> None:
    def drawn(seed: int, heard: Mel | None = clip) -> Array:
        return np.stack(list(MelGenerator(net, heard, seed=seed).frames(5)))

    assert np.array_equal(drawn(1), drawn(1))
    assert not np.array_equal(drawn(1), drawn(2))
    assert not np.array_equal(drawn(1), drawn(1, None))


def test_lanes_play_every_frame_after_the_one_before(pieces: list[Piece]) -> None:
    lanes = Lanes(pieces, QUICK, 0)
    last: list[torch.Tensor | None] = [None] * QUICK.batch
    begun = 0
    for _ in range(40):
        frames, following, valid, fresh = lanes.step()
        assert frames.shape == following.shape == (QUICK.batch, QUICK.span, BANDS)
        for lane in range(QUICK.batch):
            count = int(valid[lane].sum())
            assert 0 < count <= QUICK.span
            assert torch.equal(frames[lane, 1:count], following[lane, : count - 1])
            if fresh[lane]:
                begun += 1
            else:
                expected = last[lane]
                assert expected is not None
                assert torch.equal(frames[lane, 0], expected)
            last[lane] = following[lane, count - 1]
    assert begun > 2 * QUICK.batch


def test_songs_are_split_whole_and_copies_never_validate(pieces: list[Piece]) -> None:
    learned, validated = split_songs(pieces, 0.3, seed=1)
    songs = [{piece.song for piece in part} for part in (learned, validated)]
    assert not songs[0] & songs[1]
    assert len(songs[0] | songs[1]) == 4
    assert len(songs[1]) == 2
    assert {piece.copy for piece in validated} == {0}
    assert {piece.copy for piece in learned} == {0, 1}
    with pytest.raises(UsageError, match="two or more"):
        split_songs(pieces[:2], 0.3, seed=1)


def test_scores_are_what_they_say(net: MelNet, clip: Mel) -> None:
    found = score(net, [Piece("a", 0, clip.db, 1.0)])
    assert found.frames == len(clip.db) - 1
    assert found.last == pytest.approx(float(np.mean(np.diff(clip.db, axis=0) ** 2)), rel=1e-3)
    spread = (clip.db[1:] - bands_of(clip.db).mean) ** 2
    assert found.mean == pytest.approx(float(np.mean(spread)), rel=1e-3)
    assert found.linear < min(found.last, found.mean)  # fitted to this clip


def test_training_beats_what_needs_no_network_and_the_music_keeps_its_bands(
    pieces: list[Piece], clip: Mel, tmp_path: Path
) -> None:
    reporter = Quiet()
    trainer = MelTrainer(SMALL, QUICK, pieces, tmp_path / "net.safetensors", reporter, every=math.inf)
    scores = trainer.train(steps=120)
    assert scores.network < 0.9 * min(scores.last, scores.linear, scores.mean), reporter.lines
    net = load_mel_net(tmp_path / "net.safetensors").network
    again = score(net, trainer.validated)
    assert again.network == pytest.approx(scores.network, rel=0.02)  # float16
    frames = np.stack(list(MelGenerator(net, clip, seed=3).frames(900)))
    mean, deviation = bands_of(clip.db)
    late = frames[450:]
    assert np.sqrt(np.mean((late.mean(axis=0) - mean) ** 2)) < 4.0
    assert 0.4 < np.mean(late.std(axis=0) / deviation) < 1.6


def test_a_file_gives_the_network_back(net: MelNet, clip: Mel, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    mark = save_mel_net(net, path, {"steps": 3}, torch.float32)
    found = load_mel_net(path)
    assert (found.fingerprint, found.card) == (mark, {"steps": 3})
    drawn = [np.stack(list(MelGenerator(each, clip).frames(3))) for each in (net, found.network)]
    assert np.array_equal(*drawn)
    with pytest.raises(QsepError, match=r"no usable MusicVAE \(it holds mel_net\)"):
        load_vae(path)


def test_another_file_is_refused(net: MelNet, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_mel_net(net, path, {})
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(QsepError, match="no usable spectrogram generator") as told:
        load_mel_net(path)
    assert str(told.value).startswith(f"{path}: ")

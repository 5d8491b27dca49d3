"""The whole way on songs made here: training, a stop, the rest of it, a reconstruction."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from qsep_live.cli.main import run as run_main
from qsep_live.compose.melody import melody_of
from qsep_live.compose.songs import read_songs
from qsep_live.compose.train_vae import Budget, VaeTrainer, VaeTraining
from qsep_live.compose.vae import VaeConfig
from qsep_live.compose.vae_file import load_vae
from qsep_live.compose.vae_run import VaeRun
from qsep_live.compose.vae_scores import score
from qsep_live.errors import QsepError, UsageError

Songs = Callable[[int], Path]
SMALL = VaeConfig(embedding=12, encoder=16, latent=16, conductor=24, bar=24, decoder=48)
QUICK = VaeTraining(batch=8, bars=0.4, noise=0.01, learning_rate=0.02, whole_rate=0.01, warmup=5, beta=0.001)
SIZES = "embedding=6 encoder=6 latent=4 conductor=6 bar=6 decoder=8 batch=2"


class Quiet:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def line(self, text: str) -> None:
        self.lines.append(text)

    def advance(self, share: float, text: str) -> None:
        assert 0.0 <= share <= 1.0


def trainer(run: Path, folder: Path, training: VaeTraining = QUICK, config: VaeConfig = SMALL) -> VaeTrainer:
    claimed = VaeRun(run)
    files = sorted(folder.glob("*.mid"))
    settings = {"latent": config.latent, "seed": training.seed}
    songs = claimed.claim(settings, files, lambda text: pytest.fail(text), lambda _: None)
    return VaeTrainer(config, training, songs, claimed, Quiet())


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def test_from_midi_to_a_reconstruction(songs: Songs, tmp_path: Path) -> None:
    folder = songs(5)
    made = trainer(tmp_path / "run", folder)
    scores = made.train(Budget(steps=100))
    assert scores is not None
    assert scores.songs == 1
    found = load_vae(tmp_path / "run" / "model.safetensors")
    assert found.card["held_out"] == scores.as_dict()
    # An eighth of the tokens are rests, always in the same place: those, at least, it has learned to write.
    learned = score(made.vae.eval(), made.split.train)
    assert learned.teacher_forced > learned.most_frequent + 0.1
    assert learned.free_running > learned.most_frequent
    assert learned.kl > 1.0
    written = made.vae.generate(made.vae.encode(torch.from_numpy(made.split.train[0].windows[:1]))[0])
    assert melody_of(written[0].tolist()).bars == 16
    rows = list(csv.DictReader((tmp_path / "run" / "log.csv").open()))
    assert rows[-1]["step"] == "100"
    assert float(rows[-1]["validation_free_running"]) == pytest.approx(made.progress.best, abs=1e-4)


def test_a_run_that_was_stopped_ends_where_it_would_have(songs: Songs, tmp_path: Path) -> None:
    folder = songs(4)
    straight = trainer(tmp_path / "straight", folder)
    straight.train(Budget(steps=8))
    first = trainer(tmp_path / "run", folder)
    assert first.train(Budget(steps=8), lambda: first.progress.step == 3) is None
    assert not (tmp_path / "run" / "model.safetensors").exists()
    for path in folder.iterdir():  # the songs are in the run
        path.write_bytes(b"")
    second = trainer(tmp_path / "run", folder)
    assert second.progress.step == 3
    second.train(Budget(steps=8))
    for mine, theirs in zip(second.vae.parameters(), straight.vae.parameters(), strict=True):
        assert torch.equal(mine, theirs)
    with (tmp_path / "run" / "log.csv").open() as file:
        assert [row["step"] for row in csv.DictReader(file)] == ["3", "8"]


def test_a_folder_belongs_to_one_run(songs: Songs, tmp_path: Path) -> None:
    folder = songs(3)
    trainer(tmp_path / "run", folder).train(Budget(steps=1))
    with pytest.raises(UsageError, match="in which seed is 0, not 5"):
        trainer(tmp_path / "run", folder, VaeTraining(seed=5))
    with pytest.raises(UsageError, match="on other files"):
        trainer(tmp_path / "run", songs(4))
    state = tmp_path / "run" / "state.safetensors"
    state.write_bytes(state.read_bytes()[:-5])
    with pytest.raises(QsepError, match=r"state\.safetensors: not the state of this run"):
        trainer(tmp_path / "run", folder)


def test_the_command(songs: Songs, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folder = songs(4)
    (folder / "zz_drums.mid").write_bytes(b"MThd")
    sizes = [word for each in SIZES.split() for word in ("--set", each)]
    line = ["compose", "train-vae", str(folder), "-o", str(tmp_path / "run"), "--threads", "1", *sizes]
    assert run_main([*line, "--steps", "2"]) == 0
    out, err = capfd.readouterr()
    assert err.count("left out: ") == 1
    assert "2 songs with 6 windows to learn from, 1 to validate on, 1 held out" in out
    assert "held-out songs: tokens right: teacher-forced" in out
    assert run_main([*line, "--steps", "3"]) == 0
    assert "from step 2" in capfd.readouterr().out
    stored = tmp_path / "run" / "songs.safetensors"
    again = ["compose", "train-vae", str(stored), "-o", str(tmp_path / "more"), "--threads", "1", *sizes]
    assert run_main([*again, "--steps", "1"]) == 0
    assert "2 songs with 6 windows" in capfd.readouterr().out


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("nowhere -o run --steps 1", "no such file or folder"),
        (". -o run", "how long?"),
        (". -o run --steps 1 --minutes 1", "how long?"),
        (". -o run --steps 1 --set laten=4", "did you mean latent?"),
        (". -o run --steps 1 --set latent=0", "a whole number above 0"),
        (". -o run --steps 1 --set beta=nan", "a number, 0 or more"),
        (". -o run --steps 1", "no MIDI file"),
    ],
)
def test_what_cannot_be_meant(
    line: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_main(["compose", "train-vae", *line.split()]) == 2
    (told,) = capfd.readouterr().err.splitlines()
    assert words in told


def test_files_of_songs_that_are_none(tmp_path: Path) -> None:
    path = tmp_path / "songs.safetensors"
    path.write_bytes(b"nothing")
    with pytest.raises(QsepError, match="no songs of a run"):
        VaeRun(tmp_path / "run").claim({}, [path], lambda _: None, lambda _: None)
    assert read_songs([], lambda _: None, lambda _: None) == []

"""Songs whose stems have a register each, in memory and in published layouts, and a small real model."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import soundfile

from qsep_live.evaluation.network import Network, NetworkSpec
from qsep_live.evaluation.tracks import STEMS, Track

RATE = 22_050
#: Hz.
REGISTERS = {"vocals": 1200.0, "drums": 7000.0, "bass": 90.0, "other": 3000.0}


def sound(name: str, seconds: float = 3.1, seed: int = 0) -> np.ndarray:
    """A swelling tone in the stem's register with some noise, (n, 2) float32."""
    random = np.random.default_rng([seed, STEMS.index(name)])
    time = np.arange(round(seconds * RATE)) / RATE
    tone = np.sin(2 * np.pi * REGISTERS[name] * random.uniform(0.9, 1.1) * time)
    mono = 0.2 * tone * (0.6 + 0.4 * np.sin(2 * np.pi * random.uniform(0.5, 2) * time))
    mono += 0.003 * random.standard_normal(len(time))
    return np.stack([mono, 0.8 * mono], axis=1).astype(np.float32)


def song(title: str, seed: int, seconds: float = 3.1) -> Track:
    stems = {name: sound(name, seconds, seed) for name in STEMS}
    return Track(title, RATE, np.sum(list(stems.values()), axis=0), stems)


@dataclass(frozen=True)
class Songs:
    """Tracks in memory."""

    tracks: tuple[Track, ...]
    label: str = "two songs"

    def __len__(self) -> int:
        return len(self.tracks)

    def __getitem__(self, index: int) -> Track:
        return self.tracks[index]


@pytest.fixture(scope="session")
def songs() -> Songs:
    return Songs(tuple(song(title, seed) for seed, title in enumerate(("one", "two"))))


@pytest.fixture(scope="session")
def one(songs: Songs) -> Songs:
    """The first of them."""
    return Songs(songs.tracks[:1], "one song")


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> NetworkSpec:
    """A checkpoint of random weights and few channels."""
    import torch

    from qsep_live.nets.model import Model, save_model
    from qsep_live.nets.patch_unet import PatchUNet, PatchUNetConfig
    from qsep_live.nets.query_net import QueryNet, QueryNetConfig

    torch.manual_seed(1)
    separator = PatchUNet(PatchUNetConfig((6, 8), channels=2))
    for name, parameter in separator.named_parameters():
        if parameter.ndim == 1 or name in ("scale", "shift", "place") or "spread" in name:
            torch.nn.init.normal_(parameter, 0.5, 0.3)
    query_net = QueryNet(QueryNetConfig(channels=(2, 2, 4, 4, 4, 4), gru_units=8))
    path = tmp_path_factory.mktemp("model") / "small.safetensors"
    save_model(Model(separator, query_net), path)
    return NetworkSpec(path, "cpu", 1)


@pytest.fixture(scope="session")
def network(small: NetworkSpec) -> Network:
    return small.open()


@pytest.fixture(scope="session")
def means() -> dict[str, np.ndarray]:
    random = np.random.default_rng(7)
    return {name: random.standard_normal(32).astype(np.float32) for name in STEMS}


def write_hq(root: Path, subset: str, track: Track) -> None:
    """A song as MUSDB18-HQ has it."""
    folder = root / subset / track.name
    folder.mkdir(parents=True)
    soundfile.write(folder / "mixture.wav", track.mixture, RATE)
    for name, audio in track.stems.items():
        soundfile.write(folder / f"{name}.wav", audio, RATE)


def write_stem_mp4(root: Path, subset: str, track: Track, work: Path) -> None:
    """A song as MUSDB18 has it: five AAC streams in one file."""
    folder = root / subset
    folder.mkdir(parents=True, exist_ok=True)
    command = ["ffmpeg", "-loglevel", "error"]
    sounds = {"mixture": track.mixture, **{name: track.stems[name] for name in ("drums", "bass", "other", "vocals")}}
    for name, audio in sounds.items():
        path = work / f"{name}.wav"
        soundfile.write(path, audio, RATE)
        command += ["-i", str(path)]
    for number in range(5):
        command += ["-map", str(number)]
    subprocess.run([*command, "-c:a", "aac", "-b:a", "128k", str(folder / f"{track.name}.stem.mp4")], check=True)


@pytest.fixture(scope="session")
def ffmpeg() -> None:
    if shutil.which("ffmpeg") is None or shutil.which("ffprobe") is None:
        pytest.skip("needs ffmpeg (Debian: apt-get install ffmpeg)")


VALID = ("ANiMAL - Rockshow", "Actions - One Minute Smile")


@pytest.fixture(scope="session")
def hq(tmp_path_factory: pytest.TempPathFactory, ffmpeg: None) -> Path:
    """MUSDB18-HQ with two validation songs, a training song and a test song, three seconds each."""
    root = tmp_path_factory.mktemp("musdb-hq")
    for seed, title in enumerate((*VALID, "Somebody - Trains")):
        write_hq(root, "train", song(title, seed))
    write_hq(root, "test", song("Somebody - Tests", 9))
    return root


@pytest.fixture(scope="session")
def stem_mp4(tmp_path_factory: pytest.TempPathFactory, ffmpeg: None) -> Path:
    """MUSDB18 with a validation song in its own file format."""
    root = tmp_path_factory.mktemp("musdb")
    write_stem_mp4(root, "train", song(VALID[0], 0), tmp_path_factory.mktemp("wavs"))
    return root


Slakh = Callable[..., Path]


@pytest.fixture
def slakh(tmp_path: Path) -> Slakh:
    """Make ``split/TrackNNNNN`` of stems ``(inst_class, midi_program_name, is_drum, sound)``."""

    def make(split: str, number: int, stems: list[tuple[str, str, bool, np.ndarray]]) -> Path:
        folder = tmp_path / "slakh" / split / f"Track{number:05d}"
        (folder / "stems").mkdir(parents=True)
        lines = ["UUID: 1a81ae092884234f3264e2f45927f00a", "audio_dir: stems", "stems:"]
        for index, (coarse, fine, drums, audio) in enumerate(stems):
            lines += [f"  S{index:02d}:", "    audio_rendered: true", f"    inst_class: {coarse}"]
            lines += [f"    is_drum: {str(drums).lower()}", f"    midi_program_name: {fine}", "    program_num: 0"]
            soundfile.write(folder / "stems" / f"S{index:02d}.flac", audio, RATE)
        lines += ["  S90:", "    audio_rendered: false", "    inst_class: Reed", "    is_drum: false",
                  "    midi_program_name: Oboe", "    program_num: 68"]  # fmt: skip
        (folder / "metadata.yaml").write_text("\n".join(lines))
        return tmp_path / "slakh"

    return make

"""`evaluate --model` of a separator that gives stems: another package's, which splits by bands."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

STEMS = ("vocals", "drums", "bass", "other")
MODULE = """
import numpy as np
from qsep_live.models.spec import SeparatorSpec

EDGES = [0.0, 300.0, 1200.0, 4800.0, 1e9]


class {kind}:
    spec = SeparatorSpec("{name}", "ab" * 16, 44100, 2, "stems", {count}, (44100,), 1024, stems={stems!r})

    def __init__(self, device="auto", threads=1, exact=True):
        pass

    def warm_up(self, window):
        pass

    def __call__(self, window):
        spectrum = np.fft.rfft(window)
        hertz = np.fft.rfftfreq(window.shape[1], 1 / 44100)
        bands = [np.fft.irfft(spectrum * ((hertz >= low) & (hertz < high)), window.shape[1])
                 for low, high in zip(EDGES, EDGES[1:])]
        return np.stack(bands[:{count}]).astype(np.float32)
"""


@pytest.fixture
def packages(tmp_path: Path) -> str:
    """Two packages, ``bands`` and ``pair``, as pip leaves them in a folder; what to set PYTHONPATH to."""
    folder = tmp_path / "site"
    for name, stems in (("bands", STEMS), ("pair", ("vocals", "drums"))):
        info = folder / f"{name}-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[qsep_live.separators]\n{name} = {name}_separator:Splitter\n")
        text = MODULE.format(kind="Splitter", name=name, stems=stems, count=len(stems))
        (folder / f"{name}_separator.py").write_text(text)
    return str(folder)


@pytest.fixture
def musdb(tmp_path: Path) -> Path:
    """MUSDB18-HQ of one validation song, three seconds; each stem is a tone in a band of its own."""
    folder = tmp_path / "musdb" / "train" / "ANiMAL - Rockshow"
    folder.mkdir(parents=True)
    time = np.arange(3 * 44_100) / 44_100
    stems = {name: 0.2 * np.sin(2 * np.pi * 150 * 4**n * time) for n, name in enumerate(STEMS)}
    for name, mono in {**stems, "mixture": np.sum(list(stems.values()), axis=0)}.items():
        soundfile.write(folder / f"{name}.wav", np.stack([mono, mono], axis=1), 44_100)
    return tmp_path / "musdb"


def rows(told: str) -> dict[str, list[str]]:
    lines = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in told.splitlines() if line.startswith("|")
    ]
    return {cells[0]: cells[2:] for cells in lines}


def test_its_stems_are_scored_beside_mixture_and_oracle(spawn: Callable[..., Any], packages: str, musdb: Path) -> None:
    import qsep_live

    path = f"{Path(qsep_live.__file__).parents[1]}:{packages}"
    told = spawn("evaluate", "--musdb", musdb, "--model", "bands", "--metric", "sdr", "--jobs", "1", PYTHONPATH=path)
    assert told.code == 0, told.err
    found = rows(told.out)
    assert [*found][2:5] == ["the mixture itself", "oracle ratio mask", "bands, offline"]
    mixture, bands = ([float(value) for value in found[name]] for name in ("the mixture itself", "bands, offline"))
    assert all(better > 20.0 > worse for better, worse in zip(bands, mixture, strict=True))
    pair = spawn("evaluate", "--musdb", musdb, "--model", "pair", PYTHONPATH=path)
    pair.fails(2, "pair has no bass, other", "vocals, drums")
    late = spawn("evaluate", "--musdb", musdb, "--model", "bands", "--delay", "46ms", PYTHONPATH=path)
    late.fails(2, "bands gives stems")


def test_fast_is_for_stems(qsep: Callable[..., Any], musdb: Path) -> None:
    qsep("evaluate", "--musdb", musdb, "--fast").fails(2, "--fast")

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from qsep_live.engine.delay import plan_delay
from qsep_live.errors import QsepError, UsageError
from qsep_live.evaluation.bench_delay import (
    CENTRED,
    HELD,
    IDEAL,
    MACHINE,
    ORACLE,
    DelayBench,
    Oracle,
    delay_report,
    frontier_of,
)
from qsep_live.evaluation.network import NetworkSpec
from qsep_live.evaluation.rendering import Live, streamed
from qsep_live.evaluation.tracks import STEMS, FolderTracks

from .conftest import RATE, Songs, song


def test_the_frontier_has_every_mark_and_the_oracle_above_it(
    small: NetworkSpec, means: dict[str, np.ndarray], tmp_path: Path
) -> None:
    marks = (1024 / 44_100, 0.3)
    songs = Songs((song("one", 0, 1.5),), "one song")
    bench = DelayBench(means, 0.1, 4, marks)
    report = delay_report(bench, small, songs)
    found = {(row[0], row[1]): row[2:] for row in report.table.rows}
    timed = [(name, f"{1e3 * mark:.1f}") for name in (MACHINE, HELD, IDEAL, ORACLE) for mark in marks]
    assert set(found) == {("the mixture itself", ""), *timed, (MACHINE, CENTRED), (ORACLE, CENTRED)}
    assert all(np.isfinite(values).all() for values in found.values())
    mixture = found["the mixture itself", ""][-1]
    assert found[ORACLE, "23.2"][-1] < found[ORACLE, "300.0"][-1] <= found[ORACLE, CENTRED][-1] + 0.1
    assert found[ORACLE, "300.0"][-1] > mixture + 10.0, "each stem has a register of its own"
    assert found[MACHINE, "300.0"] == pytest.approx(found[HELD, "300.0"]), "with time to wait, nothing is ahead"
    assert found[MACHINE, "23.2"] != pytest.approx(found[HELD, "23.2"])
    written = [path.name for path in report.write(tmp_path)]
    assert written == ["delay.md", "delay.csv", "delay-tracks.csv", "delay.png"]
    frontier = frontier_of(bench, report, "ab" * 16, songs.label)
    # Half a frame less than what was heard after the middle: 23.2 ms less the filter's fade; masks 0.2 s old.
    assert frontier.points[0] == pytest.approx((0.0232 - 0.0058 - 0.2 - 0.0232, found[MACHINE, "23.2"][-1]), abs=1e-3)
    assert [sdr for _, sdr in frontier.points] == pytest.approx(
        [found[MACHINE, mark][-1] for mark in ("23.2", "300.0")]
    )


def test_without_frames_ahead_held_gains_are_not_measured_twice(means: dict[str, np.ndarray]) -> None:
    assert set(DelayBench(means, 0.03).conditions()) == {MACHINE, IDEAL}


def test_the_oracle_answers_with_the_share_of_its_stem() -> None:
    magnitude = np.random.default_rng(0).random((4, 512, 256)).astype(np.float32)
    masks = [Oracle(4, place)(magnitude, np.zeros(32, np.float32)) for place in range(4)]
    np.testing.assert_allclose(np.sum(masks, axis=0), 1.0, atol=1e-5)
    np.testing.assert_allclose(masks[2] * magnitude.sum(axis=0), magnitude[2], atol=1e-5)
    assert not Oracle(4, 0)(np.zeros_like(magnitude), np.zeros(32, np.float32)).any()


class Step:
    """A network whose mask is shut until it has heard something loud."""

    channels = 1

    def __call__(self, magnitude: np.ndarray, z: np.ndarray) -> np.ndarray:
        return np.full_like(magnitude[0], float(magnitude[0].max() > 10.0))


@pytest.mark.parametrize("late", [0.0, 0.1, 0.25, None])
def test_masks_are_as_late_as_they_are_said_to_be(late: float | None) -> None:
    """Quiet, then loud from 1 s on: the first mask that is open begins at 1.1 s, the grid's next mark."""
    sound = np.full((2 * RATE, 2), 1e-4, np.float32)
    sound[RATE + 100 :] = 0.5 * np.random.default_rng(0).uniform(-1, 1, (RATE - 100, 2)).astype(np.float32)
    live = Live(0.1, 32, late=late)
    plans = {0: plan_delay(0.0116, RATE)}
    heard = streamed(sound, sound, RATE, Step(), np.zeros(32, np.float32), plans, live)[0]
    opened = np.flatnonzero(np.abs(heard[RATE // 2 :]).max(axis=1) > 0.05)[0] / RATE + 0.5
    # Aligned with the input, a change of the gains shows as much earlier as the delay.
    assert opened == pytest.approx(1.1 + (0.1 if late is None else late) - 0.0116, abs=0.012)


def test_folders_of_stems_are_songs(tmp_path: Path) -> None:
    for title, names in {"b": STEMS, "a": ("vocals", "drums"), "c": ("vocals",)}.items():
        (tmp_path / title).mkdir()
        for place, name in enumerate(names):
            soundfile.write(tmp_path / title / f"{name}.wav", np.full((1000 + place, 2), 0.1 * (place + 1)), RATE)
    tracks = FolderTracks(tmp_path)
    assert [tracks[index].name for index in range(len(tracks))] == ["a", "b"]
    assert "2 tracks" in tracks.label
    first = tracks[0]
    assert tuple(first.stems) == STEMS
    assert not first.stems["bass"].any()
    np.testing.assert_allclose(first.mixture, 0.3, atol=1e-4)
    assert first.mixture.shape == (1000, 2)
    assert [track.name for track in (FolderTracks(tmp_path / "b")[0],)] == ["b"]


def test_folders_that_are_no_songs(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no song here; a song is a folder with vocals"):
        len(FolderTracks(tmp_path))
    for name, rate in (("vocals", RATE), ("drums", 2 * RATE)):
        soundfile.write(tmp_path / f"{name}.wav", np.zeros((1000, 2)), rate)
    with pytest.raises(QsepError, match="differ in rate or channels"):
        FolderTracks(tmp_path)[0]

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qsep_live.errors import QsepError
from qsep_live.evaluation import published
from qsep_live.evaluation.network import NetworkSpec
from qsep_live.evaluation.rendering import Live
from qsep_live.evaluation.report import Report, Table
from qsep_live.evaluation.scores import (
    MIXTURE,
    ORACLE,
    Conditions,
    Score,
    by_song,
    measured,
    medians,
    needed_latents,
    score_report,
)
from qsep_live.evaluation.tracks import STEMS, MusdbTracks


@pytest.fixture(scope="module")
def scores(small: NetworkSpec, songs: Any, means: Any) -> list[Score]:
    sources = ("mean", "random", "truth")
    truths, queries = needed_latents(small.open(), songs, sources, 0)
    live = Live(0.5)
    return measured(Conditions(means, truths, queries, sources, (None, 0.1), live, wiener=True), small, songs)


def test_every_condition_stem_and_song_has_a_score(scores: list[Score]) -> None:
    rows = list(medians(scores))
    assert rows[:2] == [MIXTURE, ORACLE]
    assert len(rows) == 2 + 3 * 2 * 2
    assert {"mean, offline", "random query, 100 ms", "ground-truth query, 100 ms, Wiener"} <= set(rows)
    assert len(scores) == len(rows) * 4 * 2
    assert np.isfinite([score.sdr for score in scores]).all()


def test_the_oracle_is_above_the_mixture(scores: list[Score]) -> None:
    table = medians(scores)
    for stem in STEMS:
        assert table[ORACLE][stem] > table[MIXTURE][stem] + 10.0


def test_the_latent_matters(scores: list[Score]) -> None:
    mean, truth = by_song(scores, "mean, offline"), by_song(scores, "ground-truth query, offline")
    assert mean.keys() == truth.keys()
    assert any(abs(mean[key] - truth[key]) > 1e-3 for key in mean)


def test_the_report_has_published_rows_marked_as_other_data(scores: list[Score]) -> None:
    report = score_report("x", "SDR", scores, "two songs", "museval", Live(0.5))
    rows = {row[0]: row for row in report.table.rows}
    assert rows["mean, offline"][1] == "two songs"
    thesis = rows["thesis: ground-truth query (§4.9)"]
    assert thesis[1] == "MUSDB18 test, full tracks"
    assert thesis[2:6] == (5.48, 4.59, 3.45, 3.26)
    assert rows["SiSEC: TAK1"][2:6] == (6.60, 6.43, 5.16, 4.15)
    assert len(published.MUSDB18) == 8
    gain = medians(scores)["mean, offline, Wiener"]["bass"] - medians(scores)["mean, offline"]["bass"]
    assert any("gave to 'mean, offline'" in note and f"bass {gain:+.2f} dB" in note for note in report.table.notes)
    assert any("every 500 ms, there at once" in note for note in report.table.notes)
    whole = score_report("x", "SDR", scores, "two songs", "sdr", Live())
    assert not any(str(row[0]).startswith("thesis") for row in whole.table.rows)


def test_two_jobs_give_what_one_gives(small: NetworkSpec, means: Any, hq: Path) -> None:
    tracks, conditions = MusdbTracks(hq), Conditions(means)
    told: list[float] = []
    assert measured(conditions, small, tracks, jobs=2, tell=told.append) == measured(conditions, small, tracks)
    assert told == [1, 2]


def test_a_table_as_markdown_and_csv(tmp_path: Path) -> None:
    table = Table("Title", ("name", "dB"), [("a,b", 1.234), ("c", float("nan"))], ["a note"])
    assert table.markdown() == "# Title\n\n| name | dB |\n| --- | --- |\n| a,b | 1.23 |\n| c | – |\n\n- a note\n"
    assert table.csv() == 'name,dB\n"a,b",1.234\nc,\n'
    written = Report("r", table, None, {"more": table}).write(tmp_path / "new" / "folder")
    assert [path.name for path in written] == ["r.md", "r.csv", "r-more.csv"]
    (tmp_path / "file").write_text("")
    with pytest.raises(QsepError, match="could not be written"):
        Report("r", table).write(tmp_path / "file")

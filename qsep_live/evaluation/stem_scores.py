"""SDR of a separator that gives stems, by class: files as `render` makes them, beside mixture and oracle mask."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qsep_live.engine.stem_render import stem_blocks
from qsep_live.engine.stem_windows import CheckedSeparator
from qsep_live.errors import UsageError
from qsep_live.evaluation.oracle import oracle_estimates
from qsep_live.evaluation.scores import MIXTURE, ORACLE, Audio, Score
from qsep_live.evaluation.sdr import Metric, track_scores
from qsep_live.evaluation.tracks import STEMS, Track
from qsep_live.models.registry import find_stems

BLOCK = 1 << 14


@dataclass(frozen=True)
class StemModel:
    """Which separator, and where it runs. Picklable: each process of a pool opens its own."""

    name: str
    device: str = "auto"
    threads: int = 1
    exact: bool = True

    def open(self) -> CheckedSeparator:
        """Load it.

        Raises
        ------
        UsageError
            It is not here, or has not got every class that is measured.
        QsepError
            It is damaged.
        """
        entry = find_stems(self.name)
        if entry is None:
            raise UsageError(f"there is no separator {self.name!r} here; qsep-live models list names what there is")
        missing = [stem for stem in STEMS if stem not in entry.spec.stems]
        if missing:
            raise UsageError(
                f"model {self.name} has no {', '.join(missing)}; its stems are {', '.join(entry.spec.stems)}"
            )
        return CheckedSeparator(entry.open(self.device, self.threads, self.exact), entry.spec)


@dataclass(frozen=True)
class StemConditions:
    """What is measured of each track: the mixture, the oracle mask, and the model's stems as ``row``."""

    row: str
    metric: Metric = "museval"

    def __call__(self, separator: CheckedSeparator, track: Track) -> list[Score]:
        """All scores of a track."""
        estimates = separated(track.mixture, track.rate, separator)
        rows = {
            MIXTURE: dict.fromkeys(track.stems, track.mixture),
            ORACLE: oracle_estimates(track.mixture, track.stems),
            self.row: {stem: estimates[stem] for stem in track.stems},
        }
        return [
            Score(row, track.name, stem, value)
            for row, sounds in rows.items()
            for stem, value in track_scores(track.stems, sounds, track.rate, self.metric).items()
        ]


def separated(mixture: Audio, rate: int, separator: CheckedSeparator) -> dict[str, Audio]:
    """Every stem of ``mixture`` (n, channels), each as long."""
    blocks = (mixture[start : start + BLOCK] for start in range(0, len(mixture), BLOCK))
    rows = [stems for _, stems in stem_blocks(blocks, rate, mixture.shape[1], separator)]
    return dict(zip(separator.spec.stems, np.concatenate(rows, axis=1), strict=True))

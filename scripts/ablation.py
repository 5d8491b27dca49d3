"""What single settings are worth: one run with everything, one without each, and what each scored at its end.

    python scripts/ablation.py -o ablation --off mixing.augment.speed=0 --off mixing.doubled=0 -- \\
        --musdb DIR --warm-start models/default.safetensors --steps 400

What follows ``--`` goes to ``qsep-live train`` every time. ``--repeat`` trains the first run so often with other seeds:
how far these lie apart is what a difference must exceed to mean anything. A setting may have several assignments,
separated by spaces: ``--off 'mixing.augment.polarity=0 mixing.augment.swap=0'``.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
from pathlib import Path

from qsep_live.training.run_folder import RunFolder

Scores = dict[str, float]


def trained(folder: Path, arguments: list[str]) -> Scores:
    """SDR per class, dB, at the end of a run; one that is finished is not trained again."""
    run = RunFolder(folder)
    if not run.model.exists():
        command = [sys.executable, "-m", "qsep_live", "train", *arguments, "-o", str(folder)]
        subprocess.run(command, check=True, stdout=sys.stderr)
    last = [
        row for row in run.rows() if any(name.startswith("sdr_") and value is not None for name, value in row.items())
    ][-1]
    return {name[4:]: value for name, value in last.items() if name.startswith("sdr_") and value is not None}


def table(rows: dict[str, Scores], baselines: list[Scores]) -> str:
    """A row for each run: SDR per class, their mean, and what the mean lost against the runs with everything."""
    classes = list(baselines[0])
    whole = statistics.fmean(mean(each) for each in baselines)
    lines = [f"| | {' | '.join(classes)} | mean | lost |", "|---|" + "---|" * (len(classes) + 2)]
    for name, scores in rows.items():
        cells = [f"{scores[each]:.2f}" for each in classes]
        lines.append(f"| {name} | {' | '.join(cells)} | {mean(scores):.2f} | {whole - mean(scores):+.2f} |")
    if len(baselines) > 1:
        spread = max(map(mean, baselines)) - min(map(mean, baselines))
        lines += ["", f"The means of the {len(baselines)} runs with everything lie {spread:.2f} dB apart."]
    return "\n".join(lines)


def mean(scores: Scores) -> float:
    return statistics.fmean(scores.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--off", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--repeat", type=int, default=2)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("train", nargs="+", help="what goes to qsep-live train")
    given = parser.parse_args()
    rows = {}
    for seed in range(given.repeat):
        name = "everything" if seed == 0 else f"everything, seed {seed}"
        rows[name] = trained(given.output / f"everything-{seed}", [*given.train, "--seed", str(seed)])
    baselines = list(rows.values())
    for off in given.off:
        sets = [part for each in off.split() for part in ("--set", each)]
        rows[off] = trained(given.output / off.replace(" ", "+"), [*given.train, "--seed", "0", *sets])
        print(table(rows, baselines), end="\n\n", flush=True)


if __name__ == "__main__":
    main()

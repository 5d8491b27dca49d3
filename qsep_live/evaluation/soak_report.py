"""What a soak leaves behind: a table of targets, counters and memory as JSON and CSV, a picture of the memory."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from qsep_live.evaluation.extra import pyplot
from qsep_live.evaluation.report import Report, Table
from qsep_live.evaluation.soak import EXPLAINED, FAULTS, UNDERRUN_EXPLAINED, WARM_UP, SoakRun
from qsep_live.whole_file import write_whole

MIB = 2.0**20
CLEAN_BLOCK = 512
"""Frames a block from which no underrun is allowed; below, no more than a bare passthrough has."""


@dataclass(frozen=True)
class Target:
    """One figure beside what it should be; ``met`` is None where the run was too short to tell."""

    name: str
    value: str
    wanted: str
    met: bool | None


def targets(run: SoakRun) -> list[Target]:
    """What the run is judged by."""
    status, allowed = run.status, 0 if run.blocksize >= CLEAN_BLOCK else max(0, run.passthrough_underruns)
    missed, faded, grown = run.unexplained_underruns(), run.unexplained_fallbacks(), run.growth()
    restarts = (
        ("mask", status.mask_restarts), ("audio", status.audio_restarts), ("MIDI", status.midi_restarts),
    )  # fmt: skip
    unasked = sum(max(0, count - run.count(f"{name} killed")) for name, count in restarts)
    return [
        Target("unexplained underruns", str(missed), f"at most {allowed}", missed <= allowed),
        Target("unexplained fallbacks", str(faded), "0", faded == 0),
        Target("restarts that no fault asked for", str(unasked), "0", unasked == 0),
        Target("loudest output", f"{run.loudest:.2f} dBFS", "at most 0 dBFS", run.loudest <= 1e-3),
        Target("memory growth after warm-up", "too short to tell" if grown is None else f"{grown / MIB:.2f} MiB",
               "under 1 MiB", None if grown is None else grown < MIB),
        Target("well at the end", "yes" if run.recovered else "no", "yes", run.recovered),
    ]  # fmt: skip


def soak_report(run: SoakRun) -> Report:
    """The tables and the picture."""
    status = run.status
    table = Table(
        f"Soak: {run.minutes:g} minutes at {run.blocksize} frames, seed {run.seed}", ("what", "value", "wanted", "met")
    )
    for target in targets(run):
        met = "–" if target.met is None else "yes" if target.met else "NO"
        table.rows.append((target.name, target.value, target.wanted, met))
    times = ("p50", status.callback_p50), ("p99", status.callback_p99), ("p99.9", status.callback_p999)
    budget = status.blocksize / status.rate if status.rate else 0.0
    rows = [
        ("underruns, all", str(status.underruns)),
        ("underruns of the passthrough beside it", str(run.passthrough_underruns)),
        ("who was late, as the server says", _named(run.late)),
        ("fallbacks, all", str(status.fallbacks)),
        ("frames held", f"{status.held} of {status.frames}"),
        ("mask, audio, MIDI restarts", f"{status.mask_restarts}, {status.audio_restarts}, {status.midi_restarts}"),
        ("preset reloads", str(status.reloads)),
        ("limited", str(status.limited)),
        *(
            (f"callback {name}", f"{1e3 * time:.2f} ms of {1e3 * budget:.2f}")
            for name, time in (*times, ("max", status.callback_max))
        ),
        ("mask period", f"{1e3 * status.mask_period:.0f} ms"),
        ("latency", f"{1e3 * status.latency.total:.1f} ms"),
        ("scheduling of the audio thread", "real-time" if run.real_time else "that of any program"),
    ]
    table.rows += [(name, value, "", "") for name, value in rows]
    injected = ", ".join(f"{run.count(kind)} × {kind}" for kind in FAULTS)
    faded, missed = (
        ", ".join(f"{seconds:.0f} s after {kind}" for kind, seconds in each.items())
        for each in (EXPLAINED, UNDERRUN_EXPLAINED)
    )
    table.notes += [
        f"Faults: {injected}.",
        f"A fallback is explained up to {faded}; an underrun up to {missed}.",
        f"Memory: what every process got for itself (its anonymous pages); its first {WARM_UP:.0f} s, or quarter of"
        " its life, are left out, and the medians of the first and last quarter of the rest compared.",
    ]
    return Report("soak", table, _picture(run), {"memory": _memory(run), "events": _events(run)})


def write_soak(run: SoakRun, folder: Path) -> list[Path]:
    """Write ``soak.md``, ``.csv``, ``.png``, ``.json``, ``soak-memory.csv`` and ``soak-events.csv`` into ``folder``.

    Raises
    ------
    QsepError
        They cannot be written.
    """
    written = soak_report(run).write(folder)
    path = folder / "soak.json"
    write_whole(path, (json.dumps(soak_values(run), indent=1) + "\n").encode())
    return [*written, path]


def soak_values(run: SoakRun) -> dict[str, Any]:
    """Everything but the memory's course, as plain values."""
    grown = run.growth()
    return {
        "blocksize": run.blocksize,
        "minutes": run.minutes,
        "seed": run.seed,
        "targets": [asdict(target) for target in targets(run)],
        "late": run.late and dict(run.late),
        "real_time": run.real_time,
        "passthrough_underruns": run.passthrough_underruns,
        "unexplained_underruns": run.unexplained_underruns(),
        "unexplained_fallbacks": run.unexplained_fallbacks(),
        "memory_growth": None if grown is None else round(grown),
        "faults": [asdict(fault) for fault in run.faults],
        "fallbacks": run.fallbacks,
        "underruns": run.underruns,
        "status": run.status.as_json(),
    }


def _memory(run: SoakRun) -> Table:
    rows: list[Any] = [(name, at, size) for name, series in run.memory.items() for at, size in series]
    return Table("Memory", ("process", "seconds", "bytes"), rows)


def _events(run: SoakRun) -> Table:
    rows: list[Any] = [(at, text) for at, text in run.events]
    rows += [(fault.at, f"FAULT: {fault.kind}") for fault in run.faults]
    rows += [(at, f"{count} fallbacks") for at, count in run.fallbacks]
    rows += [(at, f"{count} underruns") for at, count in run.underruns]
    return Table("Events", ("seconds", "what"), sorted(rows))


def _named(late: Mapping[str, int] | None) -> str:
    if late is None:
        return "not this server"
    return ", ".join(f"{name} {count}" for name, count in sorted(late.items())) or "nobody"


def _picture(run: SoakRun) -> Any:
    plt = pyplot()
    figure, axes = plt.subplots(figsize=(9, 4.5), layout="constrained")
    colours: dict[str, str] = {}
    for name, series in run.memory.items():
        role = name.partition(" ")[0]
        label = None if role in colours else role
        colour = colours.setdefault(role, f"C{len(colours)}")
        axes.plot([at / 60 for at, _ in series], [size / MIB for _, size in series], color=colour, label=label)
    for fault in run.faults:
        axes.axvline(fault.at / 60, color="grey", linewidth=0.5, linestyle=":")
    axes.set(xlabel="minutes", ylabel="MiB", title="Memory of each process; dotted: a fault", ylim=(0, None))
    if colours:
        axes.legend(fontsize="small")
    plt.close(figure)
    return figure

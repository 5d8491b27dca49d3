"""The default delay: the best point of the dial that this machine can hold, measured once and remembered.

The live engine's own mask loop runs for some seconds, and how old its masks get is kept in the user's cache folder. The
delay follows from that and from the model's frontier.
"""

from __future__ import annotations

import json
import math
import os
import platform
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from qsep_live import __version__
from qsep_live.bundled import cache_folder
from qsep_live.engine.delay import LONGEST, REFERENCE_RATE, exact_delay
from qsep_live.engine.frontier import FORGIVEN, Frontier, load_frontier
from qsep_live.engine.mask_process import MaskSettings
from qsep_live.engine.pace import MaskPace, mask_pace
from qsep_live.errors import QsepError
from qsep_live.whole_file import write_whole

SCHEMA = 1
SHORTEST_DEFAULT = 1024 / REFERENCE_RATE
"""Seconds: with less, a filter's look-ahead is cut short, which loses more than it saves."""


@dataclass(frozen=True)
class MachineDelay:
    """A delay in seconds, how masks came on this machine, the frontier it was chosen by, if there is one, and the
    frames in the network's window."""

    delay: float
    pace: MaskPace
    frontier: Frontier | None
    window: int

    @property
    def why(self) -> str:
        """One line for people."""
        pace = self.pace
        told = (
            f"{pace.backend}: {1e3 * pace.step:.1f} ms a mask, one every {1e3 * pace.period:.0f} ms, up to"
            f" {1e3 * pace.age:.0f} ms old; --delay {1e3 * self.delay:.0f}ms is the shortest"
        )
        if self.frontier is None:
            return f"{told} at which every mask is on time (this model's frontier was not measured)"
        return f"{told} within {FORGIVEN:g} dB of the best ({self.frontier.data})"


def machine_delay(
    settings: MaskSettings, fingerprint: str, tell: Callable[[str], None], again: bool = False
) -> MachineDelay:
    """The delay for a model on this machine, from the cache, or measured where that says nothing or is stale.

    Parameters
    ----------
    fingerprint
        Of the model in ``settings``.
    tell
        Hears one line if it was measured.
    again
        Measure in any case.

    Raises
    ------
    QsepError
        The mask process does not run, or is too slow.
    """
    path = cache_folder() / "pace.json"
    key = {
        "model": fingerprint, "device": settings.device, "threads": settings.threads, "presets": settings.presets,
        "window": settings.window,
        "version": __version__, **this_machine(),
    }  # fmt: skip
    entries, fault = _read(path)
    found = None if again else next((MaskPace(**entry["pace"]) for entry in entries if entry["key"] == key), None)
    if found is None:
        found = mask_pace(settings)
        others = [entry for entry in entries if not _same_place(entry["key"], key)]
        document = {"schema": SCHEMA, "entries": [*others, {"key": key, "pace": asdict(found)}]}
        kept = "kept for next time"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, (json.dumps(document, indent=1) + "\n").encode())
        except (OSError, QsepError) as error:
            kept = f"not kept: {error}"
        stale = fault or ("what was kept is of another state of this machine" if len(others) < len(entries) else "")
        choice = _choose(found, settings, fingerprint)
        tell(f"{stale + '; ' if stale and not again else ''}measured for the default delay: {choice.why}; {kept}")
        return choice
    return _choose(found, settings, fingerprint)


def this_machine() -> dict[str, Any]:
    """What tells one machine, and its state, from another."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {"node": platform.node(), "machine": platform.machine(), "processor": _processor(), "cores": cores}


def _choose(pace: MaskPace, settings: MaskSettings, fingerprint: str) -> MachineDelay:
    frontier = load_frontier(settings.model, fingerprint)
    delay = exact_delay(pace.age) + (0.0 if frontier is None else frontier.lead)
    # Whole milliseconds, as they are printed.
    whole = math.ceil(1e3 * min(max(SHORTEST_DEFAULT, delay), LONGEST)) / 1e3
    return MachineDelay(whole, pace, frontier, settings.window)


def _same_place(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether two keys are of the same work on the same device: the newer one takes the older one's place."""
    return all(one.get(name) == other[name] for name in ("model", "device", "threads", "presets", "window"))


def _read(path: Path) -> tuple[list[dict[str, Any]], str]:
    """The entries of the cache, and what is wrong with it, if anything."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        if document["schema"] != SCHEMA:
            return [], f"{path} has schema {document['schema']}, not {SCHEMA}"
        entries = [entry for entry in document["entries"] if isinstance(entry["key"], dict)]
        for entry in entries:
            MaskPace(**entry["pace"])
    except FileNotFoundError:
        return [], ""
    except (OSError, ValueError, KeyError, TypeError):
        return [], f"{path} is damaged"
    return entries, ""


def _processor() -> str:
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()

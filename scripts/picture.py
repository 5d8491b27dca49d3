"""Draws docs/running.svg: the terminal of a real session on the demo song. Needs a JACK server (or a sound card)."""

from __future__ import annotations

import time
from pathlib import Path

from rich.console import Console

from qsep_live.bundled import bundled_folder
from qsep_live.engine.endpoint import Endpoint
from qsep_live.engine.part import Part
from qsep_live.engine.session import TICK, LiveSession
from qsep_live.engine.session_config import SessionConfig
from qsep_live.latent.library import PresetLibrary
from qsep_live.ui.meters import panel

SECONDS = 12.0


def main() -> None:
    library = PresetLibrary()
    presets = tuple(library.get(name) for name in ("vocals", "drums"))
    model = bundled_folder("models") / "default.safetensors"
    session = LiveSession(SessionConfig((Part(presets),), model, input=Endpoint("demo", "demo"), listen=False), print)
    session.start()
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        session.tick()
        time.sleep(TICK)
    status = session.status()
    session.stop()
    console = Console(record=True, width=100)
    console.print(panel(status))
    target = Path(__file__).parents[1] / "docs" / "running.svg"
    console.save_svg(str(target), title="qsep-live --input demo --preset vocals,drums")


if __name__ == "__main__":
    main()

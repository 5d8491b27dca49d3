"""PortAudio is used in child processes only: it can hang the one it is in."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from collections.abc import Callable
from typing import Any

import pytest


@pytest.fixture(scope="session")
def child() -> Callable[..., Any]:
    """Run code in a process of its own: ``report(value)`` sends one value back and leaves by os._exit."""

    def run(code: str, env: dict[str, str] | None = None, timeout: float = 60) -> Any:
        head = """
            import json, os, sys, time
            import numpy as np
            def report(value):
                print("REPORT" + json.dumps(value), flush=True)
                os._exit(0)
        """
        script = textwrap.dedent(head) + textwrap.dedent(code)
        done = subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True, timeout=timeout)
        lines = [line for line in done.stdout.splitlines() if line.startswith("REPORT")]
        assert lines, f"no report (exit {done.returncode}):\n{done.stdout}\n{done.stderr}"
        return json.loads(lines[-1].removeprefix("REPORT"))

    return run

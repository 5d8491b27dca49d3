"""`bench live` at two block sizes, on a server that it starts."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any


def test_a_table_of_block_sizes(jack_server: Any, home: Any) -> None:
    command = [sys.executable, "-m", "qsep_live", "bench", "live", "--model", str(home.model), "--minutes", "0.05"]
    command += ["-p", "vocals", "--blocksize", "512", "--blocksize", "1024"]
    told = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **home.env}, timeout=120)
    assert told.returncode == 0, told.stderr
    rows = [line.split("|")[1:-1] for line in told.stdout.splitlines() if line.startswith("| ")]
    assert [row[0].strip() for row in rows] == ["frames", "---", "512", "1024"]
    for row in rows[2:]:
        budget, delay = float(row[1]), float(row[2])
        assert 11.0 < budget < delay

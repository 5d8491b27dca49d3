"""`qsep-live doctor --loopback` on a real JACK server, which has to be the cable too."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest


def doctor(jack: Any, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "qsep_live", "doctor", "--loopback", "--json", *options]
    return subprocess.run(command, env=jack.env, capture_output=True, text=True, timeout=120, check=False)


def test_the_round_trip_through_the_server_is_one_block(jack: Any) -> None:
    told = doctor(jack)
    assert (told.returncode, told.stderr) == (0, ""), told.stdout
    (line,) = map(json.loads, told.stdout.splitlines())
    assert line["result"] == "ok"
    assert line["inside"]
    assert round(line["measured"] * line["rate"]) == jack.period == line["blocksize"]
    assert line["level"] == pytest.approx(1.0, abs=1e-3)
    assert f"measured {1e3 * jack.period / jack.rate:.1f} ms ({jack.period} samples)" in line["text"]
    assert f"{1e3 * (line['measured'] - line['declared']):+.1f} ms" in line["text"]


def test_a_device_that_is_not_there_is_one_line(jack: Any) -> None:
    told = doctor(jack, "--output", "no such interface")
    assert told.returncode == 1
    (line,) = map(json.loads, told.stdout.splitlines())
    assert (line["subject"], line["result"]) == ("loopback", "fail")
    assert "no such interface" in line["text"]

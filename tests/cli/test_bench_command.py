from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any


def test_callback_rows(spawn: Callable[..., Any], tiny_model: tuple[Path, str]) -> None:
    told = spawn("bench", "callback", "--model", tiny_model[0], "--blocksize", "512", "--seconds", "0.5", "--json")
    assert (told.code, told.err) == (0, "")
    without, with_masks = [json.loads(line) for line in told.out.splitlines()]
    assert (without["mask"], with_masks["mask"]) == (False, True)
    for row in (without, with_masks):
        assert row["blocksize"] == 512
        assert 0 < row["median"] <= row["p99"] <= row["p999"]


def test_mask_rows(spawn: Callable[..., Any], tiny_model: tuple[Path, str]) -> None:
    told = spawn("bench", "mask", "--model", tiny_model[0], "--threads", "1", "--repeats", "2", "--json")
    assert told.code == 0, told.err
    rows = [json.loads(line) for line in told.out.splitlines()]
    assert {row["type"] for row in rows} == {"mask"}
    assert all(row["median"] > 0 for row in rows)


def test_startup(spawn: Callable[..., Any]) -> None:
    told = spawn("bench", "startup")
    assert (told.code, told.err) == (0, "")
    assert [line.split()[0] for line in told.out.splitlines()] == ["python", "help"]


def test_a_missing_model_is_one_line(qsep: Callable[..., Any]) -> None:
    for name in ("mask", "callback", "memory", "live"):
        qsep("bench", name, "--model", "gone.safetensors").fails(1, "gone.safetensors")

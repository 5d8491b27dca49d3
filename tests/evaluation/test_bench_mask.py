"""The benchmark of the mask path, on a small model: one row a backend, each from a process of its own."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

from qsep_live.dsp.grid import FRAMES, MODEL_RATE, SEGMENT
from qsep_live.errors import QsepError
from qsep_live.evaluation.bench_mask import Row, mask_bench, mask_table
from qsep_live.nets.model import Model, save_model
from qsep_live.nets.query_net import QueryNet, QueryNetConfig
from qsep_live.nets.separator import Separator, SeparatorConfig


def test_each_backend_has_a_row(tmp_path: Path) -> None:
    separator = Separator(SeparatorConfig((4, 4), final_adain=False))
    path = tmp_path / "model.safetensors"
    save_model(Model(separator, QueryNet(QueryNetConfig((2,) * 6, gru_units=4))), path)
    every = mask_bench(path, threads=(1,), repeats=3, presets=(1, 2))
    for row in every:
        assert row.operations > 0.0
        assert 0.0 < row.share < 1.5
    rows = [row for row in every if row.backend.endswith("cpu") and row.presets == 1]
    wanted = ["openvino cpu", "torch cpu"] if find_spec("openvino") else ["torch cpu"]
    assert [row.backend for row in rows] == wanted
    for row in rows:
        assert 0.0 < row.median <= row.p90
        assert row.start > 0.0
        assert row.memory > 20 << 20
    if find_spec("openvino"):
        assert rows[0].memory < rows[1].memory, "a process of its own, without torch"


def test_factors_are_of_a_window_and_of_a_hop() -> None:
    row = Row("torch cpu", 1, SEGMENT / MODEL_RATE, 4.0, 1.0, 1 << 20, frames=FRAMES)
    assert row.window_factor == pytest.approx(1.0)
    assert row.hop_factor == pytest.approx(259.0)


def test_the_table_has_a_line_a_row() -> None:
    one = Row("openvino cpu", 1, 0.045, 0.0561, 0.8, 160 << 20, 1, 1.35e9, 60e9)
    two = Row("openvino cpu", 1, 0.072, 0.08, 0.8, 160 << 20, 2, 2e9, 60e9)
    rows = [one, Row("torch cpu", 2, 0.1, 0.2, 2.5, 300 << 20), two]
    head, *lines = mask_table(rows).splitlines()
    assert head.split()[:7] == ["backend", "threads", "presets", "frames", "median", "p90", "window"]
    assert [len(line) for line in lines[:2]] == [len(head)] * 2
    wanted = "openvino cpu 1 1 128 45.0 ms 56.1 ms 0.030× 3.9× 1.35 30.0 60.0 50 % 0.80 s 160 MiB"
    assert " ".join(lines[0].split()) == wanted
    assert lines[3:] == ["2 presets at once on openvino cpu, 1 thread: 80 % of one by one"]


def test_a_missing_model_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(QsepError, match="No such file"):
        mask_bench(tmp_path / "none.safetensors")

"""The benchmark of the mask path, on a small model: one row a backend, each from a process of its own."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

from qsep_live.dsp.grid import MODEL_RATE, SEGMENT
from qsep_live.errors import QsepError
from qsep_live.evaluation.bench_mask import Row, mask_bench, mask_table
from qsep_live.nets.model import Model, save_model
from qsep_live.nets.query_net import QueryNet, QueryNetConfig
from qsep_live.nets.separator import Separator, SeparatorConfig


def test_each_backend_has_a_row(tmp_path: Path) -> None:
    separator = Separator(SeparatorConfig((4, 4), final_adain=False))
    path = tmp_path / "model.safetensors"
    save_model(Model(separator, QueryNet(QueryNetConfig((2,) * 6, gru_units=4))), path)
    rows = [row for row in mask_bench(path, threads=(1,), repeats=3) if row.backend.endswith("cpu")]
    wanted = ["openvino cpu", "torch cpu"] if find_spec("openvino") else ["torch cpu"]
    assert [row.backend for row in rows] == wanted
    for row in rows:
        assert 0.0 < row.median <= row.p90
        assert row.start > 0.0
        assert row.memory > 20 << 20
    if find_spec("openvino"):
        assert rows[0].memory < rows[1].memory, "a process of its own, without torch"


def test_factors_are_of_a_window_and_of_a_hop() -> None:
    row = Row("torch cpu", 1, SEGMENT / MODEL_RATE, 4.0, 1.0, 1 << 20)
    assert row.window_factor == pytest.approx(1.0)
    assert row.hop_factor == pytest.approx(259.0)


def test_the_table_has_a_line_a_row() -> None:
    rows = [Row("openvino cpu", 1, 0.045, 0.0561, 0.8, 160 << 20), Row("torch cpu", 2, 0.1, 0.2, 2.5, 300 << 20)]
    head, *lines = mask_table(rows).splitlines()
    assert head.split() == ["backend", "threads", "median", "p90", "window", "hop", "start", "memory"]
    assert [len(line) for line in lines] == [len(head)] * 2
    assert " ".join(lines[0].split()) == "openvino cpu 1 45.0 ms 56.1 ms 0.015× 3.9× 0.80 s 160 MiB"


def test_a_missing_model_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(QsepError, match="No such file"):
        mask_bench(tmp_path / "none.safetensors")

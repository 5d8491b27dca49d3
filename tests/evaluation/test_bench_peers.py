"""The comparison with other separators, with small real networks in place of those that need an extra."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from qsep_live.errors import UsageError
from qsep_live.evaluation import peers
from qsep_live.evaluation.bench_peers import PeerRow, peers_bench, peers_table
from qsep_live.evaluation.network import NetworkSpec
from qsep_live.evaluation.peers import DELAY, PEERS, RATE, Peer, windowed


class Four(nn.Module):
    """Four stems of one convolution each, from stereo: (B, 2, samples) to (B, 4, 2, samples)."""

    def __init__(self) -> None:
        super().__init__()
        self.stems = nn.Conv1d(2, 8, 31, padding=15)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        stems: torch.Tensor = self.stems(x)
        return stems.unflatten(1, (4, 2))


def stand_in(_model: Path, threads: int) -> peers.Step:
    torch.set_num_threads(threads)
    return windowed(Four(), RATE // 2)


def test_ours_is_measured_beside_another(small: NetworkSpec) -> None:
    another = Peer("another", "torch", stand_in, DELAY // 2, "a window", 4, "1.00")
    missing = Peer("a third", "no_such_separator", stand_in, DELAY, "never", 4)
    rows = peers_bench(small.path, repeats=2, peers=(PEERS[0], another, missing))
    assert [row.step is None for row in rows] == [False, False, True]
    for row in rows[:2]:
        assert row.step is not None
        assert row.cost == pytest.approx(row.step * RATE / row.peer.hop)
    head, first, second, third, last = peers_table(rows).splitlines()
    assert head.split()[0] == "separator"
    assert " 1.0×" in first
    assert second.split()[0] == "another"
    assert "qsep-live[peers]" in third
    assert "23 ms late" in last


def test_a_window_moves_on_by_a_hop() -> None:
    seen: list[torch.Tensor] = []

    class Watching(Four):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            seen.append(x.clone())
            return super().forward(x)

    network = Watching()
    step = windowed(network, 1000, hop=300)
    outs = [step() for _ in range(3)]
    assert [tuple(out.shape) for out in outs] == [(1, 4, 2, 300)] * 3
    for before, after in itertools.pairwise(seen):
        torch.testing.assert_close(after[..., :-300], before[..., 300:])
        assert after[..., -300:].abs().min() > 0.0
    with torch.no_grad():
        torch.testing.assert_close(outs[-1], network.eval()(seen[-1])[..., -300:])


def test_without_the_extra_it_says_how_to_get_it(small: NetworkSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "find_spec", lambda _name: None)
    with pytest.raises(UsageError, match=r"pip install 'qsep-live\[peers\]'") as caught:
        peers_bench(small.path)
    assert len(str(caught.value).splitlines()) == 1


def test_what_is_missing_is_stood_in_for_only_while_importing() -> None:
    with peers._stood_in("json", "no_such_package"):
        assert "no_such_package.encoders" in sys.modules
    assert not [name for name in sys.modules if name.startswith("no_such_package")]
    assert "json" in sys.modules


def test_a_row_of_what_is_not_there() -> None:
    assert PeerRow(PEERS[-1], None).cost is None

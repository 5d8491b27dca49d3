from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qsep_live.dsp.tape import Tape

TRAFFIC = st.lists(st.tuples(st.sampled_from(["push", "view", "skip"]), st.integers(0, 60)), max_size=60)


def stretch(start: int, count: int) -> np.ndarray:
    ramp = np.arange(start, start + count, dtype=np.float32)
    return np.stack([ramp, -ramp])


@settings(deadline=None)
@given(TRAFFIC, st.integers(1, 80), st.integers(0, 20))
def test_random_traffic_keeps_every_sample(traffic: list[tuple[str, int]], capacity: int, filled: int) -> None:
    tape = Tape(2, max(capacity, filled), filled)
    kept = np.zeros((2, filled), np.float32)
    pushed = 0
    for action, count in traffic:
        if action == "push":
            tape.push(stretch(pushed, count))
            kept = np.concatenate([kept, stretch(pushed, count)], axis=1)
            pushed += count
        elif action == "view":
            offset = count // 2
            if offset + count <= kept.shape[1]:
                np.testing.assert_array_equal(tape.view(count, offset), kept[:, offset : offset + count])
        elif count <= kept.shape[1]:
            tape.skip(count)
            kept = kept[:, count:]
        assert len(tape) == kept.shape[1]
        np.testing.assert_array_equal(tape.view(len(tape)), kept)


def test_more_than_there_is_cannot_be_seen_or_skipped() -> None:
    tape = Tape(1, 16, 4)
    with pytest.raises(ValueError, match="5 samples at 0 asked of 4"):
        tape.view(5)
    with pytest.raises(ValueError, match="2 samples at 3 asked of 4"):
        tape.view(2, 3)
    with pytest.raises(ValueError, match="5 samples skipped of 4"):
        tape.skip(5)


def test_a_view_is_not_a_copy() -> None:
    tape = Tape(1, 16, 4)
    assert np.shares_memory(tape.view(4), tape.view(4))

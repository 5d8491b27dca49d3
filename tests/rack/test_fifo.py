from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qsep_live.rack.fifo import Fifo


@given(st.lists(st.tuples(st.sampled_from(["push", "pop", "drop"]), st.integers(0, 12)), max_size=60))
def test_random_traffic_against_a_list(traffic: list[tuple[str, int]]) -> None:
    fifo, model, counter = Fifo(2, 20), list[float](), 0.0
    for action, frames in traffic:
        if action == "push":
            block = np.arange(counter, counter + frames, dtype=np.float32)
            if len(model) + frames > 20:
                with pytest.raises(OverflowError):
                    fifo.push(np.stack([block, -block]))
                continue
            fifo.push(np.stack([block, -block]))
            model += list(block)
            counter += frames
        elif action == "drop":
            assert fifo.drop(frames) == min(frames, len(model))
            model = model[frames:]
        elif frames > len(model):
            with pytest.raises(ValueError, match="wanted"):
                fifo.pop(frames)
        else:
            out = fifo.pop(frames)
            assert list(out[0]) == model[:frames]
            assert list(out[1]) == [-x for x in model[:frames]]
            model = model[frames:]
        assert fifo.count == len(model)

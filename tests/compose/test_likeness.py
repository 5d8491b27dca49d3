from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from qsep_live.compose.chords import certain
from qsep_live.compose.likeness import expected_similarity
from qsep_live.compose.measures import measure
from qsep_live.compose.melody import FIRST_NOTE, HOLD, TOKENS, melody_of

TOKEN = st.sampled_from([0, HOLD, HOLD, FIRST_NOTE, FIRST_NOTE + 7])


@given(st.lists(st.lists(TOKEN, min_size=96, max_size=96), min_size=1, max_size=3))
def test_of_written_melodies_it_is_the_measure(melodies: list[list[int]]) -> None:
    found = expected_similarity(certain(torch.tensor(melodies)))
    assert found.tolist() == pytest.approx([measure(melody_of(each)).similarity for each in melodies], abs=1e-5)


def test_its_gradient_leads_to_bars_that_are_more_alike() -> None:
    logits = torch.randn(4, 64, TOKENS, generator=torch.Generator().manual_seed(1)).requires_grad_(True)
    before = expected_similarity(torch.softmax(logits, dim=2))
    (gradient,) = torch.autograd.grad(before.sum(), logits)
    with torch.no_grad():
        after = expected_similarity(torch.softmax(logits + 50.0 * gradient, dim=2))
    assert (after > before).all()

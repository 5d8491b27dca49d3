"""The Query-net that learns to tell sounds apart."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from qsep_live.dsp.grid import MODEL_RATE, SEGMENT
from qsep_live.nets.query_net import QueryNet, QueryNetConfig
from qsep_live.training.augment import AugmentConfig
from qsep_live.training.data import CLASSES, Bank, Song
from qsep_live.training.listening import Listening, ListeningConfig, listen, listening_losses, recognised
from qsep_live.training.reporter import Silent
from qsep_live.training.schedule import Budget

PLAIN = ListeningConfig(batch=3, augment=AugmentConfig())


def small() -> QueryNet:
    torch.manual_seed(0)
    return QueryNet(QueryNetConfig((2, 4, 4, 8, 8, 8), gru_units=8, latent=8, input_power=0.5))


def song(name: str, seed: int) -> Song:
    """Each class has a register of its own."""
    random = np.random.default_rng(seed)
    time = np.arange(4 * MODEL_RATE) / MODEL_RATE
    stems = {}
    for kind, hertz in zip(CLASSES, (1200.0, 7000.0, 90.0, 3000.0), strict=True):
        tone = np.sin(2 * np.pi * hertz * random.uniform(0.9, 1.1) * time) + 0.02 * random.standard_normal(len(time))
        stems[kind] = np.stack([9000 * tone, 8000 * tone]).astype(np.int16)
    return Song(name, stems)


def solo(name: str, hertz: float, seed: int) -> Song:
    time = np.arange(4 * MODEL_RATE) / MODEL_RATE
    tone = 9000 * np.sign(np.sin(2 * np.pi * hertz * (1 + 0.05 * seed) * time))
    return Song(f"{name} {seed}", {name: tone.astype(np.int16)[None]})


@pytest.fixture
def instruments() -> Bank:
    made = [
        solo(name, hertz, seed) for name, hertz in (("other/reed", 300.0), ("drums/bell", 5000.0)) for seed in (0, 1)
    ]
    return Bank(tuple(made), instruments=True)


@pytest.fixture
def banks(instruments: Bank) -> list[Bank]:
    return [Bank((song("one", seed=1), song("two", seed=2))), instruments]


def test_what_is_drawn_is_named(banks: list[Bank]) -> None:
    listening = Listening(banks, replace(PLAIN, second=0.4))
    assert listening.instruments == ["drums/bell", "other/reed"]
    items = [listening.item(number) for number in range(60)]
    for item in items:
        assert item.sounds.shape == (2, 2, SEGMENT)
        assert 1 <= item.classes.sum() <= 2
        if item.instrument >= 0:
            coarse = listening.instruments[item.instrument].partition("/")[0]
            assert item.classes.tolist() == [name == coarse for name in CLASSES]
    assert {item.instrument for item in items} == {-1, 0, 1}
    assert {int(item.classes.sum()) for item in items} == {1, 2}
    again = listening.item(7)
    np.testing.assert_array_equal(again.sounds, items[7].sounds)


def test_the_terms_of_sure_answers() -> None:
    """A net that knows: what it is asked costs next to nothing, and recordings that are alike cost the logarithm of
    their number."""
    net = small()

    class Sure(torch.nn.Module):
        def forward(self, _: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return torch.eye(8)[[0, 0, 1, 1]] * 50.0, torch.full((4, 8), -20.0)

    head = torch.nn.Linear(8, 6)
    with torch.no_grad():
        head.weight.zero_()
        head.bias.zero_()
        head.weight[0, 0] = head.weight[1, 1] = head.weight[4, 0] = head.weight[5, 1] = 1.0
        head.bias[:4] = -25.0
    sounds = torch.zeros(2, 2, 1, SEGMENT)
    classes = torch.eye(4)[[0, 1]]
    terms = listening_losses(Sure(), head, sounds, classes, torch.tensor([0, 1]))  # type: ignore[arg-type]
    assert terms[0] < 1e-6
    assert terms[1] < 1e-6
    assert terms[2].item() == pytest.approx(math.log(1 + 2 * math.exp(-1 / 0.2)), rel=1e-3)
    unknown = listening_losses(net, torch.nn.Linear(8, 6), sounds, classes, torch.tensor([-1, -1]))
    assert unknown[1] == 0.0
    assert unknown[2].item() == pytest.approx(math.log(3), rel=1e-3), (
        "silence is silence: all are as near as the partner"
    )


def test_it_learns_to_tell_apart(banks: list[Bank], instruments: Bank) -> None:
    net, config = small(), replace(PLAIN, learning_rate=5e-3, average=0.5)
    listening = Listening(banks, config)
    items = [listening.item(1000 + number) for number in range(8)]
    sounds = torch.from_numpy(np.stack([item.sounds for item in items]))
    classes = torch.from_numpy(np.stack([item.classes for item in items]))
    head, unknown = torch.nn.Linear(8, 6), torch.full((8,), -1)

    def recordings() -> float:
        with torch.no_grad():
            return float(listening_losses(net, head, sounds, classes, unknown)[2])

    before = recordings()
    learned = listen(net, banks, Budget(steps=25), config, Silent())
    assert recordings() < 0.8 * before
    assert not any(weight.requires_grad for weight in learned.parameters())
    found = recognised(learned, banks[:1], banks[:1], CLASSES)
    assert tuple(found) == CLASSES
    assert sum(found.values()) > 2.5, "by chance it would be 1"
    assert set(recognised(learned, [instruments], [instruments], instruments.fine())) == {"drums/bell", "other/reed"}


def test_instruments_never_stand_for_a_class(instruments: Bank) -> None:
    assert instruments.holding(("other",)) == []
    assert [found.name for found in instruments.holding(("other/reed",))] == ["other/reed 0", "other/reed 1"]

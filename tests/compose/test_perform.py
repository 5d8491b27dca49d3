"""Playing in time, on a clock made here."""

from __future__ import annotations

import numpy as np
import pytest

from qsep_live.compose.melody import Melody, Note, joined
from qsep_live.compose.perform import Tune, play
from tests.compose.conftest import tune


class Clock:
    """A clock that only sleeping moves, and what was sent at which time."""

    def __init__(self) -> None:
        self.now = 5.0
        self.sent: list[tuple[float, bytes]] = []

    def send(self, message: bytes) -> None:
        self.sent.append((self.now - 5.0, message))

    def sleep(self, seconds: float) -> None:
        self.now += seconds * 1.01  # as sleeping does, a little too long


def sounding(sent: list[tuple[float, bytes]]) -> int:
    return sum({0x90: 1, 0x80: -1}.get(data[0], 0) for _, data in sent)


def test_every_note_is_on_time() -> None:
    clock, melody = Clock(), tune(3)
    assert play(Tune(melody, 120.0, 5), clock, lambda: False, lambda: clock.now, clock.sleep)
    begun = [(moment, data) for moment, data in clock.sent if data[0] == 0x90]
    assert [data[1] for _, data in begun] == [note.pitch for note in melody.notes]
    late = np.array([moment for moment, _ in begun]) - [note.start * 0.125 for note in melody.notes]
    assert (late >= -1e-9).all()
    assert late.max() < 0.001  # lateness does not add up
    assert clock.sent[0][1] == bytes([0xC0, 5])
    assert clock.now - 5.0 == pytest.approx(melody.steps * 0.125, abs=0.001)


@pytest.mark.parametrize("after", [0.0, 0.3, 1.7, 20.0])
def test_a_stop_leaves_no_note_sounding(after: float) -> None:
    clock = Clock()
    assert not play(Tune(tune(3), 120.0, 0), clock, lambda: clock.now - 5.0 >= after, lambda: clock.now, clock.sleep)
    assert clock.now - 5.0 == pytest.approx(after, abs=0.05)
    assert sounding(clock.sent) == 0
    assert clock.sent[-1][1] == bytes([0xB0, 123, 0])


def test_a_port_that_goes_away_is_an_error_after_a_last_try() -> None:
    clock = Clock()

    def gone() -> bool:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        play(Tune(tune(3), 120.0, 0), clock, gone, lambda: clock.now, clock.sleep)
    assert clock.sent[-1][1][0] == 0xB0


def test_joined_melodies_follow_each_other() -> None:
    whole = joined([Melody((Note(0, 4, 60),), 16), Melody((Note(2, 4, 62),), 16)])
    assert whole == Melody((Note(0, 4, 60), Note(18, 4, 62)), 32)

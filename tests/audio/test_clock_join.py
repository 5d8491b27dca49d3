"""Two devices whose clocks disagree, by simulation: what comes when is computed, what is done with it is real."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest
from numpy.typing import NDArray

from qsep_live.audio.clock_join import ClockJoin, Mark
from qsep_live.dsp.clock import BlockClock
from qsep_live.dsp.ring import Ring

TONE = 997
PPM = 1e-6


@dataclass
class Device:
    """One side: nominal rate and block, and how its clock and its callbacks are off.

    The clock is ``ppm`` fast and wanders by ``wander`` ppm in a quarter of an hour; callbacks are late by ``jitter``
    seconds on the average, by four milliseconds at most.
    """

    rate: int
    block: int
    ppm: float = 0.0
    wander: float = 0.0
    jitter: float = 5e-4
    seed: int = 0
    due: NDArray[np.float64] = field(init=False)
    came: NDArray[np.float64] = field(init=False)

    def run(self, seconds: float) -> None:
        rng = np.random.default_rng(self.seed)
        count = int(seconds * self.rate / self.block) + 1
        clock = self.ppm + self.wander * np.sin(2 * np.pi * np.arange(count) * self.block / self.rate / 900)
        self.due = 100.0 + rng.uniform(0, 0.01) + np.cumsum(self.block / (self.rate * (1 + PPM * clock)))
        late = np.minimum(rng.exponential(self.jitter, count), 0.004)
        self.came = np.maximum.accumulate(self.due + late)


class Simulation:
    """A writer and a reader that a `ClockJoin` keeps together; the writer plays a tone."""

    def __init__(self, writer: Device, reader: Device, seconds: float) -> None:
        writer.run(1.01 * seconds + 1.0)
        reader.run(seconds)
        self.writer, self.reader = writer, reader
        self.ring, self.clock = Ring.allocate(1 << 15, 1), BlockClock(writer.rate)
        self.mark: Mark | None = None
        self.join = ClockJoin(self.ring, 1, reader.rate, lambda: self.mark)
        self.tone = (0.5 * np.sin(2 * np.pi * TONE * np.arange(writer.rate) / writer.rate)).astype(np.float32)[:, None]
        self.out = np.zeros((len(reader.due) * reader.block, 1), np.float32)
        self.delays = np.zeros(len(reader.due))
        self.written = self.read = 0
        self.first, self.epoch = 0, 1

    def write(self, number: int) -> None:
        block = self.writer.block
        places = np.arange(number * block, (number + 1) * block) % self.writer.rate
        self.ring.write(self.tone[places])
        due = self.clock.tick(self.writer.came[number], block)
        self.mark = Mark(self.epoch, self.writer.rate, self.first, self.ring.written, due, self.clock.seconds, block)

    def run(self, blocks: int | None = None, unplugged: bool = False) -> None:
        """The next blocks of the reader, all by default, with the writer's in between (or none)."""
        size = self.reader.block
        for number in range(self.read, len(self.reader.due) if blocks is None else self.read + blocks):
            now = self.reader.came[number]
            while self.writer.came[self.written] <= now:
                if not unplugged:
                    self.write(self.written)
                self.written += 1
            self.join.read_into(self.out[number * size : (number + 1) * size], now)
            self.delays[number] = self.join.delay
        self.read = number + 1

    def replug(self) -> None:
        """Another writer, which has its own idea of time."""
        self.epoch += 1
        self.first, self.clock, self.mark = self.ring.written, BlockClock(self.writer.rate), None
        self.clock.position = self.ring.written


def noise_beside_the_tone(sound: NDArray[np.float32], rate: int) -> NDArray[np.float64]:
    """dB below the tone, for each second: all that is not a sine of one frequency, whichever."""
    n, told = np.arange(rate), []
    half, window = rate // 2, np.hanning(rate // 2)
    for start in range(0, len(sound) - rate + 1, rate):
        part = sound[start : start + rate].astype(np.float64)
        turned = part * np.exp(-2j * np.pi * TONE * n / rate)
        first, second = (np.sum(window * piece) for piece in (turned[:half], turned[-half:]))
        hertz = TONE + float(np.angle(second / first)) / np.pi
        waves = np.stack([np.sin(2 * np.pi * hertz * n / rate), np.cos(2 * np.pi * hertz * n / rate)], axis=1)
        fitted = waves @ np.linalg.lstsq(waves, part, rcond=None)[0]
        told.append(10 * np.log10(np.sum(fitted**2) / np.sum((part - fitted) ** 2)))
    return np.array(told)


def test_an_hour_without_drift_or_drops() -> None:
    """400 ppm apart and wandering: 1.4 s in an hour, were nothing done."""
    rate, block = 8000, 512
    simulation = Simulation(Device(rate, block, 200, 30, seed=1), Device(rate, block, -200, 30, seed=2), 3600.0)
    simulation.run()
    settled = simulation.delays[len(simulation.delays) // 60 :]
    assert np.ptp(settled) < 0.002
    assert (simulation.join.dropped, simulation.join.silent) == (0, 0)
    sound = simulation.out[60 * rate :, 0]
    for start in (0, len(sound) // 2, len(sound) - 60 * rate):
        quality = noise_beside_the_tone(sound[start : start + 60 * rate], rate)
        assert np.median(quality) > 40
    assert simulation.join.drift / PPM == pytest.approx(400, abs=60)


@pytest.mark.parametrize(
    ("given", "heard"),
    [
        (Device(44100, 256, 200), Device(44100, 256, -200, seed=3)),
        (Device(48000, 256, -100), Device(44100, 512, 50, seed=4)),
        (Device(44100, 128), Device(48000, 256, seed=5)),
    ],
)
def test_a_tone_stays_a_tone(given: Device, heard: Device) -> None:
    simulation = Simulation(given, heard, 45.0)
    simulation.run()
    assert (simulation.join.dropped, simulation.join.silent) == (0, 0)
    sound = simulation.out[20 * heard.rate :, 0]
    assert np.abs(sound).max() < 0.51
    quality = noise_beside_the_tone(sound, heard.rate)
    assert quality.min() > 40
    assert np.median(quality) > 55
    # Both sides' blocks, the filter and the margin: nothing else is waited for.
    most = given.block / given.rate + heard.block / heard.rate + 0.0075
    assert simulation.delays[simulation.delays > 0].max() < most


def test_clocks_that_agree_and_are_punctual_cost_nothing_but_delay() -> None:
    simulation = Simulation(Device(44100, 256, jitter=0.0), Device(44100, 256, jitter=0.0, seed=6), 30.0)
    simulation.run()
    quality = noise_beside_the_tone(simulation.out[15 * 44100 :, 0], 44100)
    assert quality.min() > 100


def test_a_writer_that_stops_becomes_silence_without_a_click_and_comes_back() -> None:
    simulation = Simulation(Device(44100, 256, 100), Device(44100, 256, -100, seed=7), 30.0)
    simulation.run(2000)
    delay = simulation.join.delay
    simulation.run(200, unplugged=True)
    assert not simulation.join.joined
    assert not simulation.out[2050 * 256 : simulation.read * 256].any()
    simulation.replug()
    simulation.run(800)
    assert simulation.join.joined
    assert simulation.join.delay == pytest.approx(delay, abs=0.001)
    assert np.abs(simulation.out[2300 * 256 :]).max() > 0.4
    # A tone of half of full scale moves by 0.071 from sample to sample.
    assert np.abs(np.diff(simulation.out[: simulation.read * 256, 0])).max() < 0.08
    assert np.isfinite(simulation.out).all()


@pytest.mark.parametrize("side", ["writer", "reader"])
@pytest.mark.parametrize("lost", [0.06, 2.0])
def test_a_side_that_stood_still_adds_no_delay(side: str, lost: float) -> None:
    """An xrun, or a machine that was suspended: what gathered, or was missed, is over in a moment."""
    simulation = Simulation(Device(44100, 256), Device(44100, 256, seed=8), 20.0)
    simulation.run(800)
    delay = simulation.join.delay
    stood = getattr(simulation, side)
    number = simulation.written if side == "writer" else simulation.read
    stood.came[number:] += lost
    simulation.run(1000)
    assert simulation.join.joined
    assert simulation.join.delay == pytest.approx(delay, abs=0.003)
    silent = simulation.join.silent
    simulation.run(500)
    assert simulation.join.silent == silent
    quality = noise_beside_the_tone(simulation.out[1800 * 256 : 2300 * 256, 0], 44100)
    assert quality.min() > 30


def test_a_writer_that_is_later_than_thought_gets_more_room() -> None:
    """Three blocks at once every three: frames are made up at first, then the delay has grown enough, within bounds."""
    simulation = Simulation(Device(44100, 256), Device(44100, 256, jitter=0.0, seed=9), 20.0)
    came = simulation.writer.came
    came[:] = np.repeat(came[2::3], 3)[: len(came)].tolist() + [came[-1]] * (len(came) % 3)
    simulation.run(1000)
    early = simulation.join.silent
    assert early > 0
    simulation.run(1000)
    assert simulation.join.silent == early
    assert simulation.join.delay < 0.06

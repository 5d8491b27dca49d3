"""The latency that a cable from output to input shows, beside the one that the interface declares.

A chirp is played out of every output channel and recorded; where it correlates best is how long it was under way.

Threading: the callback only copies; everything else is the caller's.
"""

from __future__ import annotations

import math
import subprocess
import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qsep_live.audio.devices import DeviceInfo
from qsep_live.audio.fifo import Block
from qsep_live.audio.stream import DuplexStream, StreamTimes
from qsep_live.errors import QsepError

CHIRP_SECONDS, TAIL_SECONDS = 0.25, 1.0
"""The chirp's length, and the longest round trip that is looked for."""
LOUDNESS = 0.25
CLEAR = 8.0
"""How far the best place must stand out of the others' root mean square."""
PATIENCE = 10.0
"""Seconds that a passage may take."""


@dataclass(frozen=True)
class Loopback:
    """A round trip, from a sample given to the output until it is back at the input.

    Attributes
    ----------
    measured, declared
        Seconds. Declared is what PortAudio says of input and output together.
    level
        Gain of the way round: 1 for a plain cable between digital ends.
    rate, blocksize
        Of the stream, in Hz and frames.
    inside
        Whether the JACK server was the cable, so that the interface itself had no part.
    """

    measured: float
    declared: float
    level: float
    rate: int
    blocksize: int
    inside: bool


def chirp(rate: int) -> NDArray[np.float32]:
    """A sine that rises from 200 Hz to 8 kHz (or 0.4 of the rate), with soft ends, (n,)."""
    count = round(CHIRP_SECONDS * rate)
    place = np.arange(count) / rate
    top = min(8000.0, 0.4 * rate)
    phase = 2.0 * np.pi * (200.0 * place + (top - 200.0) * place**2 / (2.0 * CHIRP_SECONDS))
    ends = np.minimum(1.0, np.minimum(place, place[::-1]) / 0.01)
    return (LOUDNESS * ends * np.sin(phase)).astype(np.float32)


def find_lag(played: NDArray[np.float32], heard: NDArray[np.float32]) -> tuple[int, float] | None:
    """Where ``played`` (n,) begins in ``heard`` (m,), m ≥ n, in samples, and how loud it is there.

    None if nothing stands out.
    """
    size = 1 << (len(heard) + len(played)).bit_length()
    spectrum = np.fft.rfft(heard, size) * np.conj(np.fft.rfft(played, size))
    places = np.fft.irfft(spectrum, size)[: len(heard) - len(played) + 1]
    best = int(np.argmax(np.abs(places)))
    power = float(np.dot(played, played))
    level = float(places[best]) / power
    # The chirp's own side lobes lie within some milliseconds; what is left is noise, hum, or other music.
    rest = np.delete(places, slice(max(0, best - 2000), best + 2000))
    floor = float(np.sqrt(np.mean(rest**2))) if rest.size else 0.0
    return None if abs(level) < 1e-4 or abs(places[best]) < CLEAR * floor else (best, level)


def measure_loopback(input: DeviceInfo, output: DeviceInfo, rate: int | None = None, blocksize: int = 0) -> Loopback:
    """Play the chirp and find it again.

    Under JACK, if no cable brings it back, the server is made the cable: outputs are connected to inputs for the time.

    Raises
    ------
    QsepError
        Nothing came back, or the device does not run.
    """
    jack = "JACK" in output.hostapi
    there = _jack_ports() if jack else {}
    passage = _Passage()
    channels = (min(2, input.inputs), min(2, output.outputs))
    stream = DuplexStream(input, output, rate, blocksize, channels, passage.callback)
    try:
        stream.start()
        found, inside = _best_lag(passage, stream), False
        if found is None and jack and not passage.stalled:
            # Only what has come with the stream is this program's own: nobody else's sound is connected anywhere.
            _plug({name: kind for name, kind in _jack_ports().items() if name not in there})
            found, inside = _best_lag(passage, stream), True
        declared = sum(stream.latency)
    finally:
        stream.abort()
    if passage.stalled:
        raise QsepError(f"{output.label}: the device stopped calling; is it free, and running?")
    if found is None:
        raise QsepError(
            f"nothing of the chirp came back from {output.label} to {input.label} (input peak {passage.peak:.0f} dBFS):"
            " put a cable from an output to an input, and turn both up"
        )
    lag, level = found
    return Loopback(lag / stream.rate, declared, abs(level), stream.rate, passage.blocksize, inside)


def _best_lag(passage: _Passage, stream: DuplexStream) -> tuple[int, float] | None:
    passage.run(stream)
    found = [find_lag(passage.sound, channel) for channel in passage.heard.T]
    return max((each for each in found if each is not None), key=lambda each: abs(each[1]), default=None)


class _Passage:
    """What the callback plays and keeps: sample by sample, so that an offset between the two is time under way."""

    def __init__(self) -> None:
        self.blocksize = 0
        self.stalled = False
        self._place = -1

    @property
    def peak(self) -> float:
        """Of what came in, dBFS."""
        return 20.0 * math.log10(max(float(np.abs(self.heard).max()), 1e-6))

    def run(self, stream: DuplexStream) -> None:
        """One passage of the chirp; `stalled` if the device does not call for it."""
        self.sound = chirp(stream.rate)
        self.heard = np.zeros((len(self.sound) + round(TAIL_SECONDS * stream.rate), 2), np.float32)
        self._place = 0
        deadline = time.monotonic() + PATIENCE
        while 0 <= self._place < len(self.heard) and not self.stalled:
            time.sleep(0.02)
            self.stalled = time.monotonic() > deadline or not stream.alive(PATIENCE)
        self._place = -1

    def callback(self, indata: Block, outdata: Block, _times: StreamTimes) -> None:
        outdata[:] = 0.0
        place = self._place
        if not 0 <= place < len(self.heard):
            return
        count = min(len(indata), len(self.heard) - place)
        self.blocksize = max(self.blocksize, len(indata))
        self.heard[place : place + count, : indata.shape[1]] = indata[:count]
        rest = self.sound[place : place + len(outdata)]
        outdata[: len(rest)] = rest[:, None]
        self._place = place + count


def _jack_ports() -> dict[str, str]:
    """The server's ports by name, with JACK's words for what they are.

    Raises
    ------
    QsepError
        JACK's tools are missing.
    """
    try:
        told = subprocess.run(["jack_lsp", "-p"], capture_output=True, text=True, check=False).stdout
    except FileNotFoundError:
        raise QsepError("jack_lsp is missing, which finds JACK's ports: sudo apt-get install jackd2") from None
    ports, name = {}, ""
    for line in told.splitlines():
        if line.startswith(("\t", " ")):
            ports[name] = line.strip()
        else:
            name = line.strip()
    return ports


def _plug(ports: dict[str, str]) -> None:
    """Connect the outputs among ``ports`` to the inputs, one by one."""
    outputs, inputs = ([name for name, kind in ports.items() if side in kind] for side in ("output", "input"))
    for one, other in zip(outputs, inputs, strict=False):
        subprocess.run(["jack_connect", one, other], capture_output=True, check=False)

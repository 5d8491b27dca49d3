"""Sound through the interface: one callback that gets the input and fills the output.

One PortAudio stream for input and output, which must share a clock (`devices.same_clock`), or one side alone.

Threading: the callback runs in PortAudio's thread. Everything else is for the thread that made the stream.

When the audio server dies, no PortAudio call returns any more: not stop, not close, not the end of the
process. So nothing here tries to recover. The owner watches `alive()`, and leaves by ``os._exit`` when it
turns false; a new process starts anew.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from qsep_live.audio.devices import RATES, DeviceInfo, load_portaudio, open_streams
from qsep_live.audio.fifo import Block
from qsep_live.errors import QsepError, UsageError


@dataclass(slots=True)
class StreamTimes:
    """What PortAudio says about one callback. The same object is used again for the next.

    Attributes
    ----------
    input_latency, output_latency : float
        Seconds from the interface's input to this callback, and from it to the interface's output.
    input_overflow, output_underflow : bool
        Sound was lost before this callback, or a gap was heard.
    input_underflow, output_overflow : bool
        The rarer reverse, on hosts that report it.
    """

    input_latency: float = 0.0
    output_latency: float = 0.0
    input_overflow: bool = False
    input_underflow: bool = False
    output_underflow: bool = False
    output_overflow: bool = False

    @property
    def xrun(self) -> bool:
        """Whether anything was lost."""
        return self.input_overflow or self.input_underflow or self.output_underflow or self.output_overflow


Callback = Callable[[Block, Block, StreamTimes], None]


class DuplexStream:
    """A live stream.

    Parameters
    ----------
    input, output : DeviceInfo or None
        The devices; None for a side that is not needed.
    rate : int or None
        Sample rate in Hz; None takes one both devices open with, the output's preferred one first.
    blocksize : int
        Frames per callback; 0 lets the host decide, which adds no delay (and the block may vary).
    channels : int or (int, int)
        Channels of the callback's input and output. Where a device has fewer, one channel is copied to all or
        all are mixed into the one; further ones are silent.
    callback : callable
        ``callback(indata, outdata, times)``: float32 arrays (frames, channels). ``outdata`` is to be filled.
        A side without a device has zero channels. An exception ends the stream and is kept in `error`.
    latency : "low", "high" or float
        What to ask PortAudio for, in words or seconds.

    Attributes
    ----------
    rate : int
    channels : (int, int)
    times : StreamTimes
        The newest callback's.
    callbacks, xruns : int
        Counted since the start.
    error : BaseException or None
        What the callback raised.

    Raises
    ------
    QsepError
        The device is gone or busy, or does not open with the rate; the message says which rates work.
    """

    def __init__(
        self,
        input: DeviceInfo | None,
        output: DeviceInfo | None,
        rate: int | None,
        blocksize: int,
        channels: int | tuple[int, int],
        callback: Callback,
        latency: str | float = "low",
    ) -> None:
        if input is None and output is None:
            raise UsageError("a stream needs an input or an output device")
        self._sd = load_portaudio()
        self._callback = callback
        wanted = (channels, channels) if isinstance(channels, int) else channels
        self.channels = (wanted[0] if input else 0, wanted[1] if output else 0)
        self._device_channels = (
            min(self.channels[0], input.inputs) if input else 0,
            min(self.channels[1], output.outputs) if output else 0,
        )
        self.rate = choose_rate(input, output, rate)
        self.times = StreamTimes()
        self.callbacks = self.xruns = 0
        self.error: BaseException | None = None
        self._scratch = (np.zeros((0, 0), np.float32), np.zeros((0, 0), np.float32))
        self._grow(max(blocksize, 2048))
        self._beat = 0.0
        common = {"samplerate": self.rate, "blocksize": blocksize, "dtype": "float32", "latency": latency}
        names = " and ".join(dict.fromkeys(repr(device.name) for device in (input, output) if device))
        sd = self._sd
        try:
            if input and output:
                self._stream: Any = sd.Stream(
                    device=(input.index, output.index),
                    channels=self._device_channels,
                    callback=self._on_both,
                    **common,
                )
            elif input:
                self._stream = sd.InputStream(
                    device=input.index, channels=self._device_channels[0], callback=self._on_input, **common
                )
            elif output:
                self._stream = sd.OutputStream(
                    device=output.index, channels=self._device_channels[1], callback=self._on_output, **common
                )
        except (sd.PortAudioError, ValueError) as error:
            raise QsepError(f"the audio device {names} cannot be opened at {self.rate} Hz: {_why(error)}") from error
        self._names = names
        open_streams.add(id(self))

    def start(self) -> None:
        """Start the sound.

        Raises
        ------
        QsepError
            The device does not start.
        """
        self._beat = time.perf_counter()
        try:
            self._stream.start()
        except self._sd.PortAudioError as error:
            raise QsepError(f"the audio device {self._names} does not start: {_why(error)}") from error

    def abort(self) -> bool:
        """Stop at once and close the stream.

        Returns
        -------
        bool
            False when the audio server is gone. PortAudio was then not touched, as it would hang: the process
            must be left by ``os._exit``.
        """
        if id(self) not in open_streams:
            return True
        if self.error is None and self._beat and not self.alive():
            return False
        self._stream.abort()
        self._stream.close()
        open_streams.discard(id(self))
        return True

    @property
    def active(self) -> bool:
        """PortAudio's word that the stream runs. Some servers die without its noticing: see `alive`."""
        return bool(self._stream.active)

    @property
    def last_callback_age(self) -> float:
        """Seconds since the callback last ran, or since the start."""
        return time.perf_counter() - self._beat if self._beat else 0.0

    def alive(self, patience: float = 1.0) -> bool:
        """Whether sound is running: the stream is active and called back within ``patience`` seconds."""
        return self.error is None and self.active and self.last_callback_age < patience

    @property
    def latency(self) -> tuple[float, float]:
        """Input and output latency of the devices in seconds; 0.0 for a side that is not there.

        From the newest callback's time stamps; before the first, PortAudio's estimate.
        """
        if self.callbacks:
            return self.times.input_latency, self.times.output_latency
        return self._estimate(0), self._estimate(1)

    def _estimate(self, side: int) -> float:
        if not self.channels[side]:
            return 0.0
        value = self._stream.latency
        return float(value[side] if isinstance(value, tuple) else value)

    def _on_both(self, indata: Block, outdata: Block, frames: int, clock: Any, flags: Any) -> None:
        self.times.input_latency = _span(clock.inputBufferAdcTime, clock.currentTime)
        self.times.output_latency = _span(clock.currentTime, clock.outputBufferDacTime)
        self._run(indata, outdata, frames, flags)

    def _on_input(self, indata: Block, frames: int, clock: Any, flags: Any) -> None:
        self.times.input_latency = _span(clock.inputBufferAdcTime, clock.currentTime)
        self._run(indata, self._scratch[1][:frames, :0], frames, flags)

    def _on_output(self, outdata: Block, frames: int, clock: Any, flags: Any) -> None:
        self.times.output_latency = _span(clock.currentTime, clock.outputBufferDacTime)
        self._run(self._scratch[0][:frames, :0], outdata, frames, flags)

    def _run(self, indata: Block, outdata: Block, frames: int, flags: Any) -> None:
        times = self.times
        times.input_overflow = flags.input_overflow
        times.input_underflow = flags.input_underflow
        times.output_underflow = flags.output_underflow
        times.output_overflow = flags.output_overflow
        self.callbacks += 1
        self.xruns += times.xrun
        self._beat = time.perf_counter()
        if frames > len(self._scratch[0]):
            self._grow(2 * frames)
        given, filled = indata, outdata
        if self._device_channels[0] != self.channels[0]:
            given = _spread(indata, self._scratch[0][:frames])
        if self._device_channels[1] != self.channels[1]:
            filled = self._scratch[1][:frames]
        try:
            self._callback(given, filled, times)
        except BaseException as error:
            self.error = error
            outdata[:] = 0.0
            raise self._sd.CallbackAbort from error
        if filled is not outdata:
            _gather(filled, outdata)

    def _grow(self, frames: int) -> None:
        self._scratch = (
            np.zeros((frames, self.channels[0]), np.float32),
            np.zeros((frames, self.channels[1]), np.float32),
        )


def choose_rate(input: DeviceInfo | None, output: DeviceInfo | None, rate: int | None) -> int:
    """The sample rate in Hz for a stream: the one asked for if the devices open with it, or the best of both.

    Raises
    ------
    QsepError
        The devices do not open with it, or share none; the message says which rates work.
    """
    devices = [device for device in (output, input) if device is not None]
    known = [set(device.rates) | {device.default_rate} for device in devices if device.rates]
    common = set.intersection(*known) if known else set()
    if rate is None:
        if known and not common:
            each = "; ".join(f"{device.name}: {_list(set(device.rates))}" for device in devices)
            raise QsepError(f"input and output have no sample rate in common ({each})")
        preferred = [device.default_rate for device in devices]
        return next((r for r in (*preferred, *RATES) if r in common), preferred[0])
    if known and rate not in common:
        names = " and ".join(dict.fromkeys(repr(device.name) for device in devices))
        jack = any("JACK" in device.hostapi for device in devices)
        how = " (the JACK server decides it: start it with another -r)" if jack else ""
        works = _list(common) or "no rate at all"
        raise QsepError(f"{names} cannot run at {rate} Hz; it runs at {works}{how}")
    return rate


def _list(rates: set[int]) -> str:
    return ", ".join(map(str, sorted(rates))) + (" Hz" if rates else "")


def _span(start: float, end: float) -> float:
    """Seconds between two of PortAudio's time stamps; some hosts leave one of them zero."""
    return end - start if 0.0 < start <= end < start + 10.0 else 0.0


def _spread(block: Block, out: Block) -> Block:
    """Device channels to more callback channels: one goes to all, several leave the rest silent."""
    if block.shape[1] == 1:
        out[:] = block
    else:
        out[:, : block.shape[1]] = block
        out[:, block.shape[1] :] = 0.0
    return out


def _gather(block: Block, out: Block) -> None:
    """Callback channels to device channels (fewer): all are mixed into one, or folded onto several."""
    have = out.shape[1]
    for channel in range(have):
        np.mean(block[:, channel::have], axis=1, out=out[:, channel])


def _why(error: Exception) -> str:
    detail = str(error.args[0] if error.args else error).removeprefix("Error opening ")
    return f"{detail}; is it connected, and free? `qsep-live devices` lists what there is"

"""A live session: the host that starts the audio and the mask process, moves the knobs, and keeps both alive.

Threading: one thread owns a `LiveSession`; it never touches PortAudio, rtmidi or torch, so that none of
them can take it down. Every 10 ms a tick hears what MIDI says, glides the parameters, and looks after the processes.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import replace
from operator import is_

import numpy as np
from numpy.typing import NDArray

from qsep_live.control.glide import Glide
from qsep_live.control.surface import Change, ControlSurface, PickPreset
from qsep_live.dsp.parameter import Parameter
from qsep_live.engine.audio_process import AudioSettings, audio_main
from qsep_live.engine.care import HUNG, MODEL_PATIENCE, OPEN_PATIENCE, AudioCare, InputCare, MaskCare, MidiCare
from qsep_live.engine.child import Word
from qsep_live.engine.delay import exact_delay
from qsep_live.engine.input_process import InputSettings, input_main
from qsep_live.engine.mask_process import MaskSettings, mask_main
from qsep_live.engine.midi_process import midi_main
from qsep_live.engine.mix import MODES
from qsep_live.engine.part import numbered
from qsep_live.engine.session_config import SessionConfig
from qsep_live.engine.shared import RACK_PARAMETERS, Board
from qsep_live.engine.status import Latency, State, Status, decibels, percentile
from qsep_live.engine.worker import Worker
from qsep_live.errors import QsepError, UsageError
from qsep_live.latent.morph import LatentPath, Morph
from qsep_live.latent.watch import PresetWatch

TICK = 0.01
ASLEEP = 1.0
"""Seconds between two ticks that only a machine that was suspended, or a host that was stopped, explains."""

MORPH = Parameter("morph", 0.0, 1.0, 0.0)
WET = Parameter("wet", 0.0, 1.0, 1.0)
GAIN = Parameter("gain", -60.0, 12.0, 0.0, "dB")


class LiveSession:
    """Opens, watches, restarts, closes. `start`, then `tick` until `finished`, then `stop`."""

    def __init__(self, config: SessionConfig, on_event: Callable[[str], None]) -> None:
        self.config = config
        self.state = State.LOADING
        self.delay = 0.0
        self._tell = on_event
        self._paths = [LatentPath(Morph(part.presets)) for part in config.parts]
        self._morphs = {numbered(MORPH.name, index): path for index, path in enumerate(self._paths)}
        smoothing = config.mapping.smoothing
        self._glides = {"wet": Glide(config.wet, smoothing), "gain": Glide(config.gain, smoothing)}
        self._latents: list[NDArray[np.float32]] = []
        self._values: dict[str, float] = {}
        self._rack_parameters: list[Parameter] = []
        self._rack_values: dict[str, float] = {}
        self._surface: ControlSurface | None = None
        self._files_due = 0.0
        self._files = [
            (path, PresetWatch(part.presets, part.files))
            for path, part in zip(self._paths, config.parts, strict=True)
            if part.files is not None
        ]
        self._reloads = 0
        self._last_tick = time.monotonic()
        self._trust = 0.0
        self._hears = True
        self._device = ""
        self._totals: dict[str, float] = {}
        self._previous: dict[str, float] = {}
        self._board = Board()
        self._mask = Worker("mask", mask_main, self._mask_arguments)
        self._audio = Worker("audio", audio_main, self._audio_arguments)
        self._input = Worker("input", input_main, self._input_arguments)
        self._midi = Worker("MIDI", midi_main, lambda _start: (self._board.name, config.midi))
        board = self._board
        self._mask_care = MaskCare(self._mask, board, on_event)
        self._midi_care = MidiCare(self._midi, board, on_event, self._play)
        self._audio_care = AudioCare(self._audio, board, on_event, self._opened, self._sound_is_lost)
        self._input_care = InputCare(self._input, board, on_event, self._input_is_back, self._input_is_lost)

    def start(self) -> None:
        """Load the model, open the stream.

        Raises
        ------
        QsepError
            Either failed; everything is closed again.
        """
        try:
            self._publish([path.latent for path in self._paths])
            self._mask.start()
            if self.config.listen:
                self._midi.start()
            ready = self._first_word(self._mask, MODEL_PATIENCE)
            step = float(ready.data["step_seconds"])
            for part in self.config.parts:
                for preset in part.presets:
                    preset.require_model(str(ready.data["fingerprint"]))
            self.delay = self.config.delay if self.config.delay is not None else default_delay(step)
            self.state = State.OPENING
            self._audio.start()
            self._opened(self._first_word(self._audio, OPEN_PATIENCE))
            if self._input.starts:
                self._input_is_back(self._first_word(self._input, OPEN_PATIENCE))
            if self.config.listen:
                self._first_word(self._midi, OPEN_PATIENCE)
        except BaseException:
            self.stop()
            raise

    def tick(self) -> None:
        """One turn of the host: knobs, latent, processes. Call it every `TICK` seconds."""
        now = time.monotonic()
        passed, self._last_tick = now - self._last_tick, now
        if passed > ASLEEP:
            # The host itself was stopped, and the others most likely with it: they get the time to beat again.
            self._trust = now + HUNG
        if self.config.listen and self._surface is not None:
            self._midi_care.look(now, self._trust)
        self._read_presets(now)
        self._publish([path.step(passed) for path in self._paths], passed)
        self._mask_care.look(now, self._trust)
        self._audio_care.look(now, self._trust)
        if self._input.starts:
            self._input_care.look(now, self._trust)

    @property
    def finished(self) -> bool:
        """Whether the input file is over, or the duration is up."""
        audio = self._board.audio
        audio.refresh()
        if self.state not in (State.RUNNING, State.DEAF):
            return False
        duration = self.config.duration
        return bool(audio["finished"]) or (duration is not None and self._played() >= duration)

    def apply(self, change: Change) -> None:
        """Move a parameter, or pick a preset; what MIDI does, and anything else that has a say."""
        if isinstance(change, PickPreset):
            # The first part that has it on its path.
            names = [[preset.name for preset in path.morph.presets] for path in self._paths]
            index = next(index for index, those in enumerate(names) if change.name in those)
            self._paths[index].pick(change.name)
            if self._surface is not None:
                self._surface.moved(numbered(MORPH.name, index), self._paths[index].target)
        elif change.name in self._morphs:
            self._morphs[change.name].move_to(change.value)
        elif change.name in self._glides:
            self._glides[change.name].set(change.value)
        elif change.name in self._rack_values:
            self._rack_values[change.name] = change.value
            self._publish_rack()

    @property
    def pids(self) -> list[int]:
        """The processes of the session that live now, the host first."""
        return [*self.workers.values()]

    @property
    def workers(self) -> dict[str, int]:
        """The same by name: host, audio, mask, MIDI, input."""
        workers = (self._audio, self._mask, self._midi, self._input)
        alive = {worker.name: worker.pid for worker in workers if worker.alive and worker.pid is not None}
        return {"host": os.getpid(), **alive}

    @property
    def parameters(self) -> list[Parameter]:
        """What `apply` can set."""
        return [*(replace(MORPH, name=name) for name in self._morphs), WET, GAIN, *self._rack_parameters]

    def status(self) -> Status:
        """One look at everything."""
        board, config = self._board, self.config
        for record in (board.audio, board.mask, board.stream):
            record.refresh()
        audio, mask, stream = board.audio, board.mask, board.stream
        totals = self._count()
        rate = int(stream["rate"]) or 1
        budget = audio["blocksize"] / rate
        age = audio["mask_age"]
        return Status(
            state=self.state,
            seconds=self._played(),
            preset=" | ".join(path.describe() for path in self._paths),
            morph=self._paths[0].position,
            wet=self._glides["wet"].value,
            gain=self._glides["gain"].value,
            mode=config.mode,
            level_in=decibels(audio["level_in"]),
            level_out=decibels(audio["level_out"]),
            rate=int(stream["rate"]),
            blocksize=int(audio["blocksize"]),
            latency=Latency(
                stream["input_latency"],
                stream["window"] / rate,
                (stream["delay"] - stream["window"]) / rate,
                stream["rack_delay"] / rate,
                stream["output_latency"],
            ),
            mask_age=None if age < 0 or not audio["callbacks"] else age / rate,
            mask_period=mask["period"],
            mask_step=mask["step_seconds"],
            mask_steps=int(mask["steps"]),
            callback_load=audio["callback"] / budget if budget else 0.0,
            callback_p50=percentile(board.times, 0.5),
            callback_p99=percentile(board.times, 0.99),
            callback_p999=percentile(board.times, 0.999),
            callback_max=percentile(board.times, 1.0),
            **{key: int(totals[key]) for key in _COUNTERS},
            dropped=int(mask["dropped"]),
            mask_restarts=self._mask.restarts,
            audio_restarts=self._audio.restarts,
            midi=self._midi_care.port,
            device=self._device,
            rack_faults=int(audio["rack_faults"]),
            midi_dropped=self._midi_care.dropped,
            midi_restarts=self._midi.restarts,
            reloads=self._reloads,
            input_restarts=self._input.restarts,
            drift=stream["drift"],
        )

    def stop(self) -> Status:
        """End both processes and let go of everything; the last status. A second call is an error."""
        final = self.status()
        self._board.control.publish(stop=1.0)
        self._audio.join(5.0)
        self._input.join(2.0)
        self._mask.join(2.0)
        self._midi.join(2.0)
        for worker in (self._audio, self._input, self._mask):
            for word in worker.words():
                if word.kind == "event":
                    self._tell(word.text)
        self._board.close()
        self.state = State.ENDED
        return final

    def _mask_arguments(self, _start: int) -> tuple[object, ...]:
        config = self.config
        return self._board.name, MaskSettings(
            config.model, config.device, threads=config.threads, ahead=config.ahead, presets=len(config.parts),
            window=config.window, exact=config.lockstep > 0.0,
        )  # fmt: skip

    def _audio_arguments(self, start: int) -> tuple[object, ...]:
        config = self.config
        settings = AudioSettings(
            config.input, config.output, config.rate, config.blocksize, self.delay,
            tuple(part.outlet for part in config.parts), config.record, config.fallback, config.lockstep, start,
            self._input.starts > 0, config.foresight,
        )  # fmt: skip
        return self._board.name, settings

    def _input_arguments(self, _start: int) -> tuple[object, ...]:
        config = self.config
        return self._board.name, InputSettings(config.input, config.rate, config.blocksize)

    def _first_word(self, worker: Worker, patience: float) -> Word:
        word = worker.wait_for(("ready", "error", "usage"), patience)
        if word is None:
            how = f"ended with code {worker.exitcode}" if not worker.alive else f"said nothing for {patience:.0f} s"
            raise QsepError(f"the {worker.name} process {how} at start; `qsep-live doctor` looks for the cause")
        if word.kind == "ready":
            return word
        raise UsageError(word.text) if word.kind == "usage" else QsepError(word.text)

    def _opened(self, word: Word) -> None:
        """The stream runs: its parameters are known, the knobs can be bound to them."""
        self._device = word.text
        parameters = [Parameter(**fields) for fields in word.data["rack"]]
        if len(parameters) > RACK_PARAMETERS:
            raise UsageError(
                f"the racks have {len(parameters)} parameters; {RACK_PARAMETERS} can be moved live: use fewer effects"
            )
        if not self._rack_values:
            self._rack_values = dict(word.data["rack_values"])
            self._rack_parameters = parameters
        if self._surface is None:
            self._bind()
        self._publish_rack()
        if word.data["apart"] and not self._input.starts:
            self._hears = False
            self._input.start()
        self.state = State.RUNNING if self._hears else State.DEAF

    def _input_is_back(self, word: Word) -> None:
        self._hears = True
        self._device = " → ".join([word.text, *self._device.split(" → ")[-1:]])
        if self.state is State.DEAF:
            self.state = State.RUNNING

    def _bind(self) -> None:
        names = [preset.name for part in self.config.parts for preset in part.presets]
        parameters = self.parameters
        self.config.mapping.check(parameters, names)
        self._surface = ControlSurface(self.config.mapping, parameters, names)
        for name, glide in self._glides.items():
            self._surface.moved(name, glide.target)
        for name, value in self._rack_values.items():
            self._surface.moved(name, value)

    def _play(self, message: bytes, stamp: float) -> None:
        assert self._surface is not None
        for change in self._surface.handle(message, stamp):
            self.apply(change)

    def _read_presets(self, now: float) -> None:
        """Look at the preset files once a second; what changed is glided to."""
        if now < self._files_due:
            return
        self._files_due = now + 1.0
        for path, files in self._files:
            before = files.presets
            for line in files.look():
                self._tell(line)
            if files.presets != before:
                self._reloads += 1
                path.change_path(Morph(files.presets), path.target)

    def _publish(self, latents: list[NDArray[np.float32]], passed: float = 0.0) -> None:
        """Move the glides by ``passed`` seconds and tell the children, if anything moved."""
        values = {name: glide.step(passed) if passed else glide.value for name, glide in self._glides.items()}
        same = len(latents) == len(self._latents) and all(map(is_, latents, self._latents))
        if same and values == self._values:
            return
        self._latents, self._values = latents, values
        z = {f"z{index}": float(value) for index, value in enumerate(np.concatenate(latents))}
        self._board.control.publish(mode=float(MODES.index(self.config.mode)), **values, **z)

    def _publish_rack(self) -> None:
        values = [self._rack_values[parameter.name] for parameter in self._rack_parameters]
        self._board.rack.publish(**{f"p{index}": value for index, value in enumerate(values)})

    def _sound_is_lost(self) -> None:
        if self.state is State.RUNNING:
            self._tell("the sound was lost; waiting for the device")
        self.state = State.WAITING

    def _input_is_lost(self) -> None:
        if self._hears:
            self._tell("the input was lost; silence until it is back")
        self._hears = False
        if self.state is State.RUNNING:
            self.state = State.DEAF

    def _played(self) -> float:
        stream, audio = self._board.stream, self._board.audio
        rate = stream["rate"]
        return audio["position"] / rate if rate else 0.0

    def _count(self) -> dict[str, float]:
        """Counters over all the streams of the session: each new stream counts from zero."""
        now = {key: self._board.audio[key] for key in _COUNTERS}
        if now["callbacks"] < self._previous.get("callbacks", 0.0):
            for key, value in self._previous.items():
                self._totals[key] = self._totals.get(key, 0.0) + value
        self._previous = now
        return {key: value + self._totals.get(key, 0.0) for key, value in now.items()}


_COUNTERS = ("callbacks", "underruns", "overruns", "frames", "held", "fallbacks", "repaired", "limited", "missed")


def default_delay(step: float) -> float:
    """Seconds: the shortest delay at which masks that take ``step`` seconds each are on time.

    A mask is as old as its own step when it comes and one more step when the next one comes; beside the audio process
    and the host a step takes about a quarter longer than alone.
    """
    return round(exact_delay(2.5 * step + 0.02), 3)

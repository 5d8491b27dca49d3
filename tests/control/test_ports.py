"""MIDI ports: real ones, on a JACK server of the test's own."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import rtmidi

from qsep_live.control.ports import CAPACITY, MidiInput, list_ports


def until(condition: Callable[[], object], seconds: float = 20.0) -> bool:
    end = time.monotonic() + seconds
    while not (done := bool(condition())) and time.monotonic() < end:
        time.sleep(0.02)
    return done


class Instrument:
    """A controller with one output port, on the JACK server."""

    def __init__(self, client: str = "knobs", port: str = "out") -> None:
        self._rtmidi: Any = rtmidi.MidiOut(rtmidi.API_UNIX_JACK, name=client)
        self._rtmidi.open_virtual_port(port)

    def turn(self, value: int, control: int = 1) -> None:
        self._rtmidi.send_message([0xB0, control, value])

    def unplug(self) -> None:
        if self._rtmidi is not None:
            self._rtmidi.delete()
            self._rtmidi = None


@pytest.fixture
def plug() -> Iterator[Callable[..., Instrument]]:
    plugged: list[Instrument] = []

    def make(*names: str) -> Instrument:
        plugged.append(Instrument(*names))
        return plugged[-1]

    yield make
    for instrument in plugged:
        instrument.unplug()


@pytest.fixture
def opened() -> Iterator[Callable[..., MidiInput]]:
    inputs: list[MidiInput] = []

    def make(name_part: str | None = None) -> MidiInput:
        inputs.append(MidiInput(name_part))
        return inputs[-1]

    yield make
    for midi_input in inputs:
        midi_input.close()


def collect(midi_input: MidiInput, count: int) -> list[tuple[float, bytes]]:
    messages: list[tuple[float, bytes]] = []
    until(lambda: messages.extend(midi_input.poll()) or len(messages) >= count)
    return messages


def events(midi_input: MidiInput, count: int = 1) -> str:
    """Watch until something happened ``count`` times; time flies, so that no retry has to be waited for."""
    heard: list[str] = []
    clock = [time.monotonic()]

    def look() -> bool:
        clock[0] += 5
        event = midi_input.watch(clock[0])
        heard.extend([event] if event else [])
        return len(heard) >= count

    assert until(look), f"only {heard}"
    return "; ".join(heard)


def assert_works(knobs: Instrument, midi_input: MidiInput, value: int) -> None:
    """A knob that is turned is heard; what is sent before the server has seen the connection may be lost."""

    def heard() -> bool:
        knobs.turn(value)
        time.sleep(0.05)
        messages = midi_input.poll()
        assert all(data == bytes([0xB0, 1, value]) for _, data in messages)
        return bool(messages)

    assert until(heard)


def test_ports_are_listed_by_name(jackd: Any, plug: Callable[..., Instrument]) -> None:
    plug("stage piano", "keys")
    inputs, _outputs = list_ports()
    assert "stage piano:keys" in inputs


def test_output_ports_are_listed_by_name(jackd: Any, opened: Callable[..., MidiInput]) -> None:
    sink = rtmidi.MidiIn(rtmidi.API_UNIX_JACK, name="lights")
    sink.open_virtual_port("in")
    _inputs, outputs = list_ports()
    sink.delete()
    assert "lights:in" in outputs


def test_messages_come_in_order_with_times(
    jackd: Any, plug: Callable[..., Instrument], opened: Callable[..., MidiInput]
) -> None:
    knobs = plug()
    midi_input = opened("KNOBS")
    assert "'knobs:out' is connected" in events(midi_input)
    assert midi_input.connected
    assert midi_input.port_name == "knobs:out"
    assert_works(knobs, midi_input, 99)
    before = time.monotonic()
    for value in range(5):
        knobs.turn(value)
        time.sleep(0.02)
    messages = collect(midi_input, 5)
    assert [data for _, data in messages] == [bytes([0xB0, 1, value]) for value in range(5)]
    times = [stamp for stamp, _ in messages]
    assert times == sorted(times)
    assert before <= times[0]
    assert times[-1] <= time.monotonic()
    assert times[-1] - times[0] >= 0.05
    assert midi_input.dropped == 0


def test_a_port_that_goes_and_comes_back_is_noticed(
    jackd: Any, plug: Callable[..., Instrument], opened: Callable[..., MidiInput]
) -> None:
    knobs = plug()
    midi_input = opened("knobs")
    events(midi_input)
    knobs.unplug()
    assert events(midi_input) == "MIDI input 'knobs:out' is gone; waiting for it"
    assert not midi_input.connected
    assert midi_input.port_name is None
    assert midi_input.poll() == []
    assert midi_input.watch(time.monotonic()) is None
    knobs = plug()
    assert events(midi_input) == "MIDI input 'knobs:out' is back"
    assert_works(knobs, midi_input, 77)


def test_a_port_replugged_between_two_looks_is_connected_again(
    jackd: Any, plug: Callable[..., Instrument], opened: Callable[..., MidiInput]
) -> None:
    knobs = plug()
    midi_input = opened("knobs")
    events(midi_input)
    knobs.unplug()
    knobs = plug()
    assert events(midi_input).startswith("MIDI input 'knobs:out' is gone")
    if not midi_input.connected:
        assert "is back" in events(midi_input)
    assert_works(knobs, midi_input, 5)


def test_a_port_that_comes_late_is_opened(
    jackd: Any, plug: Callable[..., Instrument], opened: Callable[..., MidiInput]
) -> None:
    plug("piano", "keys")
    midi_input = opened("knobs")
    event = midi_input.watch(time.monotonic())
    assert event is not None
    assert "'knobs'" in event
    assert "'piano:keys'" in event
    assert not midi_input.connected
    knobs = plug()
    assert events(midi_input) == "MIDI input 'knobs:out' is connected"
    assert_works(knobs, midi_input, 9)


def test_without_a_name_the_first_instrument_is_taken(
    jackd: Any, plug: Callable[..., Instrument], opened: Callable[..., MidiInput]
) -> None:
    plug("Midi Through", "port")
    midi_input = opened()
    assert not midi_input.connected
    assert midi_input.watch(time.monotonic()) is None
    plug("knobs", "out")
    assert events(midi_input) == "MIDI input 'knobs:out' is connected"


def test_a_host_that_does_not_poll_gets_the_newest(
    jackd: Any, plug: Callable[..., Instrument], opened: Callable[..., MidiInput]
) -> None:
    knobs = plug()
    midi_input = opened("knobs")
    marker = 127
    for index in range(CAPACITY + 300):
        knobs.turn(index % 100)
        if index % 20 == 0:  # a burst overruns the JACK port's own buffer
            time.sleep(0.01)
    time.sleep(0.1)
    knobs.turn(marker)
    time.sleep(0.5)
    messages = midi_input.poll()
    assert len(messages) == CAPACITY
    assert messages[-1][1] == bytes([0xB0, 1, marker])
    assert 0 < midi_input.dropped <= 301


@pytest.mark.parametrize("restart_first", [False, True])
def test_a_server_that_dies_and_comes_back_is_followed(
    jackd: Any, plug: Callable[..., Instrument], opened: Callable[..., MidiInput], restart_first: bool
) -> None:
    knobs = plug()
    midi_input = opened("knobs")
    events(midi_input)
    assert_works(knobs, midi_input, 1)
    jackd.kill()
    knobs.unplug()
    if restart_first:
        jackd.start()
    assert "is gone with its server" in events(midi_input)
    assert not midi_input.connected
    if not restart_first:
        jackd.start()
    knobs = plug()
    assert "is back" in events(midi_input)
    assert_works(knobs, midi_input, 2)


def test_without_any_midi_system_a_named_port_is_an_error_that_says_why(jack_name: str) -> None:
    """In a process of its own, to see all that is printed."""
    program = (
        "from qsep_live.control.ports import MidiInput, list_ports\n"
        "from qsep_live.errors import QsepError\n"
        "for attempt in (list_ports, lambda: MidiInput('knobs')):\n"
        "    try:\n"
        "        attempt()\n"
        "    except QsepError as error:\n"
        "        print(error)\n"
        "quiet = MidiInput(None)\n"
        "print(quiet.connected, quiet.watch(1e9), quiet.watch(2e9), quiet.poll())\n"
        "quiet.close()\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    if len(lines) == 1:
        pytest.skip("this machine has another MIDI system than JACK, so there is always one")
    assert lines[0] == lines[1]
    assert "no JACK server answers" in lines[0]
    assert lines[2] == "False None None []"


def test_rtmidi_is_loaded_only_when_a_port_is_opened() -> None:
    program = "import sys, qsep_live.control.ports, qsep_live.control.surface\nassert 'rtmidi' not in sys.modules\n"
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def test_a_dead_server_leaves_the_process_quiet_and_able_to_exit(jackd: Any) -> None:
    program = (
        "import sys, time\n"
        "from qsep_live.control.ports import MidiInput\n"
        "port = MidiInput('knobs')\n"
        "print(port.watch(0) is not None, flush=True)\n"
        "sys.stdin.readline()\n"
        "time.sleep(0.5)\n"
        "print(port.watch(1e9), flush=True)\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "True\n"
    jackd.kill()
    out, err = child.communicate("dead\n", timeout=60)
    assert (child.returncode, out, err) == (0, "None\n", "")

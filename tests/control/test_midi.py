"""Parsing MIDI: every channel message, and total on everything else."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from qsep_live.control.midi import (
    CHANNELS,
    DATA,
    PITCH,
    ChannelPressure,
    ControlChange,
    Message,
    NoteOff,
    NoteOn,
    PitchBend,
    PolyPressure,
    ProgramChange,
    parse,
)

data_bytes = st.integers(0, 127)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\x80\x24\x40", NoteOff(1, 36, 64)),
        (b"\x99\x24\x40", NoteOn(10, 36, 64)),
        (b"\x9f\x24\x00", NoteOff(16, 36, 0)),
        (b"\xa0\x01\x02", PolyPressure(1, 1, 2)),
        (b"\xb2\x07\x7f", ControlChange(3, 7, 127)),
        (b"\xc0\x05", ProgramChange(1, 5)),
        (b"\xd0\x06", ChannelPressure(1, 6)),
        (b"\xe0\x00\x40", PitchBend(1, 0)),
        (b"\xe0\x00\x00", PitchBend(1, -8192)),
        (b"\xe0\x7f\x7f", PitchBend(1, 8191)),
    ],
)
def test_each_kind_is_read(data: bytes, message: Message) -> None:
    assert parse(data) == message


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xb0",
        b"\xb0\x01",
        b"\xb0\x01\x02\x03",
        b"\xb0\x80\x01",
        b"\xb0\x01\x80",
        b"\xc0\x01\x02",
        b"\x01\x02\x03",
        b"\xf0\x7e\x7f\xf7",
        b"\xf2\x01\x02",
        b"\xf8",
        b"\xfe",
    ],
)
def test_what_is_no_channel_message_is_none(data: bytes) -> None:
    assert parse(data) is None


@given(st.one_of(st.binary(max_size=8), st.tuples(st.integers(0x80, 0xFF), data_bytes, data_bytes).map(bytes)))
@example(b"\xff" * 3)
def test_any_bytes_give_a_legal_message_or_none(data: bytes) -> None:
    message = parse(data)
    if message is None:
        return
    fields = dataclasses.asdict(message)
    assert fields.pop("channel") in CHANNELS
    assert all(value in (PITCH if name == "pitch" else DATA) for name, value in fields.items())


@given(st.integers(0, 15), data_bytes, data_bytes)
def test_every_controller_arrives(channel: int, control: int, value: int) -> None:
    assert parse(bytes([0xB0 + channel, control, value])) == ControlChange(channel + 1, control, value)

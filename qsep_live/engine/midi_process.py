"""The MIDI process: rtmidi, away from the host.

rtmidi reads its JACK port without asking whether the event is there; when a sender is late on a busy machine it is not,
and the process dies. So it is a process of its own, which may.
"""

from __future__ import annotations

import time
from multiprocessing.connection import Connection

from qsep_live.control.ports import MidiInput
from qsep_live.engine.child import HostWatch, Word, tell
from qsep_live.engine.shared import Board

POLL = 0.004
LOOK = 1.0
"""Seconds between two readings, and between two looks at ports that come and go."""


def midi_main(link: Connection, board_name: str, name_part: str | None) -> None:
    """Entry point of the process, through `run_child`: ``event`` words are for people, ``midi`` words are messages."""
    board = Board(board_name)
    host = HostWatch()
    midi = MidiInput(name_part)
    tell(link, Word("ready"))
    due, port = 0.0, None
    while not host.gone():
        now = board.beats[2] = time.monotonic()
        board.control.refresh()
        if board.control["stop"]:
            break
        messages = midi.poll()
        if messages:
            tell(link, Word("midi", data={"messages": messages, "dropped": midi.dropped}))
        if now >= due:
            due = now + LOOK
            news = midi.watch(now)
            if news or midi.port_name != port:
                port = midi.port_name
                tell(link, Word("event", news or "", {"port": port}))
        time.sleep(POLL)
    midi.close()

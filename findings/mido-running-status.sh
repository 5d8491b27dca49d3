#!/usr/bin/env bash
# mido 1.3.3: its parser drops every note of a running status but the first.
#
# Guess: the bytes 90 3C 40 3D 40 are two notes: the MIDI standard lets a sender leave out a status byte that repeats, and
#        mido reads it in MIDI files.
# Seen:  `parse_all` and `Parser` give one note and drop the rest without a word. The same bytes in a MIDI file give two.
# So:    bytes from a keyboard's serial port, a log or a Bluetooth packet lose notes, note-offs among them: notes hang.
#        Put the status byte back before the parser.
#
# Needs python3.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check mido==1.3.3
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import io

import mido

bytes_ = [0x90, 0x3C, 0x40, 0x3D, 0x40]
parser = mido.Parser()
parser.feed(bytes_)
live = [message.note for message in parser]
assert live == [message.note for message in mido.parse_all(bytes_)]
# The same in a file: a delta time of 0 before each message, and the end of the track.
track = bytes([0, 0x90, 0x3C, 0x40, 0, 0x3D, 0x40, 0, 0xFF, 0x2F, 0])
header = b"MThd" + bytes([0, 0, 0, 6, 0, 0, 0, 1, 1, 0xE0])
file = mido.MidiFile(file=io.BytesIO(header + b"MTrk" + len(track).to_bytes(4, "big") + track))
filed = [message.note for message in file.tracks[0] if message.type == "note_on"]
print("90 3C 40 3D 40 through the parser: notes", live, " in a MIDI file: notes", filed)
assert live == [0x3C] and filed == [0x3C, 0x3D], "the behaviour has changed"
PYTHON

#!/usr/bin/env bash
# soundfile 0.14.0 (libsndfile 1.2.2): an MP3 of variable bit rate without a Xing tag is cut short, and nothing says so.
#
# Guess: an MP3 is read to its last frame, whatever its header says; or there is an error.
# Seen:  the length is estimated from the first frames' bit rate, and reading stops there without an error. Of 4 loud and 4
#        silent seconds about 2 are read. Through a pipe, where no length can be estimated, all 8 are.
# So:    files of old encoders, cut files and recordings of radio lose up to half of their sound in any program that
#        trusts `frames`, or reads "to the end". Follow the MPEG frames, or read through a pipe.
#
# Needs ffmpeg with libmp3lame, and python3.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check soundfile==0.14.0 numpy==2.4.0
ffmpeg -v error -f lavfi -i 'anoisesrc=d=4:c=white:a=0.3:r=44100' -f lavfi -i 'anullsrc=r=44100:cl=mono:d=4' \
    -filter_complex '[0][1]concat=n=2:v=0:a=1' -t 8 "$folder/in.wav" < /dev/null
ffmpeg -v error -i "$folder/in.wav" -c:a libmp3lame -q:a 4 -write_xing 0 "$folder/untagged.mp3" < /dev/null
ffmpeg -v error -i "$folder/in.wav" -c:a libmp3lame -q:a 4 "$folder/tagged.mp3" < /dev/null
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import os
import sys
import threading

import soundfile

folder = sys.argv[1]
print("soundfile", soundfile.__version__, soundfile.__libsndfile_version__)


def piped(path):
    reading, writing = os.pipe()

    def feed():
        with open(path, "rb") as file, os.fdopen(writing, "wb") as pipe:
            pipe.write(file.read())

    threading.Thread(target=feed, daemon=True).start()
    with soundfile.SoundFile(reading) as file:
        frames = 0
        while len(block := file.read(65536)):
            frames += len(block)
        return frames / file.samplerate


tagged = len(soundfile.read(f"{folder}/tagged.mp3")[0]) / 44100
untagged = len(soundfile.read(f"{folder}/untagged.mp3")[0]) / 44100
through = piped(f"{folder}/untagged.mp3")
print(f"8 s of sound: {tagged:.2f} s with a Xing tag, {untagged:.2f} s without one, {through:.2f} s through a pipe")
assert abs(tagged - 8.0) < 0.1 and untagged < 6.0 and through > 7.9, "the behaviour has changed"
PYTHON

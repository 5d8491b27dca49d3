#!/usr/bin/env bash
# soundfile 0.14.0 (libsndfile 1.2.2): the same samples give other integers in a WAV than in a FLAC.
#
# Guess: FLAC is lossless, so a WAV and a FLAC of 16 bits made of the same float samples decode to the same integers.
# Seen:  WAV (and AIFF, CAF, AU) rounds down, towards minus infinity; FLAC rounds to the nearest. About half of all samples
#        differ by one step, and the WAV carries an offset of half a step. Converting by rint to int16 first makes them equal.
# So:    a check sum or a null test between a "lossless" pair fails, and silence with a breath of noise gains an offset.
#
# Needs python3.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check soundfile==0.14.0 numpy==2.4.0
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import sys

import numpy as np
import soundfile

folder = sys.argv[1]
print("soundfile", soundfile.__version__, soundfile.__libsndfile_version__)
sound = np.random.default_rng(0).uniform(-0.5, 0.5, 100_000)
decoded = {}
for form in ("wav", "aiff", "caf", "flac"):
    soundfile.write(f"{folder}/a.{form}", sound, 48_000, subtype="PCM_16")
    decoded[form] = soundfile.read(f"{folder}/a.{form}", dtype="int16")[0]
    offset = np.mean(decoded[form] - sound * 32768)
    print(f"{form:5} floor: {np.array_equal(decoded[form], np.floor(sound * 32768))}, off by {offset:+.2f} steps on average")
differ = np.mean(decoded["wav"] != decoded["flac"])
print(f"WAV and FLAC differ in {differ:.0%} of all samples")
whole = np.rint(sound * 32768).astype(np.int16)
for form in ("wav", "flac"):
    soundfile.write(f"{folder}/b.{form}", whole, 48_000, subtype="PCM_16")
    assert np.array_equal(soundfile.read(f"{folder}/b.{form}", dtype="int16")[0], whole), "integers do not pass"
assert np.array_equal(decoded["wav"], np.floor(sound * 32768)), "the behaviour has changed"
assert np.array_equal(decoded["flac"], np.rint(sound * 32768)) and 0.4 < differ < 0.6, "the behaviour has changed"
PYTHON

#!/usr/bin/env bash
# soxr 1.1.0: silence of 16-bit integers is no longer silent once it is resampled.
#
# Guess: zeros go in, zeros come out, at any sample rate and of any type.
# Seen:  zeros as int16 come out as -1, 0 and 1, for soxr adds dither to 16-bit output; zeros as float32 stay zeros.
#        The dither is the same at every call.
# So:    a gate or a search for silence that asks for zeros finds none, and stems that are silent for most of a song
#        (FLAC packs zeros into nothing) grow. Resample floats and round them yourself.
#
# Needs python3.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check soxr==1.1.0 numpy==2.4.0
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import numpy as np
import soxr

print("soxr", soxr.__version__)
whole = soxr.resample(np.zeros(48_000, np.int16), 48_000, 44_100)
wide = soxr.resample(np.zeros(48_000, np.int32), 48_000, 44_100)
floats = soxr.resample(np.zeros(48_000, np.float32), 48_000, 44_100)
values, counts = np.unique(whole, return_counts=True)
print("silence as int16 becomes", dict(zip(values.tolist(), counts.tolist(), strict=True)))
print("as int32:", np.unique(wide).tolist(), " as float32:", np.unique(floats).tolist())
assert values.tolist() == [-1, 0, 1] and not wide.any() and not floats.any(), "the behaviour has changed"
PYTHON

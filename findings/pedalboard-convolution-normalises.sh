#!/usr/bin/env bash
# pedalboard 0.9.26: Convolution takes the level out of every impulse response; a lone 1.0 makes the sound eight times softer.
#
# Guess: convolution with a lone 1.0 changes nothing, and one with 0.5 halves the sound.
# Seen:  each response is scaled to one and the same energy: 1.0, 0.5 and 0.1 all make the sound 18 dB softer.
# So:    responses of a loudspeaker, a headphone correction or a measured room lose their level, and two responses whose
#        sum or difference matters (true stereo, mid and side) no longer fit. Convolve elsewhere, or undo the gain.
#
# Needs python3.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pedalboard==0.9.26 numpy==2.4.0
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import numpy as np
from pedalboard import Convolution

noise = np.random.default_rng(0).normal(0, 0.1, (1, 44_100)).astype(np.float32)
gains = []
for peak in (1.0, 0.5, 0.1):
    response = np.zeros((1, 256), np.float32)
    response[0, 0] = peak
    wet = Convolution(response, mix=1.0, sample_rate=44_100)(noise, 44_100)
    gains.append(20 * np.log10(np.sqrt(np.mean(wet[:, 4096:] ** 2) / np.mean(noise[:, 4096:] ** 2))))
    print(f"a response of a single {peak}: {gains[-1]:.2f} dB, not {20 * np.log10(peak):.2f} dB")
assert all(abs(gain + 18.06) < 0.1 for gain in gains), "the behaviour has changed"
PYTHON

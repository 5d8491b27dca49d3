#!/usr/bin/env bash
# pedalboard 0.9.26: a Limiter makes quiet sound louder, and the louder the lower its threshold is.
#
# Guess: sound below the threshold passes as it is; sound above it comes out at the threshold.
# Seen:  every sound below the threshold gains 3.75 dB less the threshold: with -20 dB a tone at -40 dB comes out at -16 dB,
#        and a tone at full scale above full scale. BrickwallLimiter leaves the quiet tone alone.
# So:    lowering the threshold to tame peaks raises noise and quiet parts by tens of dB. It is a loudness maximiser.
#
# Needs python3.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pedalboard==0.9.26 numpy==2.4.0
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import numpy as np
from pedalboard import BrickwallLimiter, Limiter

time = np.arange(88_200) / 44_100


def tone(level):
    return (10 ** (level / 20) * np.sin(2 * np.pi * 440 * time)).astype(np.float32)


def level(sound):
    return 20 * np.log10(np.sqrt(2 * np.mean(sound[44_100:].astype(float) ** 2)))


gains = {}
for threshold in (-20, -10, -3):
    gains[threshold] = level(Limiter(threshold_db=threshold)(tone(-40), 44_100)) + 40
    loud = level(Limiter(threshold_db=threshold)(tone(0), 44_100))
    print(f"threshold {threshold} dB: a tone at -40 dB gains {gains[threshold]:.2f} dB; one at 0 dB comes out at {loud:.2f} dB")
plain = level(BrickwallLimiter()(tone(-40), 44_100)) + 40
print(f"BrickwallLimiter: a tone at -40 dB gains {plain:.2f} dB")
assert all(abs(gain - (3.75 - threshold)) < 0.05 for threshold, gain in gains.items()), "the behaviour has changed"
assert abs(plain) < 0.05, "the behaviour has changed"
PYTHON

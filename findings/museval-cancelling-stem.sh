#!/usr/bin/env bash
# museval 0.4.1: where one stem's left and right cancel, the scores of all stems are missing.
#
# Guess: a frame is left out only where a stem is silent, as the SiSEC rules say; a wide stem (left = -right) sounds.
# Seen:  silence is looked for in the sum of left and right. A second in which one stem is out of phase is NaN for every
#        stem, those too that are separated well.
# So:    the medians of a song with wide synthesizers or a phase-inverted side leave those seconds out, without a word;
#        two tools' tables then differ for no fault of the separator. Count the NaN frames before you compare.
#
# Needs python3.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check museval==0.4.1 numpy==2.4.0
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import museval
import numpy as np

RATE = 8_000
random = np.random.default_rng(0)
songs = random.normal(0, 0.1, (2, 4 * RATE, 2))
wide = songs.copy()
wide[1, RATE : 2 * RATE, 1] = -wide[1, RATE : 2 * RATE, 0]
errors = random.normal(0, 0.01, songs.shape)
missing = {}
for name, stems in (("both stems in phase", songs), ("second stem out of phase for a second", wide)):
    sdr = np.array(museval.evaluate(stems, stems + errors, win=RATE, hop=RATE)[0])
    missing[name] = np.isnan(sdr).tolist()
    print(name)
    for stem, values in enumerate(sdr, 1):
        print(f"  SDR of stem {stem} by second:", np.round(values, 1).tolist())
assert list(missing.values()) == [[[False] * 4] * 2, [[False, True, False, False]] * 2], "the behaviour has changed"
PYTHON

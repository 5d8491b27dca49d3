#!/usr/bin/env bash
# safetensors 0.8.0: its NumPy half saves a transposed array with its numbers in the wrong places.
#
# Guess: what is loaded equals what was saved, or there is an error: `safetensors.torch` refuses such a tensor.
# Seen:  `save` writes the array's memory in row order under the transposed shape, without an error. The shape is right,
#        the numbers are scrambled. So it is with a slice that leaves out columns.
# So:    a weight matrix converted with `.T`, as between two frameworks, loads without a word and sounds like noise.
#        Call `numpy.ascontiguousarray` first.
#
# Needs python3.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check safetensors==0.8.0 numpy==2.4.0
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import numpy as np
from safetensors.numpy import load, save

weights = np.arange(6, dtype=np.float32).reshape(2, 3)
back = load(save({"w": weights.T}))["w"]
sliced = load(save({"w": weights[:, ::2]}))["w"]
safe = load(save({"w": np.ascontiguousarray(weights.T)}))["w"]
print("saved ", weights.T.tolist())
print("loaded", back.tolist())
print("saved ", weights[:, ::2].tolist(), " loaded", sliced.tolist())
assert back.shape == weights.T.shape and not np.array_equal(back, weights.T), "the behaviour has changed"
assert not np.array_equal(sliced, weights[:, ::2]) and np.array_equal(safe, weights.T), "the behaviour has changed"
PYTHON

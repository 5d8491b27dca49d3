#!/usr/bin/env bash
# openvino 2026.4.0: compiling a network changes NumPy's arithmetic.
#
# Guess: CPU_DENORMALS_OPTIMIZATION treats tiny numbers as zero inside OpenVINO's own computing.
# Seen:  `compile_model` alone sets it for the thread that calls, and it stays. NumPy there then takes 1e-40 times 1 for 0,
#        1e-40 equals 0, and plain Python's 1e-310 times 1 is 0.0. A thread started later inherits it; one that already
#        ran does not.
# So:    the same sum has two results in one program, by thread and by when it ran; tests that compare bits fail only after
#        a network was loaded. Compile in a process or thread of its own where that matters.
#
# Needs python3, an x86-64 processor.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check openvino==2026.4.0 numpy==2.4.0
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import queue
import threading

import numpy as np
import openvino
from openvino import opset13

tiny = np.full(4, 1e-40, np.float32)
print("openvino", openvino.__version__)


def lost():
    return not (tiny * np.float32(1)).view(np.uint32).any()


asked, answers = queue.Queue(), queue.Queue()


def earlier():
    while asked.get():
        answers.put(lost())


def ask():
    asked.put(True)
    return answers.get()


threading.Thread(target=earlier, daemon=True).start()
before = lost(), ask()
inputs = opset13.parameter([1, 8], np.float32)
network = openvino.Model([opset13.multiply(inputs, opset13.constant(np.float32(2)))], [inputs])
compiled = openvino.Core().compile_model(network, "CPU", {"CPU_DENORMALS_OPTIMIZATION": True})
here, running = lost(), ask()
thread = threading.Thread(target=lambda: answers.put(lost()))
thread.start()
later = answers.get()
print("is 1e-40 times 1 equal to 0 in NumPy?")
print("  before compiling:", before[0])
print(f"  after it: in this thread {here}, in a thread started later {later}, in a thread that already ran {running}")
print("  Python's 1e-310 * 1.0:", float("1e-310") * float("1"))
asked.put(False)
assert before == (False, False) and (here, later, running) == (True, True, False), "the behaviour has changed"
PYTHON

from __future__ import annotations

import platform
import subprocess
import sys

import pytest


@pytest.mark.skipif(
    sys.platform != "linux" or platform.libc_ver()[0] != "glibc", reason="only glibc can be told to keep its memory"
)
def test_glibc_is_told_to_keep_its_memory() -> None:
    code = "from qsep_live.training.memory import keep_freed_memory as keep; print(keep())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "True"

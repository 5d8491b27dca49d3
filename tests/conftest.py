"""What several rooms' tests share: a real JACK server with the dummy driver, and small models made on the spot."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: Any) -> Iterator[None]:
    """Where everything is installed (CI), a test that is skipped has failed."""
    outcome: Any = yield
    report = outcome.get_result()
    if report.skipped and os.environ.get("QSEP_REQUIRE_ALL") and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        report.outcome = "failed"
        report.longrepr = f"skipped although everything is required: {reason}"


class JackServer:
    """A jackd of its own name; `env` is what a client's environment needs.

    JACK has eight slots for servers, and a killed one keeps its slot until its name is used again. So the names are
    few and fixed, and a server is ended by SIGTERM unless a test must see it die.
    """

    def __init__(self, name: str, rate: int = 44100, period: int = 256) -> None:
        self.name, self.rate, self.period = name, rate, period
        self.env = {**os.environ, "JACK_DEFAULT_SERVER": name, "JACK_NO_START_SERVER": "1"}
        command = ["jackd", "--no-realtime", "--no-mlock", "--name", name, "-d", "dummy"]
        command += ["-r", str(rate), "-p", str(period), "-C", "2", "-P", "2"]
        with tempfile.TemporaryFile() as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=self.env)
            deadline = time.monotonic() + 20
            while self.process.poll() is None and not self.answers() and time.monotonic() < deadline:
                time.sleep(0.1)
            log.seek(0)
            self.problem = "" if self.answers() else log.read().decode(errors="replace").strip()[:120]

    @property
    def running(self) -> bool:
        return self.process.poll() is None and not self.problem

    def answers(self) -> bool:
        return not subprocess.run(["jack_lsp"], env=self.env, capture_output=True, timeout=20).returncode

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def start_jack(name: str, rate: int = 44100, period: int = 256) -> JackServer:
    """Start a server, or skip the test with the reason."""
    for tool in ("jackd", "jack_lsp"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed (apt install jackd2)")
    problem = ""
    for number in range(3):  # another run of these tests may be using the first names
        server = JackServer(f"qsep-{name}-{number}", rate, period)
        if server.running:
            return server
        server.stop()
        problem = server.problem
    pytest.skip(f"jackd does not start here: {problem}")


@pytest.fixture(scope="session")
def jack() -> Iterator[JackServer]:
    """A server that tests share and leave alone."""
    server = start_jack("test")
    yield server
    server.stop()


@pytest.fixture
def mortal_jack() -> Iterator[JackServer]:
    """A server that the test may kill."""
    server = start_jack("mortal")
    yield server
    server.stop()


class Home:
    """A user's folder with a small model and presets that belong to it."""

    def __init__(self, folder: Path) -> None:
        import numpy as np
        import torch

        from qsep_live.latent.preset import Preset
        from qsep_live.latent.preset_file import save_preset
        from qsep_live.nets.model import Model, save_model
        from qsep_live.nets.query_net import QueryNet, QueryNetConfig
        from qsep_live.nets.separator import Separator, SeparatorConfig

        torch.manual_seed(3)
        widths = (2, 2, 4, 4, 4, 4)
        model = Model(Separator(SeparatorConfig(widths=widths)), QueryNet(QueryNetConfig(channels=widths)))
        self.folder = folder
        self.model = folder / "small.safetensors"
        folder.mkdir(parents=True, exist_ok=True)
        self.fingerprint = save_model(model, self.model, torch.float32)
        random = np.random.default_rng(5)
        for name in ("vocals", "drums", "bass"):
            latent = random.standard_normal(32).astype(np.float32)
            save_preset(Preset(name, latent, self.fingerprint, name), folder / "presets")

    @property
    def env(self) -> dict[str, str]:
        return {"QSEP_LIVE_HOME": str(self.folder)}


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return Home(tmp_path_factory.mktemp("home"))

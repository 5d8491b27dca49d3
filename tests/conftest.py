"""What several rooms' tests share: a real JACK server with the dummy driver, and small models made on the spot."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
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
    """A jackd with the dummy driver under a name of its own; `env` is what a client's environment needs.

    JACK has eight slots for servers, and a killed one keeps its slot until a server of its name ends well: `stop`
    sees to that. In the default mode a busy machine loses MIDI now and then; in the synchronous one a client that is
    killed takes the server with it.
    """

    def __init__(
        self, name: str, rate: int = 44100, period: int = 256, synchronous: bool = False, outputs: int = 2
    ) -> None:
        self.name, self.rate, self.period, self.outputs = name, rate, period, outputs
        self._mode = ["--timeout", "5000", *(["-S"] if synchronous else [])]
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def env(self) -> dict[str, str]:
        return {**os.environ, "JACK_DEFAULT_SERVER": self.name, "JACK_NO_START_SERVER": "1"}

    def start(self) -> None:
        """Start it; again when it does not answer, as happens when two servers start at once.

        The first time another name is tried too, since another run of these tests may be using this one.
        """
        first, told = self.process is None, ""
        for attempt in range(3):
            if first and attempt:
                self.name = f"{self.name.removesuffix(f'-{attempt}')}-{attempt + 1}"
            command = ["jackd", *self._mode, "--no-realtime", "--no-mlock", "--name", self.name]
            command += ["-d", "dummy", "-r", str(self.rate), "-p", str(self.period), "-C", "2"]
            command += ["-P", str(self.outputs)]
            # A pipe, of which the last lines are kept: a server whose client died in freewheel mode complains without
            # end, and fills any disk. It dies with the tests, whatever ends them.
            self.process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
            )
            words: deque[bytes] = deque(maxlen=20)
            threading.Thread(target=words.extend, args=(self.process.stdout,), daemon=True).start()
            deadline = time.monotonic() + 15
            while self.process.poll() is None and time.monotonic() < deadline:
                if self.answers() and self.process.poll() is None:
                    return
                time.sleep(0.05)
            self.kill()
            told = b"".join(words).decode(errors="replace").strip()
        pytest.fail(f"jackd does not start; it says: {told}")

    def answers(self) -> bool:
        try:
            return subprocess.run(["jack_lsp"], env=self.env, capture_output=True, timeout=5).returncode == 0
        except subprocess.TimeoutExpired:
            return False

    def kill(self) -> None:
        """No goodbye: the way a server dies on stage."""
        if self.process:
            self.process.kill()
            self.process.wait()

    def stop(self) -> None:
        """End it well, and give its slot back."""
        if self.process and self.process.poll() is not None:
            self.start()
        if self.process:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.kill()
        for left in Path("/dev/shm").glob(f"jack_sem.*_{self.name}_*"):  # by clients that outlived their server
            left.unlink(missing_ok=True)


@pytest.fixture(scope="session")
def jack_server() -> Callable[..., JackServer]:
    """Makes servers, not started: ``jack_server(name, rate=48000)``."""
    for program in ("jackd", "jack_lsp", "setpriv"):
        if shutil.which(program) is None:
            pytest.skip(f"needs {program} (Debian: apt-get install jackd2)")
    return JackServer


@pytest.fixture(scope="session")
def jack(jack_server: Callable[..., JackServer]) -> Iterator[JackServer]:
    """A running server that tests share and leave alone."""
    server = jack_server("qsep-test")
    server.start()
    yield server
    server.stop()


@pytest.fixture
def mortal_jack(jack_server: Callable[..., JackServer]) -> Iterator[JackServer]:
    """A running server that the test may kill."""
    server = jack_server("qsep-mortal")
    server.start()
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


@pytest.fixture
def separator_package(tmp_path: Path) -> Callable[..., Path]:
    """Builds and installs somebody else's package: ``separator_package(name, source, class_name)`` is the folder that
    it is installed in, for ``sys.path``. A wheel holds the module and its entry point, and is unpacked as pip does."""
    import zipfile

    def install(name: str, source: str, kind: str, module: str = "") -> Path:
        module = module or f"other_{name}"
        info = f"qsep_{name}-1.0.dist-info"
        contents = {
            f"{module}.py": source,
            f"{info}/METADATA": f"Metadata-Version: 2.1\nName: qsep-{name}\nVersion: 1.0\n",
            f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
            f"{info}/entry_points.txt": f"[qsep_live.separators]\n{name} = {module}:{kind}\n",
        }
        record = "".join(f"{path},,\n" for path in [*contents, f"{info}/RECORD"])
        wheel = tmp_path / f"qsep_{name}-1.0-py3-none-any.whl"
        with zipfile.ZipFile(wheel, "w") as archive:
            for path, text in {**contents, f"{info}/RECORD": record}.items():
                archive.writestr(path, text)
        target = tmp_path / f"site-{name}"
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(target)
        return target

    return install

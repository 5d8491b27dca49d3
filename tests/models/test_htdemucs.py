from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qsep_live.errors import QsepError, UsageError
from qsep_live.models.adapters import htdemucs_build
from qsep_live.models.adapters.htdemucs import HTDemucs, open_installed
from qsep_live.models.adapters.htdemucs_build import build, window_lengths
from qsep_live.models.adapters.htdemucs_files import sha256
from qsep_live.models.adapters.htdemucs_weights import Bag, Network
from qsep_live.models.registry import added, stem_separators
from tests.models.conftest import SHORT, music, small_network


def opened(folder: Path, **options: Any) -> HTDemucs:
    return open_installed(folder, added(folder).spec, "cpu", **options)


@pytest.fixture(scope="module")
def real_exact(real_model: Path) -> HTDemucs:
    return opened(real_model)


@pytest.fixture(scope="module")
def small_exact(small_model: Path) -> HTDemucs:
    return opened(small_model)


def ratio(wanted: Any, given: Any) -> float:
    """dB of what is wanted over the difference."""
    return float(10 * np.log10(np.square(wanted).sum() / np.square(wanted - given).sum()))


def unbounded(network: Network, window: Any) -> Any:
    import torch

    with torch.inference_mode():
        return network.torch()(torch.from_numpy(window)[None])[0].numpy()


def test_onnx_file_itself_gives_the_same_stems(onnx_file: Path, real: Network) -> None:
    from qsep_live.models.adapters import htdemucs_sound
    from qsep_live.nets.openvino_ops import openvino_core

    window = music(htdemucs_build.PUBLISHED_WINDOW)
    options = {"INFERENCE_PRECISION_HINT": "f32", "ENABLE_CPU_PINNING": False}
    request = openvino_core().compile_model(str(onnx_file), "CPU", options).create_infer_request()
    spectrum = htdemucs_sound.as_channels(htdemucs_sound.stft(window))
    by_rank = {3: window[None], 4: spectrum[None]}
    inputs = {port.any_name: by_rank[len(port.shape)] for port in request.model_inputs}
    given = request.infer(inputs)
    outputs = {len(given[index].shape): given[index][0] for index in range(2)}
    stems = htdemucs_sound.istft(htdemucs_sound.as_complex(outputs[5]), window.shape[1]) + outputs[4]
    wanted = unbounded(real, window)
    for index in range(4):
        assert ratio(wanted[index], stems[index]) > 60, index


def test_stems_are_those_of_torch(real: Network, real_exact: HTDemucs) -> None:
    window = music(SHORT)
    wanted = unbounded(real, window)
    given = real_exact(window)
    assert real_exact.bounded == 0
    for index in range(4):
        assert ratio(wanted[index], given[index]) > 80, index
    np.testing.assert_allclose(given, wanted, atol=1e-5)


def test_stems_sum_to_the_music_and_each_has_its_share(real_exact: HTDemucs) -> None:
    window = music(SHORT)
    stems = real_exact(window)
    assert ratio(window, stems.sum(axis=0)) > 15
    assert np.square(stems[0]).sum() > 0.05 * np.square(window).sum()


def test_bfloat16_is_near(real: Network, real_model: Path) -> None:
    window = music(SHORT)
    quick = opened(real_model, exact=False)
    given, wanted = quick(window), unbounded(real, window)
    # All stems together: what is faint in one has the errors of the loud ones.
    assert ratio(wanted, given) > 20
    # Opened beside float32 that was compiled before it: neither takes what was compiled for the other.
    np.testing.assert_allclose(opened(real_model)(window), wanted, atol=1e-5)


def test_lone_click_is_bounded_and_counted(real: Network, real_exact: HTDemucs) -> None:
    click = np.zeros((2, SHORT), np.float32)
    click[:, SHORT // 2] = 0.5
    assert np.abs(unbounded(real, click)).max() > 0.5
    before = real_exact.bounded
    assert np.abs(real_exact(click)).max() <= 0.5
    assert real_exact.bounded > before


def test_no_torch_is_imported_on_the_cpu(small_model: Path) -> None:
    code = (
        "import sys; from pathlib import Path; import numpy as np; from qsep_live.models.registry import added;"
        f"entry = added(Path({str(small_model)!r})); separator = entry.open('cpu', 1, True);"
        "window = entry.spec.windows[-1]; separator.warm_up(window);"
        "print(separator(np.ones((2, window), np.float32)).shape, 'torch' in sys.modules, 'demucs' in sys.modules)"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert told.split() == ["(4,", "2,", "13312)", "False", "False"]


def test_no_session_compiles(small_model: Path) -> None:
    def kept() -> dict[Path, int]:
        return {path: path.stat().st_mtime_ns for path in (small_model / "cache").rglob("*.blob")}

    built = kept()
    assert built
    for exact in (True, False):
        separator = opened(small_model, exact=exact)
        for samples in separator.spec.windows:
            separator.warm_up(samples)
    assert kept() == built


@pytest.mark.parametrize("backend", ["openvino", "torch"])
def test_contract(backend: str, small: Network, small_model: Path) -> None:
    separator = opened(small_model, backend=backend)
    spec = separator.spec
    assert spec.stems == ("drums", "bass", "other", "vocals")
    assert spec.windows == (22_528, 13_312)
    for samples in spec.windows:
        window = music(samples)
        kept = window.copy()
        separator.warm_up(samples)
        stems = separator(window)
        assert stems.shape == (4, 2, samples)
        assert stems.dtype == np.float32
        np.testing.assert_array_equal(window, kept)
        again = separator(window)
        assert again is not stems
        np.testing.assert_array_equal(again, stems)
        wanted = np.clip(unbounded(small, window), -np.abs(window).max(), np.abs(window).max())
        np.testing.assert_allclose(stems, wanted, atol=1e-5 * np.abs(wanted).max())
        silence = separator(np.zeros((2, samples), np.float32))
        assert silence.shape == stems.shape
        assert not silence.any()


@pytest.mark.parametrize(
    "window",
    [
        np.zeros(13_312, np.float32),
        np.zeros((1, 13_312), np.float32),
        np.zeros((2, 13_312), np.float64),
        np.full((2, 13_312), np.nan, np.float32),
        np.full((2, 13_312), np.inf, np.float32),
        np.zeros((2, 0), np.float32),
    ],
)
def test_bad_window_is_one_line(window: Any, small_exact: HTDemucs) -> None:
    with pytest.raises(QsepError) as error:
        small_exact(window)
    assert "\n" not in str(error.value)


def test_length_that_is_not_built_names_the_command(small_exact: HTDemucs) -> None:
    with pytest.raises(QsepError, match=r"22528 \(0\.5 s\), 13312.*not 66560.*qsep-live models add"):
        small_exact.warm_up(SHORT)


def test_torch_takes_any_length(small: Network, small_model: Path) -> None:
    separator = opened(small_model, backend="torch")
    window = music(15_001)
    separator.warm_up(15_001)
    wanted = np.clip(unbounded(small, window), -np.abs(window).max(), np.abs(window).max())
    np.testing.assert_allclose(separator(window), wanted, atol=1e-5 * np.abs(wanted).max())


def test_output_that_is_not_finite_is_an_error(small_model: Path) -> None:
    class Broken:
        name = "broken"

        def ready(self, samples: int) -> None: ...

        def run(self, window: Any) -> Any:
            return np.full((4, *window.shape), np.nan, np.float32)

    spec = added(small_model).spec
    with pytest.raises(QsepError, match="not finite"):
        HTDemucs(spec, Broken(), any_length=False)(music(spec.windows[0]))


def test_damaged_graph_is_one_line(small_model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "small"
    shutil.copytree(small_model, folder, ignore=shutil.ignore_patterns("cache"))
    weights = next(folder.glob("*-13312.bin"))
    data = bytearray(weights.read_bytes())
    data[len(data) // 2] ^= 1
    weights.write_bytes(data)
    separator = opened(folder)
    with pytest.raises(QsepError, match=r"damaged.*qsep-live models add"):
        separator.warm_up(13_312)
    weights.unlink()
    with pytest.raises(QsepError, match="No such file"):
        separator.warm_up(13_312)


def test_bag_takes_each_stem_from_its_network(small: Network, tmp_path: Path) -> None:
    other = small_network(2)
    folder = tmp_path / "bag"
    spec = build(Bag((small, other), ((1.0, 0.0, 0.5, 0.0), (0.0, 1.0, 0.5, 1.0)), "random"), folder, "bag", (0.3,))
    window = music(spec.windows[0])
    one, two = unbounded(small, window), unbounded(other, window)
    peak = np.abs(window).max()
    wanted = np.clip(np.stack([one[0], two[1], (one[2] + two[2]) / 2, two[3]]), -peak, peak)
    for backend in ("openvino", "torch"):
        np.testing.assert_allclose(opened(folder, backend=backend)(window), wanted, atol=1e-5)


def test_card_and_fingerprint(small: Network, small_model: Path) -> None:
    card = json.loads((small_model / "model.json").read_text())
    assert card["schema"] == 1
    assert card["adapter"] == "htdemucs"
    there = {path.name for path in small_model.iterdir()} - {"model.json", "cache"}
    assert set(card["files"]) == there
    assert all(sha256(small_model / name) == digest for name, digest in card["files"].items())
    assert "research" in card["spec"]["licence"]


def test_build_that_is_broken_off_leaves_nothing(small: Network, tmp_path: Path) -> None:
    def tell(line: str) -> None:
        if "0.3 s" in line:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(Bag((small,), ((1.0,) * 4,), "random"), tmp_path / "broken", "broken", (0.5, 0.3), tell)
    assert list(tmp_path.iterdir()) == []


def test_build_that_was_killed_is_cleared_by_the_next(small: Network, tmp_path: Path) -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    left = tmp_path / f".model.{gone.pid}.part"
    left.mkdir()
    (left / "network0.safetensors").write_bytes(b"half")
    build(Bag((small,), ((1.0,) * 4,), "random"), tmp_path / "model", "model", (0.3,))
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    with pytest.raises(UsageError, match="is there already"):
        build(Bag((small,), ((1.0,) * 4,), "random"), tmp_path / "model", "model", (0.3,))


def test_half_built_model_is_not_listed(small_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QSEP_LIVE_HOME", str(tmp_path))
    for name in ("small", ".other.1.part"):
        (tmp_path / "models" / name).mkdir(parents=True)
        shutil.copy(small_model / "model.json", tmp_path / "models" / name)
    assert [entry.folder for entry in stem_separators()] == [tmp_path / "models" / "small"]


def test_full_disk_is_one_line(small: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=1_000_000)
    monkeypatch.setattr(htdemucs_build.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(QsepError, match=r"1 MB are free; HTDemucs needs \d+ MB"):
        build(Bag((small,), ((1.0,) * 4,), "random"), tmp_path / "model", "model", (0.3,))
    assert list(tmp_path.iterdir()) == []


def test_lengths_of_windows() -> None:
    assert window_lengths((1.5, 7.8, 3.0)) == (343_980, 132_096, 66_560)
    for seconds in ((), (0.01,), (1000.0,), (float("nan"),)):
        with pytest.raises(UsageError):
            window_lengths(seconds)

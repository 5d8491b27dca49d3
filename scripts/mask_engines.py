"""What other engines and int8 would bring: time and SDR of a mask, engine by engine, in one run on one thread.

    pip install nncf onnx onnxruntime
    python scripts/mask_engines.py --stems SONGS --calibration OTHER_SONGS

int8 is quantised after training, weights and activations, with the ranges that windows of other songs have: OpenVINO's
graph by NNCF, the ONNX graph by ONNX Runtime's own tool. What makes scales and shifts from z stays in float, since the
calibration knows few latents. Time is the processor's, and the engines take turns: what else the machine does meets
all alike. SDR is offline, the default model's with the presets of the four classes, the median over one-second frames
and songs, which hides what is rare: so the window in which the estimate is furthest from float32's is told too.
"""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from qsep_live.cli.choices import choose_model
from qsep_live.dsp.grid import BINS, FRAMES
from qsep_live.engine.mask_path import MaskPath, Separate, mid_side_of
from qsep_live.evaluation.latents import preset_means
from qsep_live.evaluation.rendering import rendered
from qsep_live.evaluation.sdr import median, track_scores
from qsep_live.evaluation.tracks import STEMS, FolderTracks, Track, Tracks, each
from qsep_live.nets.inference import open_backend
from qsep_live.nets.inference_weights import read_weights
from qsep_live.nets.model import load_model
from qsep_live.nets.openvino_ops import openvino_core
from qsep_live.nets.openvino_patch_unet import build_patch_unet

Array = NDArray[np.float32]
Run = Callable[[Array, Array], Array]
Window = tuple[Array, Array]
"""What a network is asked: magnitudes (channels, BINS, FRAMES) and z."""
CONVOLUTIONS = "Convolution", "ConvolutionBackpropData"
NO_OPERATIONS = "Parameter", "Constant", "Result"
WARM_STEPS = 3
OPSET = 17


@dataclass
class Engine:
    """A network as the mask path calls it."""

    channels: int
    run: Run

    def __call__(self, magnitude: Array, z: Array) -> Array:
        """Mask (BINS, FRAMES) for magnitudes (channels, BINS, FRAMES) and z (latent,)."""
        return self.run(np.ascontiguousarray(magnitude), np.ascontiguousarray(z)).reshape(BINS, FRAMES)


def engines(path: Path, calibration: Sequence[Window]) -> dict[str, Separate]:
    """All of them, on one thread each: float32 in OpenVINO first, then what runs live."""
    exact, shipped = (open_backend(path, "cpu", "openvino", exact=exact) for exact in (True, False))
    found: dict[str, Separate] = {exact.name: exact, shipped.name: shipped}
    for name, run in openvino_int8(path, calibration, "bf16" if shipped.name.endswith("bf16") else "f32"):
        found[f"openvino cpu {name}"] = Engine(exact.channels, run)
    for name, run in onnx_runtime(path, calibration):
        found[f"onnxruntime cpu {name}"] = Engine(exact.channels, run)
    reference = open_backend(path, "cpu", "torch")
    return found | {reference.name: reference}


def openvino_int8(path: Path, calibration: Sequence[Window], rest: str) -> Iterator[tuple[str, Run]]:
    """OpenVINO's graph, quantised; what is not in int8 is in the precision ``rest``."""
    nncf = import_module("nncf")
    nncf.set_log_level(logging.ERROR)
    weights = read_weights(path)
    graph = build_patch_unet(weights.of("separator"), weights.config["separator"])
    nodes = graph.get_ordered_ops()
    films = nncf.IgnoredScope(names=[node.get_friendly_name() for node in nodes if _is_film(node)])
    others = nncf.IgnoredScope(types=sorted({node.get_type_name() for node in nodes} - {*CONVOLUTIONS, *NO_OPERATIONS}))
    options = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": 1,
        "INFERENCE_PRECISION_HINT": rest,
        "ENABLE_CPU_PINNING": False,
    }
    for name, ignored in (("int8", films), ("int8, convolutions alone", others)):
        with redirect_stdout(sys.stderr):
            quantised = nncf.quantize(
                graph,
                nncf.Dataset(calibration, lambda window: [window[0], window[1][None]]),
                subset_size=len(calibration),
                preset=nncf.QuantizationPreset.MIXED,
                ignored_scope=ignored,
                # It takes the last axis for the channels, which in the dense layers over frequency are frames.
                advanced_parameters=nncf.AdvancedQuantizationParameters(disable_bias_correction=True),
            )
        yield name, _openvino_run(openvino_core().compile_model(quantised, "CPU", options).create_infer_request())


def _is_film(node: Any) -> bool:
    return bool(node.get_type_name() == "MatMul" and node.input_value(0).get_node().get_friendly_name() == "z")


def _openvino_run(request: Any) -> Run:
    return lambda magnitude, z: np.array(request.infer([magnitude, z[None]])[0])


def onnx_runtime(path: Path, calibration: Sequence[Window]) -> Iterator[tuple[str, Run]]:
    """The torch network as an ONNX graph, in float32, and with the convolutions in int8."""
    onnx, onnxruntime = import_module("onnx"), import_module("onnxruntime")
    quantization = import_module("onnxruntime.quantization")
    separator = load_model(path).separator.eval()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1

    def opened(file: Path) -> Run:
        return _onnx_run(onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"]))

    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        # torch's exporter by tracing is deprecated; the other one needs one package more.
        warnings.simplefilter("ignore")
        traced, cleaned, int8 = (Path(folder) / f"{name}.onnx" for name in ("traced", "cleaned", "int8"))
        example = torch.from_numpy(calibration[0][0][None]), torch.from_numpy(calibration[0][1][None])
        names = ["magnitude", "z"]
        torch.onnx.export(separator, example, str(traced), input_names=names, dynamo=False, opset_version=OPSET)
        onnx.save(_with_products(onnx.load(traced)), traced)
        yield "float32", opened(traced)
        quantization.shape_inference.quant_pre_process(str(traced), str(cleaned))
        quantization.quantize_static(
            str(cleaned),
            str(int8),
            _Reader(calibration),
            # In the other format a convolution that a norm follows is computed in float32.
            quant_format=quantization.QuantFormat.QOperator,
            activation_type=quantization.QuantType.QUInt8,
            op_types_to_quantize=["Conv"],
            per_channel=True,
        )
        yield "int8, convolutions alone", opened(int8)


def _with_products(model: Any) -> Any:
    """The dense layers over frequency as matrix products: ONNX Runtime's Einsum transposes both ways."""
    for node in model.graph.node:
        if node.op_type == "Einsum" and node.attribute[0].s == b"bcft,gf->bcgt":
            features, weight = node.input
            product = type(node)(op_type="MatMul", name=node.name, input=[weight, features], output=node.output)
            node.CopyFrom(product)
    return model


def _onnx_run(session: Any) -> Run:
    return lambda magnitude, z: session.run(None, {"magnitude": magnitude[None], "z": z[None]})[0]


class _Reader:
    """Windows as ONNX Runtime's calibration asks for them."""

    def __init__(self, windows: Sequence[Window]) -> None:
        self._rest = iter(windows)

    def get_next(self) -> dict[str, Array] | None:
        for magnitude, z in self._rest:
            return {"magnitude": magnitude[None], "z": z[None]}
        return None


def windows_of(tracks: Tracks, means: dict[str, Array], channels: int) -> list[Window]:
    """What the network is asked in these songs: a window each second, with each class's mean latent in turn."""
    caught: list[Array] = []

    def catch(magnitude: Array, _z: Array) -> Array:
        caught.append(magnitude.copy())
        return np.zeros((BINS, FRAMES), np.float32)

    for track in each(tracks):
        path, heard = MaskPath(track.rate, Engine(channels, catch)), mid_side_of(track.mixture)
        for start in range(0, len(heard), track.rate):
            path.push(heard[start : start + track.rate])
            path.step(means[STEMS[0]])
    return [(magnitude, means[STEMS[number % len(STEMS)]]) for number, magnitude in enumerate(caught)]


def step_times(found: dict[str, Separate], windows: Sequence[Window], repeats: int) -> dict[str, float]:
    """Median processor time of a mask, seconds."""
    times: dict[str, list[float]] = {name: [] for name in found}
    for step in range(WARM_STEPS + repeats):
        for name, engine in found.items():
            start = time.process_time()
            engine(*windows[step % len(windows)])
            times[name].append(time.process_time() - start)
    return {name: float(np.median(kept[WARM_STEPS:])) for name, kept in times.items()}


def sdrs(engine: Separate, tracks: Sequence[Track], means: dict[str, Array]) -> dict[str, float]:
    """Median SDR by class, dB."""
    gathered: dict[str, list[float]] = {stem: [] for stem in STEMS}
    for track in tracks:
        estimates = {
            stem: rendered(track.mixture, track.rate, engine, means[stem], [None])[None] for stem in track.stems
        }
        for stem, value in track_scores(track.stems, estimates, track.rate).items():
            gathered[stem].append(value)
    return {stem: median(values) for stem, values in gathered.items()}


def worst_errors(found: dict[str, Separate], windows: Sequence[Window], exact: str) -> dict[str, float]:
    """The largest error of an estimated window against float32's, dB against the mixture."""
    errors: dict[str, list[float]] = {name: [] for name in found}
    for magnitude, z in windows:
        middle = magnitude[0].astype(np.float64)
        mask = found[exact](magnitude, z)
        for name, engine in found.items():
            error = np.sum(((engine(magnitude, z) - mask) * middle) ** 2) / max(np.sum(middle**2), 1e-12)
            errors[name].append(10.0 * float(np.log10(max(error, 1e-12))))
    return {name: max(values) for name, values in errors.items()}


def table(
    times: dict[str, float],
    worst: dict[str, float],
    scores: dict[str, dict[str, float]],
    exact: str,
    shipped: str,
) -> str:
    """A row for each engine: time, its share of what runs live, SDR by class, what the mean lost to float32, worst."""
    means = {name: float(np.mean(list(score.values()))) for name, score in scores.items()}
    lines = [f"| | a mask | of live | {' | '.join(STEMS)} | mean | lost | worst |", "|---|" + "---|" * (len(STEMS) + 5)]
    for name, seconds in times.items():
        cells = " | ".join(f"{scores[name][stem]:.2f}" for stem in STEMS)
        error = "–" if name == exact else f"{worst[name]:.0f} dB"
        lines.append(
            f"| {name} | {1e3 * seconds:.1f} ms | {seconds / times[shipped]:.0%} | {cells} | {means[name]:.2f} "
            f"| {means[exact] - means[name]:+.3f} | {error} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stems", type=Path, required=True, help="songs: folders with vocals, drums, bass, other")
    parser.add_argument("--calibration", type=Path, required=True, help="other songs, for int8")
    parser.add_argument("--songs", type=int, help="how many are measured; by default all")
    parser.add_argument("--calibration-songs", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=100, help="timed masks of each engine")
    given = parser.parse_args()
    torch.set_num_threads(1)
    model = choose_model(None)
    means = preset_means(model.fingerprint)
    channels = read_weights(model.path).config["separator"]["channels"]
    songs = FolderTracks(given.stems, given.songs)
    found = engines(model.path, windows_of(FolderTracks(given.calibration, given.calibration_songs), means, channels))
    windows = windows_of(songs, means, channels)
    times = step_times(found, windows, given.repeats)
    tracks = list(each(songs))
    scores = {name: sdrs(engine, tracks, means) for name, engine in found.items()}
    exact, shipped, *_ = found
    print(table(times, worst_errors(found, windows, exact), scores, exact, shipped))


if __name__ == "__main__":
    main()

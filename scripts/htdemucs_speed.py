"""What HTDemucs costs on this machine's CPU: the graphs of OpenVINO beside the `demucs` package's torch network.

    python scripts/htdemucs_speed.py ~/.local/share/qsep-live/models/htdemucs --rounds 5

Each round runs every one once, in turn, so that a loaded machine is bad for all alike; printed are medians, of the wall
and of this process's CPU time, and the median of each round's ratio to torch. A second of audio costs a step over the
0.75 windows that it is worth offline, where windows overlap by a quarter.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np

from qsep_live.models.adapters.htdemucs import open_installed
from qsep_live.models.registry import added

STRIDE = 0.75


def main() -> None:
    arguments = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    arguments.add_argument("folder", type=Path, help="of HTDemucs, as `qsep-live models add` made it")
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--threads", type=int, default=1)
    given = arguments.parse_args()
    steps = _steps(given.folder, given.threads)
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in steps}
    for _ in range(given.rounds):
        for name, (step, _) in steps.items():
            wall, cpu = time.perf_counter(), time.process_time()
            step()
            times[name].append((time.perf_counter() - wall, time.process_time() - cpu))
    reference = times[next(iter(times))]
    print(f"{given.rounds} rounds, {given.threads} thread(s)")
    print(f"{'':32}{'wall s':>8}{'CPU s':>8}{'s per s, wall':>15}{'CPU':>7}{'torch / it, wall':>18}{'CPU':>7}")
    for name, (_, seconds) in steps.items():
        wall, cpu = (median(each[index] for each in times[name]) for index in range(2))
        ratios = [
            median(one[index] / other[index] for one, other in zip(reference, times[name], strict=True))
            for index in range(2)
        ]
        worth = STRIDE * seconds
        print(f"{name:32}{wall:8.3f}{cpu:8.3f}{wall / worth:15.3f}{cpu / worth:7.3f}{ratios[0]:18.2f}{ratios[1]:7.2f}")


def _steps(folder: Path, threads: int) -> dict[str, tuple[Callable[[], object], float]]:
    """What is timed, by name, warm, and the seconds of its window. The `demucs` package's own step comes first."""
    import torch

    from qsep_live.models.adapters.htdemucs_files import network_file
    from qsep_live.models.adapters.htdemucs_weights import load_network

    spec = added(folder).spec
    random = np.random.default_rng(1)
    torch.set_num_threads(threads)
    network = load_network(folder / network_file(0)).torch()
    longest = 0.1 * random.standard_normal((1, 2, spec.windows[0])).astype(np.float32)

    def reference() -> object:
        with torch.inference_mode():
            return network(torch.from_numpy(longest))

    reference()
    steps: dict[str, tuple[Callable[[], object], float]] = {}
    steps[f"demucs package, {spec.windows[0]}"] = reference, spec.windows[0] / spec.rate
    for exact in (True, False):
        separator = open_installed(folder, spec, "cpu", threads, exact, backend="openvino")
        for samples in spec.windows:
            began = time.perf_counter()
            separator.warm_up(samples)
            print(f"{separator.name}, {samples}: ready after {time.perf_counter() - began:.2f} s")
            window = longest[0, :, :samples].copy()
            steps[f"{separator.name}, {samples}"] = partial(separator, window), samples / spec.rate
    return steps


if __name__ == "__main__":
    main()

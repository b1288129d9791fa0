# SPDX-License-Identifier: MIT
"""Frames per second of a fit on a card and on the CPU cores beside it.

    python benchmarks/gpu_training.py --results FILE.json [--minutes 5] [--cpu]

Training steps of the front end on the bundled CdSe frames, presets fast and std, batches as the
defaults and, on the card, large ones, too. Each row has two rates: steps with their arrays at
hand, and as the loop of a fit goes, arrays made on the host and each step waited for (`loop_`).
The batches of a row are those of the first epoch that have one shape, the one with the most work.
On eight cores or more the rows of the CPU run at the same time as those of the card, on cores of
their own.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from support import carried
from support.gpu_rows import Row, Rows, add_options, run_worker

DATA = carried.ROOT / "potentials/cdse/data/cdse-pbe.extxyz.xz"
LARGE = {"batch_atoms": 2560, "batch_frames": 128}  # 16 times the defaults
# preset, what differs from the defaults, kernels; what matters most comes first
ON_CARD: list[tuple[str, dict[str, int], str]] = [
    ("std", {}, "jax"),
    ("fast", {}, "jax"),
    ("std", LARGE, "jax"),
    ("fast", LARGE, "jax"),
]
ON_CPU: list[tuple[str, dict[str, int], str]] = [
    ("std", {}, "native"),
    ("fast", {}, "native"),
    ("std", {}, "jax"),
    ("fast", {}, "jax"),
]
BESIDE = 4  # cores for the card's process while the CPU's rows run
ROW_LIMIT = 200.0  # s, mostly of the compiler


def make_rows(
    device: str,
    data: Path,
    seconds: float,
    count: int,
    presets: Sequence[str],
    only: str | None,
) -> list[Row]:
    """What a worker is asked; `only`: rows of the CPU by these kernels."""
    found = []
    if data.is_relative_to(carried.ROOT):
        data = data.relative_to(carried.ROOT)
    for preset, changes, kernels in ON_CARD if device == "gpu" else ON_CPU:
        if preset in presets and (device == "gpu" or only in (None, kernels)):
            row = {"device": device, "preset": preset, "kernels": kernels, "data": str(data)}
            found.append(row | changes | {"seconds": seconds, "count": count})
    return found


def has_binding() -> bool:
    """Whether qdml was built for this Python."""
    return importlib.util.find_spec("qdml._native") is not None


def work(rows: Rows, asked: list[Row], cores: Sequence[int], row_limit: float = ROW_LIMIT) -> None:
    """Rows of one device on some cores."""
    if asked and asked[0]["device"] == "cpu" and not has_binding():
        for row in [row for row in asked if row["kernels"] == "native"]:
            rows.add(row | {"error": "no binding qdml._native for this Python"})
        asked = [row for row in asked if row["kernels"] != "native"]
    on_card = bool(asked) and asked[0]["device"] == "gpu"
    environment = {
        "JAX_PLATFORMS": "cuda" if on_card else "cpu",
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
        "OMP_NUM_THREADS": str(len(cores)),
        "NPROC": str(len(cores)),  # of XLA's pool
    }
    run_worker(
        "support.training_steps", asked, environment, rows.end, row_limit,
        lambda row: rows.add(row | {"cores": len(cores)}), cores,
    )  # fmt: skip


def summarise(rows: list[Row]) -> str:
    """Best rate of each device and preset."""
    best: dict[tuple[str, str], float] = {}
    for row in rows:
        if "error" not in row:
            key = (row["device"], row["preset"])
            best[key] = max(best.get(key, 0.0), row["loop_frames_per_second"])
    return "; ".join(f"{d} {p}: {x:.1f} frames/s" for (d, p), x in sorted(best.items()))


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_options(parser)
    parser.add_argument("--data", type=Path, default=DATA, help="labelled frames of Cd and Se")
    parser.add_argument("--presets", nargs="+", default=None, help="default: std fast")
    parser.add_argument("--kernels", choices=["native", "jax"], help="of the CPU; default both")
    options = parser.parse_args(words)
    carried.use_packages()
    rows = Rows(
        options,
        "training steps: energies, forces, gradient of their loss, optimiser, average; loop_: with "
        "the arrays of every batch made on the host",
    )
    cores = sorted(os.sched_getaffinity(0))
    if options.cpu:
        asked = make_rows("cpu", options.data, 0.1, 1, options.presets or ["fast"], options.kernels)
        work(rows, asked, cores, 60 * options.minutes)  # a busy machine may need all of it
    else:
        card, cpu = (
            make_rows(
                device,
                options.data,
                seconds,
                12,
                options.presets or ["std", "fast"],
                options.kernels,
            )
            for device, seconds in (("gpu", 1.5), ("cpu", 3.0))
        )
        if len(cores) >= 2 * BESIDE:
            parts = [(card, cores[:BESIDE]), (cpu, cores[BESIDE:])]
            threads = [threading.Thread(target=work, args=(rows, *part)) for part in parts]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        else:
            work(rows, card, cores)
            work(rows, cpu, cores)
    print("; ".join(filter(None, [rows.summary(), summarise(rows.document["rows"])])))
    return 0 if rows.has_numbers() else 1


if __name__ == "__main__":
    sys.exit(main())

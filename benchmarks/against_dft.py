# SPDX-License-Identifier: MIT
"""Time of one MD step of a fitted potential against the DFT time of the same frames, in one table.

Evaluates the labelled frames with the engine on one core and divides the recorded DFT time of each
frame (`label_seconds`, CPU seconds of one core) by the engine's time for energy, forces and stress.

Example: python benchmarks/against_dft.py --model demo-out/fit/model.qdml
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from collections import defaultdict
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # one core, as the labels were made; before the engine loads

import ase.io
import qdml

DATA = Path(__file__).resolve().parents[1] / "potentials/cdse/data/cdse-pbe.extxyz.xz"


def cpu_name() -> str:
    """Model name of the processor, as the kernel reports it."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor()


def seconds_per_evaluation(calculator, atoms, at_least: float = 0.3) -> float:
    """Median wall seconds of energy, forces and stress over >= 10 repetitions after a warm-up."""
    times = []
    start = time.perf_counter()
    while len(times) < 11 or time.perf_counter() - start < at_least:
        began = time.perf_counter()
        calculator.calculate(atoms, properties=["energy", "forces", "stress"])
        times.append(time.perf_counter() - began)
    return statistics.median(times[1:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()

    calculator = qdml.Calculator(options.model)
    groups = defaultdict(list)
    for atoms in ase.io.iread(options.data, index=":"):
        if "label_seconds" in atoms.info and len(atoms) > 1:
            groups[atoms.info["origin"]].append(atoms)

    rows = []
    for origin, frames in groups.items():
        dft = statistics.median(float(a.info["label_seconds"]) for a in frames)
        engine = seconds_per_evaluation(calculator, frames[0])
        rows.append(
            {
                "origin": origin,
                "atoms": len(frames[0]),
                "frames": len(frames),
                "dft_seconds": dft,
                "engine_seconds": engine,
                "ratio": dft / engine,
            }
        )
    print(f"{options.model}: {cpu_name()}, one core, mixed precision, neighbour list included")
    print(f"{'origin':28s} {'atoms':>5s} {'DFT s':>8s} {'engine ms':>10s} {'ratio':>10s}")
    for row in rows:
        print(
            f"{row['origin']:28s} {row['atoms']:5d} {row['dft_seconds']:8.1f} "
            f"{1e3 * row['engine_seconds']:10.3f} {row['ratio']:10.0f}"
        )
    if options.output:
        document = {"hardware": cpu_name(), "model": calculator.info["architecture"], "rows": rows}
        options.output.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()

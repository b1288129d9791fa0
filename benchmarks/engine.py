# SPDX-License-Identifier: MIT
"""Time of the engine per atom and step: model sizes, precisions, threads, on one stated machine.

`python benchmarks/engine.py --json engine.json` prints a table and writes the same as JSON. Random
potentials on rattled zinc-blende CdSe; energy, forces and virial, neighbour list not included.
"cpu" is CPU time of one thread (what a busy machine does not stretch), "wall" is elapsed time.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from ase.build import bulk
from rich.console import Console
from rich.progress import track
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests/python"))
import models

CUTOFF = 6.9  # Å: about 46 neighbours in CdSe
# name -> (l_max, channels, layers); `std` and `fast` are the presets of the design
MODELS = {
    "l0-64-3": (0, 64, 3),
    "l1-32-3 (fast)": (1, 32, 3),
    "l2-32-3": (2, 32, 3),
    "l2-64-2": (2, 64, 2),
    "l2-64-3 (std)": (2, 64, 3),
    "l2-64-4": (2, 64, 4),
}


def hardware() -> dict[str, object]:
    """Processor, kernels' instruction set, load: what a time means nothing without."""
    name = platform.processor()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = [x for x in cpuinfo.read_text().splitlines() if x.startswith("model name")]
        name = lines[0].split(":")[1].strip() if lines else name
    return {
        "processor": name,
        "cores": os.cpu_count(),
        "load_before": os.getloadavg()[0],
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
    }


def measure(spec: dict) -> dict:
    """Run one case in this process: best and median µs per atom-step."""
    from qdml.engine import Engine, build_neighbor_list

    atoms = bulk("CdSe", "zincblende", a=6.05, cubic=True) * ((spec["repeat"],) * 3)
    atoms.rattle(0.1, seed=1)
    species = (atoms.numbers == 34).astype(np.int32)
    pbc = [True] * 3
    start, neighbor, _, vector = build_neighbor_list(atoms.positions, atoms.cell.array, pbc, CUTOFF)
    engine = Engine(spec["path"], spec["precision"])
    cpu, wall = [], []
    begin = time.perf_counter()
    while len(wall) < 5 or time.perf_counter() - begin < spec["seconds"]:
        t0, c0 = time.perf_counter(), time.process_time()
        engine.compute_graph(species, start, neighbor, vector)
        wall.append((time.perf_counter() - t0) * 1e6 / len(atoms))
        cpu.append((time.process_time() - c0) * 1e6 / len(atoms))
    wall, cpu = wall[1:], cpu[1:]  # the first call allocates
    return {
        "atoms": len(atoms),
        "neighbours": len(neighbor) / len(atoms),
        "isa": engine.info["isa"],
        "steps": len(wall),
        "wall_median": statistics.median(wall),
        "wall_best": min(wall),
        "cpu_median": statistics.median(cpu),
        "cpu_best": min(cpu),
    }


def in_fresh_process(spec: dict) -> dict:
    """Threads and instruction set are read at start, so each case has its own process."""
    environment = os.environ | {"OMP_NUM_THREADS": str(spec["threads"]), "OMP_PROC_BIND": "true"}
    if spec["isa"]:
        environment["QDML_ISA"] = spec["isa"]
    command = [sys.executable, __file__, "--case", json.dumps(spec)]
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    return spec | json.loads(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="also write the results here")
    parser.add_argument("--threads", type=int, nargs="+", default=[1])
    parser.add_argument("--precision", nargs="+", default=["mixed", "double"])
    parser.add_argument("--isa", nargs="+", default=[""], help="baseline avx2 avx512")
    parser.add_argument("--models", nargs="+", default=list(MODELS), choices=list(MODELS))
    parser.add_argument("--repeat", type=int, default=5, help="cubic cells per edge (8 atoms each)")
    parser.add_argument("--seconds", type=float, default=2.0, help="per case")
    parser.add_argument("--case", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.case:
        json.dump(measure(json.loads(arguments.case)), sys.stdout)
        return
    machine, results = hardware(), []
    with tempfile.TemporaryDirectory() as folder:
        cases = []
        for name in arguments.models:
            l_max, channels, layers = MODELS[name]
            path = models.random_model(
                Path(folder) / f"{len(cases)}.qdml", species=("Cd", "Se"), l_max=l_max,
                channels=channels, message_channels=channels, layers=layers, cutoff=CUTOFF,
                knots=64,
            )  # fmt: skip
            cases += [
                {
                    "model": name,
                    "path": str(path),
                    "precision": precision,
                    "threads": threads,
                    "isa": isa,
                    "repeat": arguments.repeat,
                    "seconds": arguments.seconds,
                }
                for precision in arguments.precision
                for threads in arguments.threads
                for isa in arguments.isa
            ]
        for case in track(cases, "measuring", console=Console(stderr=True)):
            results.append(in_fresh_process(case))
    machine["load_after"] = os.getloadavg()[0]
    title = (
        f"µs per atom and step, {machine['processor']}, load {machine['load_before']:.1f} to "
        f"{machine['load_after']:.1f} on {machine['cores']} cores"
    )
    table = Table(title=title)
    for column in ("model", "precision", "isa", "threads", "neighbours", "atoms", "wall median",
                   "wall best", "cpu median", "cpu best"):  # fmt: skip
        table.add_column(column)
    for r in results:
        numbers = [f"{r[k]:.1f}" for k in ("wall_median", "wall_best", "cpu_median", "cpu_best")]
        table.add_row(
            r["model"], r["precision"], r["isa"], str(r["threads"]), f"{r['neighbours']:.1f}",
            str(r["atoms"]), *numbers,
        )  # fmt: skip
    Console().print(table)
    if arguments.json:
        for r in results:
            del r["path"]
        arguments.json.write_text(json.dumps({"machine": machine, "results": results}, indent=1))


if __name__ == "__main__":
    main()

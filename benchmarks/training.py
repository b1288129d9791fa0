# SPDX-License-Identifier: MIT
"""Frames per second in training: qdml by the engine's kernels, in JAX, and `nequip`, in one run.

    python benchmarks/training.py [--nequip-python VENV/bin/python]

The first batches that `fit` makes of the CdSe frames in potentials/cdse/data, for the presets; the
same frames in the same batches for nequip at equal l_max, channels, layers and cutoff, on as many
threads. Prints a table; writes training.json to benchmarks/results. docs/benchmarks.md says what a
step is.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from support import machine

HERE = Path(__file__).resolve().parent
DATA = HERE.parent / "potentials" / "cdse" / "data" / "cdse-pbe.extxyz.xz"
KERNELS = {"native": "qdml, the engine's kernels", "jax": "qdml, pure JAX"}
NEQUIP_MODES = ("eager", "compile")
TIME_LIMIT = 1800  # s per row


def run(program: list[str], spec: dict[str, Any], threads: int) -> dict[str, Any]:
    """One measurement in a fresh process on `threads` cores; its JSON, or {"error": ...}."""
    environment = os.environ | {
        "OMP_NUM_THREADS": str(threads),
        "NPROC": str(threads),  # of XLA's pool
        "PYTHONPATH": str(HERE),
        "JAX_PLATFORMS": "cpu",
    }
    for name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):  # may hold a library to old kernels
        environment.pop(name, None)
    if program[-1].endswith(".py"):  # Python of another environment
        del environment["PYTHONPATH"]
    cores = sorted(os.sched_getaffinity(0))[-threads:]
    try:
        done = subprocess.run(
            [*program, json.dumps(spec)], env=environment, check=False, capture_output=True,
            text=True, timeout=TIME_LIMIT, preexec_fn=lambda: os.sched_setaffinity(0, cores),
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return {"error": f"took longer than {TIME_LIMIT} s"}
    if done.returncode != 0:
        return {"error": (done.stderr.strip().splitlines() or ["no message"])[-1][:300]}
    return json.loads(done.stdout.strip().splitlines()[-1])


def measure_preset(
    preset: str, options: argparse.Namespace, folder: Path, console: Console
) -> list[dict[str, Any]]:
    """All rows of one preset."""
    worker = [sys.executable, "-m", "support.training_worker"]
    spec = {"data": str(options.data), "model": preset, "count": options.batches}
    common = run(worker, spec | {"kernels": "auto", "write": str(folder)}, options.threads)
    if "error" in common:
        raise SystemExit(f"{preset}: the batches could not be made: {common['error']}")
    files = common.pop("files")
    names = ("frames", "atoms", "edges", "cutoff", "l_max", "layers", "channels")
    shared = {k: common[k] for k in names} | {"model": preset, "threads": options.threads}
    rows = []
    for kernels in options.kernels:
        console.print(f"{preset}: {KERNELS[kernels]}")
        found = run(
            worker, spec | {"kernels": kernels, "seconds": options.seconds}, options.threads
        )
        rows.append(shared | {"kind": "qdml", "mode": kernels} | found)
    for mode in options.nequip_modes if options.nequip_python else ():
        console.print(f"{preset}: nequip, {mode}")
        program = [options.nequip_python, str(HERE / "support" / "nequip_training_worker.py")]
        size = {k: shared[k] for k in ("cutoff", "l_max", "layers", "channels", "threads")}
        size |= {"neighbours": common["edges"] / common["atoms"], "seconds": options.seconds}
        found = run(program, size | {"mode": mode, "batches": files}, options.threads)
        rows.append(shared | {"kind": "nequip", "mode": mode} | found)
    for row in rows:
        if "error" in row:
            console.print(f"    did not run: {row['error']}", markup=False)
        elif row["edges"] != common["edges"]:
            raise SystemExit(f"{preset}: {row['edges']} edges, the batches have {common['edges']}")
        else:
            row["frames_per_second"] = row["frames"] / row["wall"]
            console.print(f"    {row['frames_per_second']:.2f} frames/s")
    return rows


def compare(rows: list[dict[str, Any]]) -> None:
    """Ratios to the fastest mode of nequip that ran, preset by preset."""
    for row in rows:
        others = [
            r["frames_per_second"]
            for r in rows
            if r["kind"] == "nequip" and r["model"] == row["model"] and "error" not in r
        ]
        if others and "error" not in row:
            row["speedup"] = row["frames_per_second"] / max(others)


def label(row: dict[str, Any]) -> str:
    return KERNELS[row["mode"]] if row["kind"] == "qdml" else f"nequip, {row['mode']}"


def print_table(document: dict[str, Any], console: Console) -> None:
    found = document["machine"]
    state = "quiet" if found["quiet"] else "NOT QUIET, no result"
    table = Table(
        title=f"training steps, {found['processor']}, {document['threads']} threads, load "
        f"{found['load_at_start']} ({state}); ratio against the fastest mode of nequip"
    )
    for column in ("preset", "what", "parameters", "frames", "atoms", "ms per frame", "frames/s",
                   "CPU s / wall s", "ratio"):  # fmt: skip
        table.add_column(column)
    for r in document["rows"]:
        if "error" in r:
            table.add_row(r["model"], label(r), "", "", "", f"did not run: {r['error']}")
            continue
        table.add_row(
            r["model"], label(r), str(r["parameters"]), str(r["frames"]), str(r["atoms"]),
            f"{1e3 / r['frames_per_second']:.1f}", f"{r['frames_per_second']:.2f}",
            f"{r['cpu'] / r['wall']:.2f}", f"{r['speedup']:.2f}x" if "speedup" in r else "",
        )  # fmt: skip
    console.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--nequip-python", help="Python of an environment with torch and nequip")
    parser.add_argument("--nequip-modes", nargs="+", choices=NEQUIP_MODES, default=NEQUIP_MODES)
    parser.add_argument("--models", nargs="+", default=["fast", "std"], help="presets of qdml")
    parser.add_argument("--kernels", nargs="+", choices=list(KERNELS), default=list(KERNELS))
    parser.add_argument("--data", type=Path, default=DATA, help="labelled frames of Cd and Se")
    parser.add_argument("--batches", type=int, default=12, help="of the first epoch")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=20.0, help="least time measured per row")
    parser.add_argument("--under-load", action="store_true", help="measure on a busy machine too")
    parser.add_argument("--output", type=Path, default=machine.RESULTS / "training.json")
    options = parser.parse_args()
    console = Console(width=150)
    document: dict[str, Any] = {
        "what": "seconds for all batches once (wall, cpu: median of the repetitions); fp32; a step "
        "is energies and forces, the gradient of their loss, the optimiser, averaged weights",
        "machine": machine.describe(),
        "threads": options.threads,
        "rows": [],
    }
    machine.require_quiet(document["machine"], options.under_load)
    for preset in options.models:
        with tempfile.TemporaryDirectory() as folder:
            document["rows"] += measure_preset(preset, options, Path(folder), console)
        compare(document["rows"])
        machine.write(options.output, document)
    print_table(document, console)
    console.print(f"wrote {options.output}")


if __name__ == "__main__":
    main()

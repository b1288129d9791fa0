# SPDX-License-Identifier: MIT
"""What is measured: the rows of the engine's benchmark, and how a finished row becomes numbers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ase import Atoms
from qdml.modelfile import read_model

from support import counts, structures

HERE = Path(__file__).resolve().parent
SIDE_ATOMS = 216  # of the side-by-side rows: what PyTorch holds in memory and runs within a second
NEQUIP_MODES = ("eager", "compile", "aotinductor", "torchscript")
TIME_LIMIT = 420  # s for one row; torch.compile needs the most


def plan(
    presets: list[str], sizes: list[int], isas: list[str], threads: list[int], seconds: float,
    nequip_python: str | None, nequip_modes: Sequence[str] = NEQUIP_MODES,
) -> list[dict[str, Any]]:  # fmt: skip
    """All rows in the order they are run; `expected` is a first guess of seconds per row."""
    best = isas[-1]
    base = {"kind": "engine", "precision": "mixed", "threads": 1, "isa": best, "seconds": seconds}
    middle = 1000 if 1000 in sizes else sizes[len(sizes) // 2]
    rows = []
    for model in presets:
        rows += [base | {"model": model, "atoms": n} for n in sizes]
        for change in (
            *({"threads": t} for t in threads if t != 1),
            {"precision": "double"},
            *({"isa": isa} for isa in isas[:-1]),
        ):
            rows.append(base | {"model": model, "atoms": middle} | change)
    if "std" in presets:
        side = {"model": "std", "atoms": SIDE_ATOMS, "side_by_side": True, "seconds": seconds}
        rows.append(base | side)
        lammps = {"kind": "lammps", "precision": "mixed", "threads": 1, "isa": best}
        rows.append(side | lammps | {"steps": max(20, int(100 * seconds))})
        rows.append(
            {"model": "std", "atoms": middle, "side_by_side": True} | lammps
            | {"steps": max(10, int(20 * seconds))}
        )  # fmt: skip
        rows.append(side | {"kind": "jax", "precision": "mixed", "threads": 1, "isa": "xla"})
        for mode in nequip_modes if nequip_python else ():
            rows.append(
                side | {"kind": "nequip", "mode": mode, "precision": "mixed", "threads": 1,
                        "isa": "torch"}
            )  # fmt: skip
    for row in rows:
        row["expected"] = expected_seconds(row)
    return rows


def expected_seconds(row: dict[str, Any]) -> float:
    """Rough cost of a row on one 4 GHz AVX-512 core, for the progress line only."""
    if row["kind"] == "nequip":
        return 90.0 if row["mode"] in ("compile", "aotinductor") else 12.0
    if row["kind"] == "jax":
        return 15.0
    per_atom = {"fast": 20e-6, "std": 50e-6, "accurate": 80e-6}.get(row["model"], 250e-6)
    slower = {"baseline": 4.0, "avx2": 2.0}.get(row["isa"], 1.0)
    slower *= 2.5 if row["precision"] == "double" else 1.0
    step = per_atom * slower * row["atoms"]
    if row["kind"] == "lammps":
        return 2.0 + 1.3 * step * (row["steps"] + 10)
    return 2.0 + step + max(4 * step, row["seconds"])


def key(row: dict[str, Any]) -> str:
    """Identity of a row: what was measured and how, not what came out."""
    names = ("kind", "mode", "model", "atoms", "threads", "isa", "precision", "seconds", "steps")
    return json.dumps({k: row[k] for k in names if k in row}, sort_keys=True)


def run(row: dict[str, Any], paths: dict[str, Path], nequip_python: str | None) -> dict[str, Any]:
    """Measure one row in a fresh process. Returns the row with its numbers, or with `error`."""
    environment = os.environ | {
        "OMP_NUM_THREADS": str(row["threads"]),
        "PYTHONPATH": str(HERE.parent),
        "JAX_PLATFORMS": "cpu",
    }
    for name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):  # may hold a library to old kernels
        environment.pop(name, None)
    if row["kind"] == "nequip":
        spec = {
            "mode": row["mode"], "structure": str(paths["structure"]), "cutoff": structures.CUTOFF,
            "seconds": row["seconds"],
        }  # fmt: skip
        spec["l_max"], spec["channels"], spec["layers"] = structures.MODELS[row["model"]]
        program = [nequip_python, str(HERE / "nequip_worker.py"), json.dumps(spec)]
        del environment["PYTHONPATH"]
    else:
        environment["QDML_ISA"] = row["isa"]
        if row["kind"] == "jax":
            del environment["QDML_ISA"]
        spec = row | {"path": str(paths[row["model"]])}
        program = [sys.executable, "-m", "support.workers", json.dumps(spec)]
    try:
        done = subprocess.run(
            program, env=environment, check=False, capture_output=True, text=True,
            timeout=TIME_LIMIT,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return row | {"error": f"took longer than {TIME_LIMIT} s"}
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or ["no message"]
        return row | {"error": lines[-1][:300]}
    return row | json.loads(done.stdout.strip().splitlines()[-1])


def finish(row: dict[str, Any], paths: dict[str, Path], peaks: dict[str, Any]) -> dict[str, Any]:
    """Add µs per atom-step, GFLOP/s of the counted arithmetic and the share of the core's peak."""
    if "error" in row:
        return row
    per_atom = 1e6 / row["atoms"]
    row |= {
        "us_per_atom_step": row["wall"] * per_atom,
        "cpu_us_per_atom_step": row["cpu"] * per_atom,
    }
    if row["kind"] == "engine":
        architecture = read_model(paths[row["model"]])[0]["architecture"]
        fma = counts.fma_per_atom(architecture, row["neighbours"])
        row["fma_per_atom_step"] = fma
        # one thread: CPU time, which other work does not stretch; several: the time that passes
        best = row["cpu_best"] if row["threads"] == 1 else row["wall_best"]
        row["gflops"] = 2e-9 * fma * row["atoms"] / best
        if "stages" in row:
            stage_fma = counts.stage_fma(architecture, row["neighbours"])
            row["stage_gflops"] = {
                k: 2e-9 * stage_fma[k] * row["atoms"] / s
                for k, s in row["stages"].items()
                if k in stage_fma and s > 0
            }
        peak = peaks.get(row["isa"], {}).get(row["precision"])
        if peak:
            row["percent_of_peak"] = 100 * row["gflops"] / (peak * row["threads"])
    return row


def write_structure(folder: Path) -> Path:
    """The side-by-side crystal as a file for the other Python."""
    import ase.io

    atoms: Atoms = structures.crystal(SIDE_ATOMS)
    path = folder / "crystal.extxyz"
    ase.io.write(path, atoms)
    return path

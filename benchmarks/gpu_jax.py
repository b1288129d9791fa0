# SPDX-License-Identifier: MIT
"""Energies and forces of crystals by the JAX network on a card: what the CUDA engine is held to.

    python benchmarks/gpu_jax.py --results FILE.json [--minutes 5] [--rows std,10000 ...] [--cpu]

The same potentials and crystals as `qdml_steps` (support/steps.cpp), jit, fp32; the edges are on
the card beforehand, the engine makes its own. JAX multiplies matrices of fp32 in TF32 on a card
unless asked not to (`highest`); rows are of the former unless they say so. Of calls one by one and
queued ones the faster counts. With QDML_STEPS (the built program; gpu.py sets it) each row has the
engine's time in the same minute, too, and the ratio.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from support import carried
from support.gpu_checks import INP, INP_SEVENNET
from support.gpu_rows import Row, Rows, add_options, run_worker

CDSE_FAST = "potentials/cdse/cdse-pbe-fast.qdml"
CDSE = ("Cd", "Se", "zincblende", "6.05")  # what qdml_steps takes where nothing is said
# model, atoms, products of matrices; what matters most comes first, should the time run out
ROWS = [
    ("std", 10000, "default"),
    (CDSE_FAST, 100000, "default"),
    (INP_SEVENNET, 1000, "default"),
    ("std", 100000, "default"),  # 1 MB per atom in fp32, if XLA keeps what it keeps on a CPU
    ("std", 1000, "default"),
    (INP_SEVENNET, 10000, "default"),  # 7 MB per atom
    ("std", 10000, "highest"),
    (CDSE_FAST, 1000, "default"),
    (CDSE_FAST, 10000, "default"),
    ("std", 30000, "default"),
    ("std", 200, "default"),
    (CDSE_FAST, 200, "default"),
    (INP_SEVENNET, 200, "default"),
    ("fast", 100000, "default"),
    (INP_SEVENNET, 100000, "default"),
]
SMALL_ROWS = [("small", 60, "default"), ("small", 60, "highest"), (CDSE_FAST, 60, "default")]
ROW_LIMIT = 150.0  # s, mostly of the compiler
ENGINE_LIMIT = 45.0  # s


def make_row(model: str, atoms: int, matmul: str, seconds: float) -> Row:
    """What the worker is asked."""
    cation, anion, _, lattice = INP if model == INP_SEVENNET else CDSE
    return {
        "model": model, "atoms": atoms, "matmul": matmul, "elements": [cation, anion],
        "lattice": float(lattice), "seconds": seconds,
    }  # fmt: skip


def parse_row(text: str) -> tuple[str, int, str]:
    """MODEL,ATOMS or MODEL,ATOMS,highest."""
    model, atoms, *matmul = text.split(",")
    return model, int(atoms), matmul[0] if matmul else "default"


def engine_time(row: Row, device: str, limit: float) -> dict[str, Any]:
    """The same model and crystal by the engine, with the built qdml_steps; nothing without it."""
    program = os.environ.get("QDML_STEPS")
    if "error" in row or not program or row["matmul"] != "default" or limit < 5:
        return {}
    command = [program, device, "mixed", row["model"], str(row["atoms"]), "1"]
    command += [*row["elements"], "zincblende", str(row["lattice"])]
    try:
        done = subprocess.run(
            command, cwd=carried.ROOT, capture_output=True, text=True, check=True,
            timeout=min(limit, ENGINE_LIMIT),
        )  # fmt: skip
        engine = json.loads([x for x in done.stdout.splitlines() if x.startswith("{")][-1])
    except (OSError, subprocess.SubprocessError, IndexError, ValueError) as fault:
        return {"engine_error": str(getattr(fault, "stderr", "") or fault)[-300:]}
    if engine["atoms"] != row["atoms"]:
        return {"engine_error": f"the engine had {engine['atoms']} atoms"}
    time = 1e3 * engine["median_us_per_atom"]
    return {
        "engine_ns_per_atom_step": time,
        "engine_device": engine["device"],
        "engine_neighbours": engine.get("neighbours"),
        "ratio": row["ns_per_atom_step"] / time,
    }


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_options(parser)
    parser.add_argument("--rows", nargs="+", type=parse_row, help="MODEL,ATOMS[,highest]")
    options = parser.parse_args(words)
    carried.use_packages()
    seconds = 0.2 if options.cpu else 1.5
    chosen = options.rows or (SMALL_ROWS if options.cpu else ROWS)
    rows = Rows(
        options,
        "energies and forces by the JAX network, ns per atom and step; edges given; ratio: to the "
        "engine, which makes its edges itself",
        backend="cpu" if options.cpu else "cuda",
    )
    environment = {
        "JAX_PLATFORMS": rows.document["backend"],  # without a card an error, not the CPU
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",  # the engine shares the card
        "XLA_PYTHON_CLIENT_MEM_FRACTION": "0.85",
    }
    device = "cpu" if options.cpu else "gpu"
    run_worker(
        "support.jax_steps",
        [make_row(*row, seconds) for row in chosen],
        environment,
        rows.end,
        60 * options.minutes if options.cpu else ROW_LIMIT,
        lambda row: rows.add(row | engine_time(row, device, rows.left())),
    )
    ratios = [
        f"{row['model'].rpartition('/')[2]} {row['atoms']}: {row['ratio']:.1f}x"
        for row in rows.document["rows"]
        if "ratio" in row
    ]
    print("; ".join([rows.summary(), *ratios]))
    return 0 if rows.has_numbers() else 1


if __name__ == "__main__":
    sys.exit(main())

# SPDX-License-Identifier: MIT
"""A film of 100,000 atoms in LAMMPS: time per step and memory per rank on one and two ranks.

    python benchmarks/lammps_film.py --model model.qdml [--ranks 1 2] [--atoms 100000] [--steps 30]
        [--exchange layer wide]

Zinc-blende CdSe (100), periodic in the plane, 29 layers of Cd and Se, Cl on both faces by electron
counting (qdml.sample.slabs), free boundaries along z. Without --model a random `std` potential is
written, which is as fast as any other of its size. JSON to benchmarks/results/lammps_film.json.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from itertools import product
from pathlib import Path
from typing import Any

from ase import Atoms
from qdml.errors import StructureError
from qdml.modelfile import read_model
from qdml.sample.slabs import slab_100
from rich.console import Console
from support import machine, structures
from support.lammps_run import run_steps

CATION_LAYERS = 15
ELEMENTS = ["Cd", "Se", "Cl"]
MEMORY_LIMIT = 16000.0  # MB, of all ranks together


def film(n_atoms: int, rattle: float = 0.1) -> Atoms:
    """Square film of at least `n_atoms` atoms; every coordinate rattled (Å, standard deviation)."""
    unit = slab_100("Cl", n_cation_layers=CATION_LAYERS, repeat=1)
    repeat = int((n_atoms / len(unit)) ** 0.5 + 0.999999)
    atoms = unit.repeat((repeat, repeat, 1))
    if len(atoms) < n_atoms:
        raise StructureError(f"film of {len(atoms)} atoms, {n_atoms} wanted")
    atoms.rattle(rattle, seed=1)
    return atoms


def write_std(folder: Path) -> Path:
    """Random potential of the preset `std` for Cd, Se, Cl."""
    l_max, channels, layers = structures.MODELS["std"]
    return structures.models.random_model(
        folder / "std.qdml", species=tuple(ELEMENTS), l_max=l_max, channels=channels,
        message_channels=channels, layers=layers, cutoff=structures.CUTOFF, knots=64,
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path)
    parser.add_argument("--ranks", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--atoms", type=int, default=100_000)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument(
        "--exchange", nargs="+", choices=("layer", "wide"), default=["layer"], help="keyword values"
    )
    parser.add_argument("--under-load", action="store_true", help="measure on a busy machine too")
    parser.add_argument("--output", type=Path, default=machine.RESULTS / "lammps_film.json")
    options = parser.parse_args()
    console = Console(width=120)
    described = machine.describe()
    machine.require_quiet(described, options.under_load)
    atoms = film(options.atoms)
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        model = options.model or write_std(Path(folder))
        document = read_model(model)[0]
        missing = [s for s in ELEMENTS if s not in document["species"]]
        if missing:
            parser.error(f"{model} does not know {', '.join(missing)}")
        console.print(f"film of {len(atoms)} atoms, {model.name}, {options.steps} steps of 0.1 fs")
        for ranks, exchange in product(options.ranks, options.exchange):
            row = run_steps(
                atoms, ELEMENTS, model, steps=options.steps, warm=max(1, options.steps // 3),
                ranks=ranks, exchange=exchange,
            )  # fmt: skip
            total = sum(row["peak_mb_per_rank"])
            row |= {
                "us_per_atom_step": 1e6 * row["seconds_per_step"] / len(atoms),
                "peak_mb_total": total,
                "shared_cores": ranks > (os.cpu_count() or 1),
            }
            rows.append(row)
            console.print(
                f"{ranks} ranks, exchange {exchange}: {row['seconds_per_step']:.2f} s per step, "
                f"{row['us_per_atom_step']:.1f} µs per atom and step; pair "
                f"{row['pair_seconds'] / row['loop_seconds']:.0%}, neighbour lists "
                f"{row['neigh_seconds'] / row['loop_seconds']:.0%}; peak memory per rank "
                + ", ".join(f"{x:.0f} MB" for x in row["peak_mb_per_rank"])
                + f"; the busiest rank has {row['most_ghosts']} ghosts and sends "
                f"{row['messages_per_evaluation']} messages, {row['mib_per_evaluation']} MiB a step"
            )
            if total > MEMORY_LIMIT:
                console.print(f"more than {MEMORY_LIMIT:.0f} MB in all: too much", style="bold")
    if len(rows) > 1:
        console.print(
            f"{rows[-1]['ranks']} ranks ({rows[-1]['exchange']}) against {rows[0]['ranks']} "
            f"({rows[0]['exchange']}): "
            f"{rows[0]['seconds_per_step'] / rows[-1]['seconds_per_step']:.2f}x"
        )
    machine.write(
        options.output,
        {
            "what": "NVE steps of pair_style qdml, LAMMPS' own loop time, lists every ten steps",
            "machine": described,
            "model": {
                "species": document["species"],
                "architecture": document["architecture"],
                "random": options.model is None,
            },
            "rows": rows,
        },
    )
    console.print(f"wrote {options.output}" + ("" if described["quiet"] else " (NOT QUIET)"))


if __name__ == "__main__":
    main()

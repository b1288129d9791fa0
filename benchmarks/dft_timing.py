# SPDX-License-Identifier: MIT
"""Time of one DFT single point against one MD step of `pair_style qdml` on the same structures.

    python benchmarks/dft_timing.py --model model.qdml [--data frames.extxyz]

DFT: `label_seconds` of the labelled frames, CPU seconds of one core for energy and forces from
scratch; the median over the frames of one origin. qdml: a whole LAMMPS step on one core, LAMMPS'
own clock. Sizes beyond the DFT data repeat the largest periodic structure; their DFT time is a
power-law fit to the measured origins, marked `extrapolated`. JSON and PNG to benchmarks/results.
"""

from __future__ import annotations

import argparse
import os
import statistics
import textwrap
from collections import defaultdict
from pathlib import Path
from typing import Any

import ase.io
import matplotlib
import numpy as np
from ase import Atoms
from qdml.modelfile import read_model
from rich.console import Console
from rich.table import Table
from support import machine
from support.lammps_run import run_steps

matplotlib.use("Agg")
import matplotlib.pyplot as plt

DATA = Path(__file__).resolve().parents[1] / "potentials/cdse/data/cdse-pbe.extxyz.xz"
LEAST_ATOMS = 6  # below, the DFT time is that of the vacuum box, not of the atoms
REPEATS = (2, 3, 4)  # of the largest periodic structure, along every direction


def labelled_groups(path: Path, species: list[str]) -> dict[str, list[Atoms]]:
    """Frames with a DFT time by origin; frames with elements the potential lacks are left out."""
    groups: dict[str, list[Atoms]] = defaultdict(list)
    for atoms in ase.io.iread(path, index=":"):
        known = set(atoms.get_chemical_symbols()) <= set(species)
        if "label_seconds" in atoms.info and len(atoms) >= LEAST_ATOMS and known:
            groups[str(atoms.info.get("origin", "frames"))].append(atoms)
    return groups


def seconds_per_step(atoms: Atoms, species: list[str], model: Path, seconds: float) -> float:
    """Whole LAMMPS step on one core; as many steps as fill `seconds`, at least ten."""
    clean = Atoms(atoms.get_chemical_symbols(), atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
    first = run_steps(clean, species, model, steps=3, warm=3)["seconds_per_step"]
    steps = max(10, min(5000, int(seconds / first)))
    return run_steps(clean, species, model, steps=steps, warm=3)["seconds_per_step"]


def power_law(atoms: np.ndarray, seconds: np.ndarray) -> tuple[float, float]:
    """(a, b) of t = a n^b by least squares of the logarithms."""
    b, log_a = np.polyfit(np.log(atoms), np.log(seconds), 1)
    return float(np.exp(log_a)), float(b)


def draw(document: dict[str, Any], path: Path) -> None:
    """Both times against the number of atoms, measured and extrapolated told apart."""
    rows, law = document["rows"], document["dft_power_law"]
    figure, axis = plt.subplots(figsize=(7, 5))
    measured = [r for r in rows if not r["extrapolated"]]
    beyond = [r for r in rows if r["extrapolated"]]
    axis.scatter(
        [r["atoms"] for r in measured], [r["dft_seconds"] for r in measured],
        color="#b0563b", label="DFT single point, CPU s of one core",
    )  # fmt: skip
    n = np.geomspace(min(r["atoms"] for r in rows), max(r["atoms"] for r in rows), 50)
    axis.plot(
        n, law["a"] * n ** law["b"], "--", color="#b0563b", lw=1,
        label=f"power law, exponent {law['b']:.2f} (extrapolated beyond {law['largest']} atoms)",
    )  # fmt: skip
    axis.scatter(
        [r["atoms"] for r in beyond], [r["dft_seconds"] for r in beyond],
        facecolors="none", edgecolors="#b0563b", label="DFT, extrapolated",
    )  # fmt: skip
    axis.scatter(
        [r["atoms"] for r in rows], [r["qdml_seconds"] for r in rows],
        color="#2b6cb0", label="pair_style qdml, one LAMMPS step on one core",
    )  # fmt: skip
    axis.set(xscale="log", yscale="log", xlabel="atoms", ylabel="seconds")
    axis.grid(alpha=0.3)
    axis.legend(frameon=False, fontsize=9)
    quiet = "" if document["machine"]["quiet"] else "NOT QUIET, no result: "
    title = textwrap.fill(f"{quiet}DFT: {document['level_of_theory']}", 100)
    axis.set_title(title, fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=130)
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--seconds", type=float, default=1.0, help="of MD steps per structure")
    parser.add_argument("--repeats", type=int, nargs="*", default=list(REPEATS))
    parser.add_argument("--under-load", action="store_true", help="measure on a busy machine too")
    parser.add_argument("--output", type=Path, default=machine.RESULTS / "dft_timing.json")
    options = parser.parse_args()
    console = Console(width=120)
    described = machine.describe()
    machine.require_quiet(described, options.under_load)
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})  # one core, as the labels were made
    metadata = read_model(options.model)[0]
    species = metadata["species"]
    groups = labelled_groups(options.data, species)
    if len({len(frames[0]) for frames in groups.values()}) < 2:
        parser.error(f"{options.data}: no two sizes of labelled frames of {', '.join(species)}")
    rows: list[dict[str, Any]] = []
    for origin, frames in sorted(groups.items(), key=lambda item: len(item[1][0])):
        rows.append(
            {
                "origin": origin,
                "atoms": len(frames[0]),
                "frames": len(frames),
                "dft_seconds": statistics.median(float(a.info["label_seconds"]) for a in frames),
                "qdml_seconds": seconds_per_step(
                    frames[0], species, options.model, options.seconds
                ),
                "extrapolated": False,
            }
        )
        console.print(f"{origin}: {rows[-1]['qdml_seconds'] * 1e3:.3f} ms per step")
    sizes = np.array([r["atoms"] for r in rows], dtype=float)
    a, b = power_law(sizes, np.array([r["dft_seconds"] for r in rows]))
    periodic = [f[0] for f in groups.values() if f[0].get_pbc().all()]
    largest = max(periodic or [f[0] for f in groups.values()], key=len)
    for k in options.repeats if periodic else ():
        atoms = largest.repeat((k, k, k))
        rows.append(
            {
                "origin": f"{largest.info.get('origin', 'largest')}, {k}x{k}x{k}",
                "atoms": len(atoms),
                "frames": 0,
                "dft_seconds": a * len(atoms) ** b,
                "qdml_seconds": seconds_per_step(atoms, species, options.model, options.seconds),
                "extrapolated": True,
            }
        )
        console.print(f"{len(atoms)} atoms: {rows[-1]['qdml_seconds'] * 1e3:.3f} ms per step")
    levels = {str(f[0].info.get("level_of_theory", "unknown")) for f in groups.values()}
    document = {
        "what": "DFT: CPU s of one core per single point; qdml: s per LAMMPS step on one core",
        "machine": described,
        "level_of_theory": ", ".join(sorted(levels)),
        "architecture": metadata["architecture"],
        "dft_power_law": {
            "a": a, "b": b, "form": "seconds = a atoms^b", "least": int(sizes.min()),
            "largest": int(sizes.max()),
        },
        "rows": rows,
    }  # fmt: skip
    table = Table(title=f"{options.model.name}, {described['processor']}, one core")
    for column in ("structure", "atoms", "frames", "DFT s", "qdml ms", "DFT / qdml"):
        table.add_column(column, justify="right")
    for r in rows:
        r["ratio"] = r["dft_seconds"] / r["qdml_seconds"]
        mark = " extrapolated" if r["extrapolated"] else ""
        table.add_row(
            r["origin"], str(r["atoms"]), str(r["frames"]), f"{r['dft_seconds']:,.0f}{mark}",
            f"{1e3 * r['qdml_seconds']:.3f}", f"{r['ratio']:,.0f}{mark}",
        )  # fmt: skip
    console.print(table)
    console.print(f"DFT seconds = {a:.3g} atoms^{b:.2f}, fitted to {len(groups)} origins")
    machine.write(options.output, document)
    draw(document, options.output.with_suffix(".png"))
    state = "" if described["quiet"] else " (NOT QUIET, no result)"
    console.print(f"wrote {options.output} and {options.output.with_suffix('.png').name}{state}")


if __name__ == "__main__":
    main()

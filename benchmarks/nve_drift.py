# SPDX-License-Identifier: MIT
"""Energy over 100 ps at constant energy in LAMMPS, in both precisions: drift and a plot.

    python benchmarks/nve_drift.py [--model a.qdml ...] [--length 100] [--ranks 1]

A CdSe dot under Cl by `qdml build`, relaxed and warmed to 300 K by `examples/in.nve`, then NVE by
velocity Verlet with steps of 2 fs. A run that is finished is kept and not made again (`--fresh`).
JSON and PNG to benchmarks/results/nve_drift.*
"""

from __future__ import annotations

import argparse
import json
import subprocess
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
from qdml.analyse.drift import Drift, choose_section, measure_drift
from qdml.analyse.logfile import read_log
from qdml.build import build_dot
from qdml.lammps import lammps_command, lammps_environment
from rich.console import Console
from support import machine
from support.figure import draw_drifts

ROOT = Path(__file__).resolve().parents[1]
DECK = ROOT / "examples" / "in.nve"
SHIPPED = [ROOT / "potentials" / "cdse" / f"cdse-pbe-{n}.qdml" for n in ("fast", "sevennet")]
ELEMENTS = ["Cd", "Se", "Cl"]
LIMIT = 1e-6  # eV per atom and ps
TIMESTEP = 0.002  # ps
WARMUP = 10_000  # steps: a built dot rearranges its ligands and heats itself meanwhile
KEPT = 500  # points of the curve in the JSON: means over equal times


def run(
    folder: Path, model: Path, precision: str, length: float, ranks: int, seed: int
) -> tuple[Drift, float]:
    """One run of the deck in `folder`, which holds dot.data; its drift and the seconds it took."""
    log = folder / f"{model.stem}-{precision}.log"
    steps = round(length / TIMESTEP)
    variables = {
        "data": "dot.data", "model": model.resolve(), "elements": " ".join(ELEMENTS),
        "precision": precision, "steps": steps, "timestep": TIMESTEP, "warmup": WARMUP,
        "seed": seed, "trajectory": f"{log.stem}.lammpstrj", "final": f"{log.stem}.data",
    }  # fmt: skip
    arguments = ["-in", str(DECK), "-nocite", "-screen", "none", "-log", log.name]
    for name, value in variables.items():
        arguments += ["-var", name, str(value)]
    done = subprocess.run(
        lammps_command(arguments, ranks), cwd=folder, check=False, capture_output=True, text=True,
        env=lammps_environment(threads=1, ranks=ranks),
    )  # fmt: skip
    if done.returncode != 0:
        raise RuntimeError(f"{log}: LAMMPS failed:\n{done.stdout[-1000:]}{done.stderr[-1000:]}")
    read = read_log(log)
    section = choose_section(read)
    return measure_drift(read, section), float(section.loop_seconds or np.nan)


def thinned(drift: Drift) -> dict[str, list[float]]:
    """The curve as means over equal times: ps, and eV per atom."""
    n = min(KEPT, len(drift.time_ps))
    parts = np.array_split(np.arange(len(drift.time_ps)), n)
    return {
        "time_ps": [round(float(drift.time_ps[p].mean()), 4) for p in parts],
        "energy_ev_per_atom": [float(f"{drift.energy[p].mean():.6g}") for p in parts],
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, nargs="+", default=SHIPPED)
    parser.add_argument("--precisions", nargs="+", default=["mixed", "double"])
    parser.add_argument("--length", type=float, default=100.0, help="ps")
    parser.add_argument("--diameter", type=float, default=15.0, help="of the dot, A")
    parser.add_argument("--ranks", type=int, default=1)
    parser.add_argument("--seed", type=int, default=4928)
    parser.add_argument("--fresh", action="store_true", help="make all runs again")
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "nve_drift")
    parser.add_argument("--output", type=Path, default=machine.RESULTS / "nve_drift.json")
    options = parser.parse_args()
    console = Console(width=120)
    options.work.mkdir(parents=True, exist_ok=True)
    dot = build_dot("CdSe", diameter=options.diameter, ligands="Cl").atoms
    dot.center(vacuum=15.0)
    ase.io.write(
        options.work / "dot.data", dot, format="lammps-data", specorder=ELEMENTS, masses=True
    )
    rows: list[dict[str, Any]] = []
    if options.output.exists() and not options.fresh:
        rows = json.loads(options.output.read_text())["rows"]
    described = machine.describe()
    for model in options.model:
        for precision in options.precisions:
            key = {"model": model.name, "precision": precision, "length_ps": options.length,
                   "atoms": len(dot), "seed": options.seed}  # fmt: skip
            row = next((r for r in rows if all(r[k] == v for k, v in key.items())), None)
            if row is None:
                console.print(f"{model.name}, {precision}: {options.length:g} ps, {dot.symbols}")
                drift, seconds = run(
                    options.work, model, precision, options.length, options.ranks, options.seed
                )
                row = key | {
                    "formula": str(dot.symbols),
                    "timestep_fs": 1e3 * TIMESTEP,
                    "drift_ev_per_atom_ps": drift.slope,
                    "standard_error": drift.slope_error,
                    "fluctuation_ev_per_atom": drift.fluctuation,
                    "mean_temperature_k": float(np.mean(drift.temperature)),
                    "seconds": round(seconds, 1),
                    "ranks": options.ranks,
                    "curve": thinned(drift),
                }
                rows.append(row)
                machine.write(
                    options.output,
                    {"what": __doc__.splitlines()[0], "machine": described,
                     "limit_ev_per_atom_ps": LIMIT, "rows": rows},
                )  # fmt: skip
            verdict = "under" if abs(row["drift_ev_per_atom_ps"]) < LIMIT else "ABOVE"
            console.print(
                f"{model.name}, {precision}: {row['drift_ev_per_atom_ps']:+.2g} ± "
                f"{row['standard_error']:.1g} eV/atom/ps, {verdict} the limit {LIMIT:g}; "
                f"{row['mean_temperature_k']:.0f} K, {row['seconds']:.0f} s"
            )
    draw_drifts(rows, LIMIT, options.output.with_suffix(".png"))
    console.print(f"wrote {options.output} and its figure")


if __name__ == "__main__":
    main()

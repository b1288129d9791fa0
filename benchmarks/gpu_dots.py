# SPDX-License-Identifier: MIT
"""Dots in LAMMPS on a card: milliseconds per step by LAMMPS' own clock, and the drift in NVE.

    python benchmarks/gpu_dots.py --results FILE.json [--minutes 5] [--cpu]

Chloride-capped zinc-blende dots of about 500, 1,000 and 2,000 atoms in vacuum, the box shrunk onto
them, one rank. A step is all of it: `fix nve` and the neighbour list of LAMMPS' choice. Potentials
of files are relaxed and start at 300 K with steps of 1 fs; `std`, a preset with random weights,
stays where it is by steps of 0.01 fs; its list is new in every 20th. The drift is that of 20 ps in
steps of 2 fs, after 10 ps at 300 K. LAMMPS, plugin and library are found as qdml.lammps does;
gpu.py names those it built.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from support import carried
from support.gpu_checks import INP_SEVENNET
from support.gpu_rows import Row, Rows, add_options

CDSE_FAST = "potentials/cdse/cdse-pbe-fast.qdml"
# kind of run, potential, material, wanted atoms, precision; what matters most comes first, should
# the time run out
PLAN = [
    ("speed", CDSE_FAST, "CdSe", 1000, "mixed"),
    ("drift", CDSE_FAST, "CdSe", 1000, "mixed"),
    ("speed", "std", "CdSe", 1000, "mixed"),
    ("speed", INP_SEVENNET, "InP", 1000, "mixed"),
    ("speed", CDSE_FAST, "CdSe", 2000, "mixed"),
    ("speed", "std", "CdSe", 2000, "mixed"),
    ("speed", CDSE_FAST, "CdSe", 500, "mixed"),
    ("speed", "std", "CdSe", 500, "mixed"),
    ("drift", CDSE_FAST, "CdSe", 1000, "double"),
    ("speed", INP_SEVENNET, "InP", 2000, "mixed"),
    ("speed", INP_SEVENNET, "InP", 500, "mixed"),
]
SMALL_PLAN = [
    ("speed", CDSE_FAST, "CdSe", 35, "mixed"),
    ("speed", "std", "CdSe", 35, "mixed"),
    ("drift", CDSE_FAST, "CdSe", 35, "mixed"),
    ("speed", INP_SEVENNET, "InP", 44, "mixed"),
]
LIMIT = 1e-6  # eV per atom and ps
ROW_LIMIT = 120.0  # s

HEAD = """\
units metal
atom_style atomic
boundary s s s
read_data {data}
pair_style qdml precision {precision} device {device}
pair_coeff * * {potential} {elements}
neighbor 1.0 bin
thermo_modify format float %.14g
"""
RELAXED = """\
neigh_modify every 1 delay 0 check yes
thermo 100
min_style cg
minimize 1.0e-8 1.0e-3 {relax} {evaluations}
velocity all create 300.0 4928 mom yes rot yes dist gaussian
"""
SPEED_OF_FILE = """\
timestep 0.001
fix move all nve
thermo {steps}
run {warm}
run {steps}
"""
SPEED_OF_RANDOM = """\
neigh_modify every 20 delay 0 check no
velocity all create 300.0 4928
timestep 0.00001
fix move all nve
thermo {steps}
run {warm}
run {steps}
"""
NVE = """\
timestep 0.002
fix move all nve
fix heat all langevin 300.0 300.0 0.1 4928 zero yes
run {warm}
unfix heat
velocity all zero linear
velocity all zero angular
reset_timestep 0
thermo {every}
thermo_style custom step time temp pe ke etotal
thermo_modify format float %.14g
run {steps}
"""


def potential_file(potential: str, folder: Path) -> Path:
    """A file of the sources, or a preset with random weights."""
    if potential != "std":
        return carried.ROOT / potential
    from support.random_presets import write_preset

    path = folder / "std.qdml"
    return path if path.is_file() else write_preset(path, "std")


def run_deck(row: Row, deck: str, folder: Path, limit: float, device: str) -> tuple[Path, str]:
    """Run LAMMPS; its log and what it calls the device. Raises RuntimeError with its last lines."""
    from qdml.lammps import lammps_command, lammps_environment
    from support.carried_dots import find_dot

    dot = find_dot(row["material"], row["wanted"], folder)
    row["atoms"] = dot.n_atoms
    values = {
        "data": dot.path, "elements": " ".join(dot.elements), "precision": row["precision"],
        "potential": potential_file(row["potential"], folder), "device": device,
    }  # fmt: skip
    deck_file, log = folder / "in.dot", folder / "log.dot"
    deck_file.write_text(HEAD.format(**values) + deck)
    command = lammps_command(["-in", str(deck_file), "-nocite", "-log", str(log)])
    environment = lammps_environment(ranks=1)
    try:
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, check=False,
            timeout=max(1.0, min(limit, ROW_LIMIT)),
        )  # fmt: skip
    except subprocess.TimeoutExpired as stopped:
        raise RuntimeError(f"LAMMPS: not done in {stopped.timeout:.0f} s") from stopped
    if done.returncode != 0:
        raise RuntimeError(f"LAMMPS failed: {done.stdout[-700:]}{done.stderr[-300:]}")
    found = re.findall(r"device (cpu|gpu) \(([^),]*)", done.stdout)
    if not found or found[-1][0] != device:
        raise RuntimeError(f"asked for device {device}, LAMMPS says {found}")
    return log, found[-1][1]


def time_steps(row: Row, folder: Path, rows: Rows, small: bool) -> dict[str, Any]:
    """Milliseconds per step of the last run."""
    warm, steps = (200, 2000) if row["potential"] != INP_SEVENNET else (50, 500)
    if small:
        warm, steps = 2, 5
    relaxed = RELAXED.format(relax=2 if small else 100, evaluations=4 if small else 300)
    is_random = row["potential"] == "std"
    deck = SPEED_OF_RANDOM if is_random else relaxed + SPEED_OF_FILE
    deck = deck.format(warm=warm, steps=steps)
    log, name = run_deck(row, deck, folder, rows.left(), rows.document["device"])
    text = log.read_text()
    seconds, loop_steps = re.findall(r"Loop time of (\S+) on \d+ procs for (\d+) steps", text)[-1]
    pair = re.findall(r"^Pair\s*\|\s*\S+\s*\|\s*(\S+)\s*\|", text, flags=re.MULTILINE)[-1]
    builds = re.findall(r"Neighbor list builds\s*=\s*(\d+)", text)[-1]
    return {
        "atoms": row["atoms"],
        "device_name": name,
        "steps": int(loop_steps),
        "ms_per_step": 1e3 * float(seconds) / int(loop_steps),
        "pair_ms_per_step": 1e3 * float(pair) / int(loop_steps),
        "list_builds": int(builds),
    }


def drift(row: Row, folder: Path, rows: Rows, small: bool) -> dict[str, Any]:
    """Slope of the total energy of an NVE run."""
    from qdml.analyse.drift import choose_section, measure_drift
    from qdml.analyse.logfile import read_log

    warm, steps, every = (10, 60, 3) if small else (5000, 10000, 20)
    deck = RELAXED.format(relax=20 if small else 200, evaluations=40 if small else 1000)
    deck += NVE.format(warm=warm, steps=steps, every=every)
    log, name = run_deck(row, deck, folder, rows.left(), rows.document["device"])
    read = read_log(log)
    section = choose_section(read)
    found = measure_drift(read, section)
    return {
        "atoms": row["atoms"],
        "device_name": name,
        "steps": steps,
        "length_ps": found.length_ps,
        "drift_ev_per_atom_ps": found.slope,
        "standard_error": found.slope_error,
        "fluctuation_ev_per_atom": found.fluctuation,
        "mean_temperature_k": None if found.temperature is None else found.temperature.mean(),
        "seconds": section.loop_seconds,
        "under_limit": abs(found.slope) < LIMIT,
    }


def summarise(rows: list[Row]) -> str:
    """The numbers for the goals: dots of a thousand atoms."""
    found = []
    for row in rows:
        name = f"{row['potential'].rpartition('/')[2]} {row.get('atoms')} atoms"
        if "ms_per_step" in row:
            found.append(f"{name}: {row['ms_per_step']:.3f} ms/step")
        elif "drift_ev_per_atom_ps" in row:
            found.append(
                f"{name}, {row['precision']}: {row['drift_ev_per_atom_ps']:+.1e} eV/atom/ps"
            )
    return "; ".join(found)


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_options(parser)
    parser.add_argument(
        "--potential", help="in place of cdse-pbe-fast.qdml, relative to the sources"
    )
    options = parser.parse_args(words)
    carried.use_packages()
    carried.use_lammps()
    rows = Rows(
        options,
        "one rank, LAMMPS' loop time per step; drift of the total energy by least squares",
        device="cpu" if options.cpu else "gpu",
        limit_ev_per_atom_ps=LIMIT,
    )
    with tempfile.TemporaryDirectory() as folder:
        for kind, potential, material, wanted, precision in SMALL_PLAN if options.cpu else PLAN:
            if options.potential and potential == CDSE_FAST:
                potential = options.potential
            row = {
                "kind": kind, "potential": potential, "material": material, "wanted": wanted,
                "precision": precision,
            }  # fmt: skip
            work = time_steps if kind == "speed" else drift
            rows.measure(row, lambda row, work=work: work(row, Path(folder), rows, options.cpu))
    print("; ".join(filter(None, [rows.summary(), summarise(rows.document["rows"])])))
    return 0 if rows.has_numbers() else 1


if __name__ == "__main__":
    sys.exit(main())

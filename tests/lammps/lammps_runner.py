# SPDX-License-Identifier: MIT
"""Run LAMMPS in a folder and read back energies, forces and virials without loss of digits."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.data import atomic_masses, atomic_numbers
from qdml.lammps import lammps_command, lammps_environment

BAR = 1.6021765e6  # bar per eV/Å³: LAMMPS' nktv2p in metal units
TIMEOUT = 240  # s, against a hang; a run takes a few
SYMBOLS = ("Cd", "Se", "Cl")


@dataclass
class Results:
    """What one LAMMPS run printed; arrays in the order of atom IDs.

    energy eV; virial [6] and virials [n,6] eV in LAMMPS order xx yy zz xy xz yz; energies [n] eV;
    positions (unwrapped) and forces [n,3] Å, eV/Å.
    """

    ids: np.ndarray
    energy: float
    virial: np.ndarray
    positions: np.ndarray
    forces: np.ndarray
    energies: np.ndarray
    virials: np.ndarray


def write_data(path: Path, atoms: Atoms, types: np.ndarray | None = None, n_types: int = 3) -> None:
    """Write a data file with all digits; the cell is lower triangular. `types` [n], 1-based."""
    if types is None:
        types = np.array([SYMBOLS.index(s) + 1 for s in atoms.get_chemical_symbols()])
    cell = atoms.cell.array
    lines = [
        "test structure",
        "",
        f"{len(atoms)} atoms",
        f"{n_types} atom types",
        *(f"0.0 {cell[d, d]:.17g} {name}lo {name}hi" for d, name in enumerate("xyz")),
    ]
    if np.abs(cell - np.diag(np.diag(cell))).max() > 0:
        lines.append(f"{cell[1, 0]:.17g} {cell[2, 0]:.17g} {cell[2, 1]:.17g} xy xz yz")
    symbols = {t: s for t, s in zip(types, atoms.get_chemical_symbols(), strict=True)}
    lines += ["", "Masses", ""]
    for t in range(1, n_types + 1):
        lines.append(f"{t} {atomic_masses[atomic_numbers[symbols.get(t, 'Cd')]]:.6f}")
    lines += ["", "Atoms # atomic", ""]
    for i, (t, x) in enumerate(zip(types, atoms.positions, strict=True), 1):
        lines.append(f"{i} {t} {x[0]:.17g} {x[1]:.17g} {x[2]:.17g}")
    path.write_text("\n".join(lines) + "\n")


def system(
    model: Path,
    data: str,
    *,
    boundary: str = "p p p",
    tiled: bool = False,
    precision: str = "double",
    elements: str = "Cd Se Cl",
    units: str = "metal",
    before: str = "",
    pair: str | None = None,
) -> str:
    """Commands up to the potential; `pair` replaces pair_style and pair_coeff."""
    pair = pair or (f"pair_style qdml precision {precision}\npair_coeff * * {model} {elements}")
    lines = [f"units {units}", "atom_style atomic", f"boundary {boundary}", before]
    lines += ["comm_style tiled"] if tiled else []
    lines += [f"read_data {data}"]
    lines += ["balance 1.0 rcb"] if tiled else []
    return "\n".join([*lines, pair, "neighbor 0.6 bin"]) + "\n"


def measure(name: str, steps: int = 0) -> str:
    """Commands that run `steps` and store everything under `name` at the last step."""
    return f"""
compute eatom all pe/atom
compute satom all stress/atom NULL virial
compute press all pressure NULL virial
thermo_style custom step pe vol c_press[1] c_press[2] c_press[3] c_press[4] c_press[5] c_press[6]
thermo {max(steps, 1)}
dump out all custom {max(steps, 1)} {name}.dump id xu yu zu fx fy fz c_eatom c_satom[*]
dump_modify out sort id format float %.17g first {"yes" if steps == 0 else "no"}
run {steps}
print "$(pe:%.17g) $(vol:%.17g) $(c_press[1]:%.17g) $(c_press[2]:%.17g) $(c_press[3]:%.17g) &
$(c_press[4]:%.17g) $(c_press[5]:%.17g) $(c_press[6]:%.17g)" file {name}.result
undump out
uncompute eatom
uncompute satom
uncompute press
"""


def read_columns(path: Path) -> list[np.ndarray]:
    """All frames of a dump [rows, columns]; rows as they were written."""
    frames = path.read_text().split("ITEM: ATOMS")[1:]
    return [
        np.array([row.split() for row in frame.split("ITEM:")[0].splitlines()[1:]], dtype=float)
        for frame in frames
    ]


def read_results(folder: Path, name: str) -> Results:
    """Read what `measure` stored (its last frame)."""
    numbers = np.array((folder / f"{name}.result").read_text().split(), dtype=float)
    table = read_columns(folder / f"{name}.dump")[-1]
    return Results(
        ids=table[:, 0].astype(int),
        energy=numbers[0],
        virial=numbers[2:] * numbers[1] / BAR,
        positions=table[:, 1:4],
        forces=table[:, 4:7],
        energies=table[:, 7],
        virials=-table[:, 8:14] / BAR,
    )


def run(
    folder: Path,
    deck: str,
    ranks: int = 1,
    threads: int = 1,
    name: str = "in.test",
    arguments: tuple[str, ...] = (),
) -> subprocess.CompletedProcess[str]:
    """Run a deck and return what LAMMPS printed; a run longer than TIMEOUT is a failed test."""
    (folder / name).write_text(deck)
    command = lammps_command(["-in", name, "-log", f"{name}.log", "-nocite", *arguments], ranks)
    return subprocess.run(
        command,
        cwd=folder,
        env=lammps_environment(threads, ranks, shared_cores=True),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )


def run_ok(folder: Path, deck: str, ranks: int = 1, threads: int = 1) -> str:
    """Run a deck that must succeed; returns its output."""
    done = run(folder, deck, ranks, threads)
    assert done.returncode == 0, done.stdout[-3000:]
    return done.stdout

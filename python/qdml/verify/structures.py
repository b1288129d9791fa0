# SPDX-License-Identifier: MIT
"""Small structures of a potential's own elements for the verification decks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.data import atomic_numbers, covalent_radii
from ase.io import write

RATTLE = 0.08  # Å


def verification_structures(species: list[str], cutoff: float) -> dict[str, Atoms]:
    """Zinc-blende of the first two species with the others mixed in, at covalent bond lengths.

    cell: 8 atoms. crystal: periodic, edges longer than `cutoff` (Å) and 1 Å of skin. dot: a sphere
    in one corner of a box that is mostly vacuum. isolated: one atom of each species, out of reach.
    """
    first, second = species[0], species[min(1, len(species) - 1)]
    bond = sum(covalent_radii[atomic_numbers[symbol]] for symbol in (first, second))
    cell = bulk("CdSe", "zincblende", a=4 * bond / np.sqrt(3), cubic=True)
    cell.set_chemical_symbols([first if symbol == "Cd" else second for symbol in cell.symbols])
    edge = cell.cell.lengths()[0]
    crystal = cell.repeat(max(2, int(np.ceil((cutoff + 1.0) / edge))))
    sphere = cell.repeat(3)
    from_center = np.linalg.norm(sphere.positions - sphere.positions.mean(axis=0) - 0.3, axis=1)
    dot = sphere[from_center < 1.2 * edge]
    dot.positions += 1.5 - dot.positions.min(axis=0)
    extent = dot.positions.max(axis=0)
    dot.cell = np.diag([4.0, 1.5, 1.5] * extent + cutoff + 3.0)
    structures = {"cell": cell, "crystal": crystal, "dot": dot}
    for name, atoms in structures.items():
        rng = np.random.default_rng(len(name))
        symbols = atoms.get_chemical_symbols()
        others = species[2:]
        for k, i in enumerate(range(3, len(symbols) if others else 0, 7)):
            symbols[i] = others[k % len(others)]
        atoms.set_chemical_symbols(symbols)
        atoms.positions += rng.normal(scale=RATTLE, size=atoms.positions.shape)
    step = cutoff + 4.0
    row = np.arange(len(species))[:, None] * [step, 0.0, 0.0] + 3.0
    structures["isolated"] = Atoms(
        species, positions=row, cell=np.diag([len(species) * step + 6.0, step + 6.0, step + 6.0])
    )
    for atoms in structures.values():
        atoms.pbc = True
    return structures


def write_structures(folder: Path, structures: dict[str, Atoms], species: list[str]) -> None:
    """Write NAME.data of each for LAMMPS, atom types in the order of `species`."""
    for name, atoms in structures.items():
        write(folder / f"{name}.data", atoms, format="lammps-data", specorder=species, masses=True)

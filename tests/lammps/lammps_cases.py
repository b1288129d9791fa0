# SPDX-License-Identifier: MIT
"""Small structures for the LAMMPS tests, every cell in LAMMPS' lower-triangular form.

All cells are periodic here; a case names the boundary that LAMMPS uses instead. Where that is not
periodic, the vacuum is wider than the cutoff, so both descriptions have the same energy.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.build import bulk

LATTICE = 6.08  # zinc-blende CdSe, Å
RATTLE = 0.12  # Å


@dataclass(frozen=True)
class Case:
    """A structure, the `boundary` of LAMMPS, commands before `read_data`, communication styles."""

    name: str
    atoms: Atoms
    boundary: str = "p p p"
    before: str = ""
    layouts: tuple[str, ...] = ("brick", "tiled")


def rattled(atoms: Atoms, seed: int) -> Atoms:
    atoms = atoms.copy()
    atoms.positions += np.random.default_rng(seed).normal(scale=RATTLE, size=(len(atoms), 3))
    return atoms


def crystal(repeat: tuple[int, int, int]) -> Atoms:
    """Cubic zinc-blende CdSe, 8 atoms a cell."""
    return bulk("CdSe", "zincblende", a=LATTICE, cubic=True).repeat(repeat)


def dot(vacuum: float, corner: bool = False) -> Atoms:
    """A rough sphere of CdSe with chlorine in place of its outermost Se; 40 to 60 atoms."""
    atoms = crystal((3, 3, 3))
    center = atoms.positions.mean(axis=0) + 0.3
    distance = np.linalg.norm(atoms.positions - center, axis=1)
    atoms, distance = atoms[distance < 7.2], distance[distance < 7.2]
    outer = (distance > 6.3) & (atoms.numbers == 34)
    atoms.numbers[outer] = 17
    low, high = atoms.positions.min(axis=0), atoms.positions.max(axis=0)
    if corner:  # all atoms in the first fifth of x: most ranks of a 4 x 1 x 1 grid have none
        atoms.positions += 1.0 - low
        atoms.cell = np.diag([5.0, 1.6, 1.6] * (high - low) + 12.0)
    else:
        atoms.positions += vacuum - low
        atoms.cell = np.diag(high - low + 2 * vacuum)
    atoms.pbc = True
    return rattled(atoms, 3)


def triclinic() -> Atoms:
    """A sheared 36-atom cell with vectors shorter than twice the cutoff."""
    atoms = bulk("CdSe", "zincblende", a=LATTICE).repeat((3, 3, 2))
    length = LATTICE / np.sqrt(2)
    cell = length * np.array([[3, 0, 0], [1.4, 2.7, 0], [0.9, 0.8, 1.7]])
    atoms.set_cell(cell, scale_atoms=True)
    return rattled(atoms, 2)


def slab() -> Atoms:
    """Two by two cells, one and a half layers thick, vacuum along z."""
    atoms = crystal((2, 2, 2))
    atoms = atoms[atoms.positions[:, 2] < 1.4 * LATTICE]
    atoms.numbers[np.flatnonzero(atoms.numbers == 34)[:3]] = 17
    atoms.positions[:, 2] += 7.0
    atoms.cell[2, 2] = 1.4 * LATTICE + 14.0
    return rattled(atoms, 4)


def isolated() -> Atoms:
    """One atom of each species, out of reach of one another."""
    return Atoms(
        "CdSeCl", [[3, 3, 3], [13, 4, 5], [5, 14, 12]], cell=np.diag([22.0, 23, 24]), pbc=True
    )


def small_cell() -> Atoms:
    """Two atoms in a cell shorter than the cutoff: each sees several images of itself."""
    length = LATTICE / np.sqrt(2)
    cell = length * np.array(
        [[1, 0, 0], [0.5, np.sqrt(3) / 2, 0], [0.5, np.sqrt(3) / 6, np.sqrt(2 / 3)]]
    )
    return Atoms("CdSe", scaled_positions=[[0, 0, 0], [0.26, 0.24, 0.27]], cell=cell, pbc=True)


CASES = {
    case.name: case
    for case in (
        Case("bulk", rattled(crystal((2, 2, 2)), 1)),
        Case("triclinic", triclinic()),
        Case("dot, shrink-wrapped", dot(8.0), "s s s"),
        Case("dot, periodic vacuum", dot(8.0)),
        Case("slab", slab(), "p p f"),
        Case("isolated atoms", isolated()),
        # LAMMPS refuses tiled communication where the cutoff exceeds the box.
        Case("cell below the cutoff", small_cell(), layouts=("brick",)),
        Case("dot in a corner", dot(0.0, corner=True), "f f f", "processors * 1 1"),
    )
}

"""Bulk cells: zinc-blende and wurtzite supercells, equations of state, strains."""
# SPDX-License-Identifier: MIT

from __future__ import annotations

import numpy as np
from ase import Atoms
from ase.build import bulk

ZB_LATTICE_PBE = 6.205
"""PBE lattice constant of zinc-blende CdSe in A (from Cd-Se 2.687 A in PBE-relaxed dots)."""

WZ_LATTICE_PBE = (4.379, 7.145)
"""PBE lattice constants a, c of wurtzite CdSe in A."""

STRAIN_MODES = {
    "xx": (0, 0), "yy": (1, 1), "zz": (2, 2), "yz": (1, 2), "xz": (0, 2), "xy": (0, 1),
}  # fmt: skip


def zincblende(a: float = ZB_LATTICE_PBE, repeat: int = 2, formula: str = "CdSe") -> Atoms:
    """Cubic zinc-blende supercell of 8 repeat^3 atoms, lattice constant a in A."""
    return bulk(formula, "zincblende", a=a, cubic=True).repeat(repeat)


def wurtzite(
    a: float = WZ_LATTICE_PBE[0],
    c: float = WZ_LATTICE_PBE[1],
    repeat: tuple[int, int, int] = (3, 3, 2),
    formula: str = "CdSe",
) -> Atoms:
    """Hexagonal wurtzite supercell, lattice constants in A."""
    return bulk(formula, "wurtzite", a=a, c=c).repeat(repeat)


def strained(atoms: Atoms, strain: np.ndarray) -> Atoms:
    """Copy of a cell under a symmetric strain [3, 3] (dimensionless), atoms moving along."""
    frame = atoms.copy()
    frame.set_cell(frame.cell.array @ (np.eye(3) + strain), scale_atoms=True)
    return frame


def scaled_volume(atoms: Atoms, relative_change: float) -> Atoms:
    """Copy of a cell whose volume is (1 + relative_change) times as large."""
    factor = (1.0 + relative_change) ** (1.0 / 3.0)
    return strained(atoms, np.eye(3) * (factor - 1.0))


def strain_mode(atoms: Atoms, mode: str, size: float) -> Atoms:
    """Copy of a cell under one of the six strain modes; `size` is the tensor component."""
    row, column = STRAIN_MODES[mode]
    strain = np.zeros((3, 3))
    strain[row, column] = strain[column, row] = size
    return strained(atoms, strain)


def randomly_strained(atoms: Atoms, size: float, rng: np.random.Generator) -> Atoms:
    """Copy of a cell under a random symmetric strain, components normal with width `size`."""
    strain = rng.normal(0.0, size, (3, 3))
    return strained(atoms, 0.5 * (strain + strain.T))

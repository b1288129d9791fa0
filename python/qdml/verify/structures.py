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
ANIONS = ("Se", "S", "Te", "P", "As", "Sb", "N", "O", "I", "Br", "Cl", "F")


def crystal_pair(species: list[str]) -> tuple[str, str]:
    """Cation and anion of the crystal: the widest atom that is neither anion nor organic, and the
    first of ANIONS that the potential has; its first and last species if it has no such pair."""
    cations = [symbol for symbol in species if symbol not in (*ANIONS, "H", "C")]
    anions = [symbol for symbol in ANIONS if symbol in species]
    if not cations or not anions:
        return species[0], species[-1]
    return max(cations, key=lambda symbol: covalent_radii[atomic_numbers[symbol]]), anions[0]


def verification_structures(species: list[str], cutoff: float) -> dict[str, Atoms]:
    """Zinc-blende of one cation and one anion at covalent bond lengths.

    cell: 8 atoms. crystal: periodic, edges longer than `cutoff` (Å) plus 1 Å. mixed: one like it
    with all other species in some places. dot: such a sphere in one corner of a box that is mostly
    vacuum. isolated: one atom of each species, out of reach.
    """
    first, second = crystal_pair(species)
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
    structures = {"cell": cell, "crystal": crystal, "mixed": crystal.copy(), "dot": dot}
    others = [symbol for symbol in species if symbol not in (first, second)]
    for name, atoms in structures.items():
        symbols = atoms.get_chemical_symbols()
        places = range(3, len(symbols), 7) if others and name in ("mixed", "dot") else ()
        for k, i in enumerate(places):
            symbols[i] = others[k % len(others)]
        atoms.set_chemical_symbols(symbols)
        shift = np.random.default_rng(len(name)).normal(scale=RATTLE, size=atoms.positions.shape)
        atoms.positions += shift
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

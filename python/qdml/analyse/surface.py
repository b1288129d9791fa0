# SPDX-License-Identifier: MIT
"""Which atom is core, which is surface, which is ligand: by coordination, frame by frame.

In halide perovskites the lattice is that of Pb and the halide; a Cs atom in its cage is told by
the Pb around it, because its bonds to the halide have no gap to the next shell when it is hot.

Definition. Two atoms are bonded when closer than BOND_FACTOR times the sum of their covalent radii
(Cordero et al. 2008, as in ASE), counting only bonds between a cation and an anion of the lattice
or between either and a donor atom of a ligand (not C or H, near as those of a chelating carboxylate
come). *Ligand*: every element that is neither. *Core*: a cation with its full number of anion
neighbours and no donor, or an anion with its full number of cations.
*Surface*: every other lattice atom.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.data import chemical_symbols, covalent_radii
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from vesin import NeighborList

BOND_FACTOR = 1.3
"""At this factor Cd-Se ends at 3.43 A and Cd-O at 2.73 A: between the first and the second shell
of the dots at 300 K (first peaks 2.65 and 2.37 A, second Cd-Se shell 5.1 A)."""

CATIONS = frozenset(["Cd", "Zn", "Hg", "In", "Ga", "Pb", "Sn", "Ag", "Cu"])
ANIONS = frozenset(["S", "Se", "Te", "P", "As", "Sb"])
FULL_COORDINATION = {"Pb": 6, "Sn": 6}
"""Neighbours in the bulk lattice: rock salt 6, else zinc blende and wurtzite 4."""

HALIDES = frozenset(["F", "Cl", "Br", "I"])
CAGE = frozenset(["K", "Rb", "Cs"])
CAGE_CATIONS = 8
"""Pb around a Cs in the bulk; 4 on a face, 2 on an edge, 1 at a corner of a cube."""

CAGE_REACH = 6.8
"""A; Cs-Pb is 5.2 A in bulk CsPbBr3 (a sqrt(3)/2) and the next shell 9.9 A (a sqrt(11)/2)."""

REGIONS = ("core", "surface", "ligand")


@dataclass(frozen=True)
class Roles:
    """Elements of the lattice and of the shell, and the coordination of the bulk.

    full: anions around a cation, and cations around an anion unless full_anion is set.
    cage: elements in the cages of a perovskite.
    """

    cations: tuple[str, ...]
    anions: tuple[str, ...]
    ligands: tuple[str, ...]
    full: int
    full_anion: int | None = None
    cage: tuple[str, ...] = ()

    @property
    def definition(self) -> str:
        """The definition in one sentence, for captions."""
        cations, anions = "/".join(self.cations), "/".join(self.anions)
        caged = "/".join(self.cage)
        cage = (
            f" {caged} with at least {CAGE_CATIONS} {cations} within {CAGE_REACH} Å and no donor "
            "atom of a ligand bound."
            if self.cage
            else ""
        )
        lattice = f"{cations}, {anions} and {caged}" if self.cage else f"{cations} and {anions}"
        return (
            f"Core: {cations} with at least {self.full} {anions} neighbours and no donor atom "
            f"of a ligand bound, {anions} with at least {self.full_anion or self.full} {cations} "
            f"neighbours.{cage} Surface: all other {lattice}. Bonded: closer than {BOND_FACTOR} "
            f"times the sum of the covalent radii ({self._lengths()}). Each frame is classified "
            "by itself."
        )

    @property
    def donors(self) -> tuple[str, ...]:
        """Ligand elements that bind to the lattice: all but C and H, unless there are no others."""
        return tuple(s for s in self.ligands if s not in ("H", "C")) or self.ligands

    @property
    def reach(self) -> float:
        """Longest bond length of a cation and anything it binds, A."""
        others = (*self.anions, *self.donors)
        lattice = (*self.cations, *self.anions, *self.cage)
        longest = max(bond_length(a, b) for a in lattice for b in others)
        return max(longest, CAGE_REACH) if self.cage else longest

    def _lengths(self) -> str:
        pairs = [(c, a) for c in self.cations for a in (*self.anions, *self.donors)]
        return ", ".join(f"{a}-{b} {bond_length(a, b):.2f} Å" for a, b in pairs)


def find_roles(symbols: set[str]) -> Roles | None:
    """Roles of the elements present; None where they form no lattice with a coordination number.

    A lattice needs a cation and a chalcogenide or pnictide, or is a halide perovskite: Pb or Sn, a
    halide and one of K, Rb, Cs.
    """
    cations, anions = sorted(symbols & CATIONS), sorted(symbols & ANIONS)
    cage, halides = sorted(symbols & CAGE), sorted(symbols & HALIDES)
    if not anions and cage and halides and cations and set(cations) <= {"Pb", "Sn"}:
        ligands = sorted(symbols - {*cations, *halides, *cage})
        return Roles(tuple(cations), tuple(halides), tuple(ligands), 6, 2, tuple(cage))
    if not cations or not anions:
        return None
    full = max(FULL_COORDINATION.get(symbol, 4) for symbol in cations)
    ligands = sorted(symbols - set(cations) - set(anions))
    return Roles(tuple(cations), tuple(anions), tuple(ligands), full)


def bond_length(a: str, b: str) -> float:
    """Longest distance in A that counts as a bond of elements a and b."""
    numbers = chemical_symbols.index(a), chemical_symbols.index(b)
    return float(BOND_FACTOR * (covalent_radii[numbers[0]] + covalent_radii[numbers[1]]))


@dataclass
class Pairs:
    """Directed pairs i -> j within a cutoff, every periodic image its own pair; distance in A."""

    i: np.ndarray
    j: np.ndarray
    distance: np.ndarray


def find_pairs(atoms: Atoms, cutoff: float) -> Pairs:
    """All directed pairs closer than `cutoff` A; directions with pbc False have no images."""
    calculator = NeighborList(cutoff=cutoff, full_list=True, n_threads=1)
    box = atoms.cell.complete().array
    i, j, distance = calculator.compute(atoms.positions, box, atoms.pbc, quantities="ijd")
    return Pairs(i.astype(np.int64), j.astype(np.int64), distance)


def bonded_labels(atoms: Atoms) -> np.ndarray:
    """Number of the bonded part of every atom, [n_atoms], by BOND_FACTOR covalent radii."""
    radii = covalent_radii[atoms.numbers]
    pairs = find_pairs(atoms, 2 * BOND_FACTOR * radii.max())
    bonded = pairs.distance < BOND_FACTOR * (radii[pairs.i] + radii[pairs.j])
    i, j, n = pairs.i[bonded], pairs.j[bonded], len(atoms)
    graph = coo_array((np.ones(len(i)), (i, j)), shape=(n, n))
    return connected_components(graph, directed=False)[1]


@dataclass
class Coordination:
    """Neighbours of each atom [n_atoms] by role, and its region.

    lattice: bonded atoms of the opposite lattice role (0 for ligands; cations around the cage for
    its atom); ligand: bonded donor atoms of ligands;
    region: index into REGIONS.
    """

    lattice: np.ndarray
    ligand: np.ndarray
    region: np.ndarray


def coordination(atoms: Atoms, pairs: Pairs, roles: Roles) -> Coordination:
    """Count bonds and classify every atom; `pairs` must reach the longest bond length."""
    symbols = np.array(atoms.get_chemical_symbols())
    cation, anion, cage = (
        np.isin(symbols, names) for names in (roles.cations, roles.anions, roles.cage)
    )
    is_ligand = ~(cation | anion | cage)
    donor = np.isin(symbols, roles.donors)
    radii = covalent_radii[atoms.numbers]
    bonded = pairs.distance < BOND_FACTOR * (radii[pairs.i] + radii[pairs.j])
    i, j = pairs.i[bonded], pairs.j[bonded]
    opposite = (cation[i] & anion[j]) | (anion[i] & cation[j])
    n = len(atoms)
    lattice = np.bincount(i[opposite], minlength=n)
    caged = cage[pairs.i] & cation[pairs.j] & (pairs.distance < CAGE_REACH)
    lattice += np.bincount(pairs.i[caged], minlength=n)
    ligand = np.bincount(i[~is_ligand[i] & donor[j]], minlength=n)
    full = np.where(anion, roles.full_anion or roles.full, roles.full)
    full[cage] = CAGE_CATIONS
    region = np.where((lattice >= full) & (anion | (ligand == 0)), 0, 1)
    region[is_ligand] = 2
    return Coordination(lattice, ligand, region)

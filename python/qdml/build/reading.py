# SPDX-License-Identifier: MIT
"""Read structures others wrote, and notice missing atoms: line counts and formal charge."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers, covalent_radii
from ase.io import read
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from qdml.build.charges import CATIONS, HALIDES, LATTICE_ANIONS, OXIDATION
from qdml.errors import DataError
from qdml.xyz_scan import is_xyz, scan_xyz

# Two atoms of one molecule are bonded within this times the sum of covalent radii.
BOND_TOLERANCE = 1.25
# Heavy atoms that a molecule holds by bonds among themselves (P=S, S-S, P-Cl). Below every limit of
# `distances` for such pairs: a thiolate that touches a halide or a lattice anion stays apart.
TIGHT_TOLERANCE = 1.1
ORGANIC = frozenset({"H", "B", "C", "N", "O", "Si", "P", "S", *HALIDES})


@dataclass(frozen=True)
class FormalCharge:
    """Sum of oxidation numbers and what it is made of.

    `parts` are (name, number, charge of one); `molecules` [n_atoms] is the number of the molecule
    an atom belongs to, -1 for lattice atoms. Unknown elements make `total` None.
    """

    total: int | None
    parts: tuple[tuple[str, int, int], ...]
    molecules: np.ndarray

    def __str__(self) -> str:
        """The parts as text: `31 In +3, 20 P -3, 31 Cl -1`."""
        return ", ".join(f"{n} {name} {charge:+d}" for name, n, charge in self.parts)

    def remedy(self, before: str = "") -> str:
        """What would make the sum zero: `2 Cl or 1 Se more, or 1 Cd less would balance it`.

        Only ions that the structure holds, and H on molecules with an odd number of electrons.
        `before` is put before the text; a sum that is zero or not known has none.
        """
        total, more, less = self.total, [], []
        if not total:
            return ""
        for name, n, charge in self.parts:
            if charge == 0 or total % charge:
                continue
            needed = abs(total // charge)
            if charge * total < 0:
                more.append(f"{needed} {name}")
            elif n >= needed:
                less.append(f"{needed} {name}")
        molecules = [part for part in self.parts if part[0] not in OXIDATION]
        if sum(n for _, n, charge in molecules if charge * total > 0) >= abs(total):
            more.append(f"{abs(total)} H")
        texts = [f"{' or '.join(x)} {word}" for x, word in ((more, "more"), (less, "less")) if x]
        if not texts:
            return f"{before}no whole number of its own ions would balance it"
        return f"{before}{', or '.join(texts)} would balance it"


def read_structures(path: Path) -> list[Atoms]:
    """All frames of a structure file (extxyz and xyz, also compressed, and what ASE reads).

    Raises: DataError for a file that is missing, empty or unreadable, and for an xyz file whose
    header gives another number of atoms than it holds lines.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    if is_xyz(path):
        scan_xyz(path)
    try:
        frames = read(path, index=":")
    except Exception as error:  # ASE's readers raise whatever their parsing meets
        raise DataError(f"{path}: cannot read this structure ({error})") from error
    if not frames or not all(len(frame) for frame in frames):
        raise DataError(f"{path}: holds no atoms")
    return frames


def molecules_of(atoms: Atoms) -> np.ndarray:
    """Number of the molecule of each atom, [n_atoms]; -1 for lattice atoms and metals.

    Lattice: cations, chalcogenides and pnictides without a C, O or H neighbour. All other atoms
    form molecules by covalent bonds, as the S of a dithiophosphinate, which touches only P; a
    halide that touches no organic atom is one of its own.
    Bonds across the periodic boundary are not sought: the dot lies whole in its box.
    """
    symbols = np.array(atoms.get_chemical_symbols())
    radii = covalent_radii[[atomic_numbers[s] for s in symbols]]
    pairs = cKDTree(atoms.positions).query_pairs(2.6 * radii.max(), output_type="ndarray")
    i, j = pairs[:, 0], pairs[:, 1]
    distance = np.linalg.norm(atoms.positions[i] - atoms.positions[j], axis=1)
    near = distance < BOND_TOLERANCE * (radii[i] + radii[j])
    i, j = i[near], j[near]
    is_light = np.isin(symbols, ["H", "B", "C", "N", "O", "Si"])
    touches = np.zeros(len(symbols), dtype=bool)
    np.logical_or.at(touches, j, is_light[i])
    np.logical_or.at(touches, i, is_light[j])
    _spread(touches, symbols, i, j, distance[near] / (radii[i] + radii[j]))
    is_lattice = np.isin(symbols, [*CATIONS]) | (np.isin(symbols, [*LATTICE_ANIONS]) & ~touches)
    is_ion = np.isin(symbols, [*HALIDES]) & ~touches
    bonded = ~(is_lattice | is_ion)[i] & ~(is_lattice | is_ion)[j]
    n = len(symbols)
    graph = coo_array((np.ones(bonded.sum()), (i[bonded], j[bonded])), shape=(n, n))
    _, label = connected_components(graph, directed=False)
    label = label.astype(int)
    label[is_lattice] = -1
    names, first = np.unique(label[label >= 0], return_index=True)
    order = names[np.argsort(first)]  # numbered by first appearance
    rank = {int(name): k for k, name in enumerate(order)}
    return np.array([rank.get(int(k), -1) for k in label])


def _spread(
    touches: np.ndarray, symbols: np.ndarray, i: np.ndarray, j: np.ndarray, ratio: np.ndarray
) -> None:
    """Mark the anion elements that hold on to a molecule through one that is marked, in place.

    `touches` [n_atoms]; `i`, `j` rows of pairs and `ratio` their distance over the sum of radii.
    """
    is_anion = np.isin(symbols, [*LATTICE_ANIONS, *HALIDES])
    # From S, Se, P, ... only: a halide has one bond, so that it hands nothing on.
    is_link = np.isin(symbols, [*LATTICE_ANIONS])
    bonded = (ratio < TIGHT_TOLERANCE) & is_anion[i] & is_anion[j]
    first, second = np.concatenate([i[bonded], j[bonded]]), np.concatenate([j[bonded], i[bonded]])
    while (new := touches[first] & is_link[first] & ~touches[second]).any():
        touches[second[new]] = True


def molecule_charge(symbols: list[str]) -> int:
    """Formal charge of a closed-shell ligand: 0 for an even number of electrons, else +1 or -1.

    +1 where it is a protonated amine: N, no O, S or P, and an odd number of electrons (a neutral
    amine has an even one). Lone halides and O have their oxidation numbers.
    """
    counts = Counter(symbols)
    if len(symbols) == 1:
        return OXIDATION.get(symbols[0], -2 if symbols[0] == "O" else 0)
    n_electrons = sum(atomic_numbers[s] for s in symbols)
    if n_electrons % 2 == 0:
        return 0
    is_ammonium = counts["N"] > 0 and not counts["O"] + counts["S"] + counts["P"]
    return 1 if is_ammonium else -1


def formal_charge(atoms: Atoms, charges: Mapping[str, int] | None = None) -> FormalCharge:
    """Formal charge by oxidation numbers of lattice atoms and closed-shell molecules.

    `charges` of molecules that are known by their formula (in the order of Hill), e; all others
    follow `molecule_charge`, which cannot tell an anion with N and no O from an ammonium.
    """
    charges = charges or {}
    symbols = atoms.get_chemical_symbols()
    molecules = molecules_of(atoms)
    lattice = Counter(s for s, m in zip(symbols, molecules, strict=True) if m < 0)
    parts = [(s, n, OXIDATION[s]) for s, n in lattice.items()]
    members: dict[int, list[str]] = {}
    for symbol, molecule in zip(symbols, molecules.tolist(), strict=True):
        if molecule >= 0:
            members.setdefault(molecule, []).append(symbol)
    kinds = Counter(tuple(sorted(m)) for m in members.values())
    is_known = True
    for kind, n in kinds.items():
        name = Atoms(list(kind)).get_chemical_formula()
        charge = charges[name] if name in charges else molecule_charge(list(kind))
        is_known &= name in charges or set(kind) <= ORGANIC | LATTICE_ANIONS
        parts.append((name, n, charge))
    total = sum(n * charge for _, n, charge in parts)
    return FormalCharge(total if is_known else None, tuple(parts), molecules)

# SPDX-License-Identifier: MIT
"""Neutral units of ligands that may leave a dot: CdX2, InX3, CsX; so that charge stays balanced."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ase import Atoms

from qdml.build.charges import CATIONS, HALIDES, OXIDATION
from qdml.build.reading import formal_charge, molecule_charge
from qdml.errors import StructureError


@dataclass(frozen=True)
class Shell:
    """What a dot can lose: anions by molecule, and the surface cations that go with them."""

    anions: tuple[np.ndarray, ...]  # rows of each anionic ligand
    anion_places: np.ndarray  # [n_anions, 3] Å
    cations: tuple[np.ndarray, ...]  # rows of each cation that may leave, one atom or an ammonium
    cation_places: np.ndarray  # [n_cations, 3] Å
    cation_charges: np.ndarray  # [n_cations]


def shell_of(atoms: Atoms) -> Shell:
    """Find the anionic ligands of a dot and the surface cations they may leave with.

    Cations of the surface: of a perovskite Cs and ammonium, of other dots the metal atoms, only
    those of the `region` surface where the file has it.
    """
    symbols = np.array(atoms.get_chemical_symbols())
    molecules = formal_charge(atoms).molecules
    is_perovskite = "Cs" in symbols
    region = atoms.arrays.get("region")
    index = atoms.arrays.get("ligand_index")
    anions, cations, charges = [], [], []
    for molecule in range(molecules.max() + 1):
        rows = np.flatnonzero(molecules == molecule)
        charge = molecule_charge(symbols[rows].tolist())
        is_lattice = len(rows) == 1 and symbols[rows[0]] in HALIDES and is_perovskite
        if charge == -1 and not (is_lattice and (index is None or index[rows[0]] < 0)):
            anions.append(rows)
        elif charge == 1:
            cations.append(rows)
            charges.append(1)
    for row in np.flatnonzero(np.isin(symbols, [*CATIONS])):
        is_surface = region is None or region[row] == "surface"
        if is_surface and (symbols[row] == "Cs") == is_perovskite:
            cations.append(np.array([row]))
            charges.append(OXIDATION[symbols[row]])
    places = [
        np.array([atoms.positions[r].mean(axis=0) for r in g]).reshape(-1, 3)
        for g in (anions, cations)
    ]
    return Shell(tuple(anions), places[0], tuple(cations), places[1], np.array(charges, dtype=int))


def rows_to_remove(shell: Shell, fraction: float, rng: np.random.Generator) -> np.ndarray:
    """Rows of neutral units that hold about `fraction` of the anionic ligands, chosen at random.

    A unit is a random anion, the nearest cation that is left and the nearest other anions until
    the unit is neutral. Raises: StructureError when the cations do not suffice.
    """
    n_wanted = fraction * len(shell.anions)
    free_anions = np.ones(len(shell.anions), dtype=bool)
    free_cations = np.ones(len(shell.cations), dtype=bool)
    rows: list[np.ndarray] = []
    order = rng.permutation(len(shell.anions))
    for first in order:
        n_gone = int((~free_anions).sum())
        if not free_anions[first]:
            continue
        if not free_cations.any():
            raise StructureError(
                f"only {n_gone} of {len(shell.anions)} anionic ligands can leave with a surface "
                "cation; remove a smaller fraction"
            )
        distance = np.linalg.norm(shell.cation_places - shell.anion_places[first], axis=1)
        cation = int(np.argmin(np.where(free_cations, distance, np.inf)))
        n_anions = int(shell.cation_charges[cation])
        # Nearest to the wanted number: a unit that overshoots by more than half stays.
        if n_gone + n_anions / 2 > n_wanted + 1e-9 or n_anions > free_anions.sum():
            break
        distance = np.linalg.norm(shell.anion_places - shell.cation_places[cation], axis=1)
        distance[first] = -1.0
        chosen = np.argsort(np.where(free_anions, distance, np.inf), kind="stable")[:n_anions]
        free_anions[chosen], free_cations[cation] = False, False
        rows += [shell.cations[cation], *(shell.anions[k] for k in chosen)]
    return np.concatenate(rows) if rows else np.zeros(0, dtype=int)

# SPDX-License-Identifier: MIT
"""Forces of the classical force field of Cd68Se55(HCOO)26: point charges and Lennard-Jones.

Parameters: Cosseddu and Infante, J. Chem. Theory Comput. 13, 297 (2017), as in the input that comes
with auto-FOX. The terms within a formate are not given there, so only forces on Cd and Se, which
have none, can be compared. The charge of H is what makes the dot neutral.
"""

from __future__ import annotations

import numpy as np
from ase import Atoms, units

KJ_PER_MOL = units.kJ / units.mol
COULOMB = units._e / (4 * np.pi * units._eps0) * 1e10
"""eV Å for two unit charges."""

CHARGES = {"Cd": 0.9768, "Se": -0.9768, "O": -0.4704, "C": 0.4524, "H": 0.0}
LENNARD_JONES = {  # epsilon in kJ/mol, sigma in nm
    ("Cd", "Cd"): (0.3101, 0.1234), ("Se", "Se"): (0.4266, 0.4852), ("Cd", "Se"): (1.5225, 0.2940),
    ("Cd", "O"): (1.8340, 0.2471), ("Se", "O"): (1.6135, 0.3526),
}  # fmt: skip
COMPLETE = ("Cd", "Se")
"""Elements on which all terms are known."""


def forces(atoms: Atoms) -> np.ndarray:
    """Forces in eV/Å without cutoff, [n_atoms, 3]; to be used for atoms of COMPLETE only."""
    symbols = np.array(atoms.get_chemical_symbols())
    charge = np.array([CHARGES[s] for s in symbols])
    epsilon, sigma = np.zeros((len(atoms),) * 2), np.ones((len(atoms),) * 2)
    for (a, b), (depth, diameter) in LENNARD_JONES.items():
        for one, two in ((a, b), (b, a)):
            block = np.ix_(symbols == one, symbols == two)
            epsilon[block], sigma[block] = depth * KJ_PER_MOL, 10 * diameter
    arm = atoms.positions[:, None] - atoms.positions
    distance = np.linalg.norm(arm, axis=2)
    np.fill_diagonal(distance, np.inf)
    sixth = (sigma / distance) ** 6
    push = COULOMB * charge[:, None] * charge / distance**2
    push += 24 * epsilon / distance * (2 * sixth**2 - sixth)
    return ((push / distance)[..., None] * arm).sum(axis=1)

"""Thermal displacements from a harmonic network of bonds: quick, physical rattling of any frame."""
# SPDX-License-Identifier: MIT

from __future__ import annotations

import numpy as np
from ase import Atoms
from ase.data import covalent_radii
from ase.neighborlist import neighbor_list
from ase.units import kB

# Stretch force constants alpha in eV/A^2. Cd-Se follows from the zone-centre optic mode of
# zinc-blende CdSe, 165 cm-1 (PBE, about 4 % below the measured 169-172 cm-1): with nearest
# neighbours only, mu w^2 = 4/3 (alpha + 2 beta), mu = 46.4 amu, beta = 0.1 alpha. The others are
# rounded values of the usual stretch frequencies (C-H 2900, O-H 3500, C-O 1250-1750 cm-1 ...); they
# set the size of random displacements only, never a label.
STRETCH = {
    ("Cd", "Se"): 2.9, ("Cd", "Cl"): 2.5, ("Cd", "O"): 2.5, ("C", "O"): 40.0, ("C", "H"): 30.0,
    ("H", "O"): 45.0, ("Cl", "H"): 30.0, ("H", "Se"): 18.0, ("Se", "Se"): 6.0, ("C", "C"): 28.0,
    ("H", "H"): 35.0, ("Cd", "H"): 8.0, ("Cd", "Cd"): 0.5,
}  # fmt: skip

BEND_RATIO = 0.1
"""Transverse over longitudinal force constant (Born model): gives zinc-blende CdSe soft transverse
acoustic modes, as it has."""

DEFAULT_STRETCH = 3.0

BOND_FACTOR = 1.2
"""Atoms closer than this times the sum of their covalent radii are bonded."""


def bond_hessian(atoms: Atoms) -> np.ndarray:
    """Second derivatives [3n, 3n] (eV/A^2) of a Born model on the bonds of a frame.

    E = 1/2 sum_bonds [(alpha - beta) (u_ij . r_ij/|r_ij|)^2 + beta |u_ij|^2], u_ij = u_j - u_i.
    """
    n_atoms = len(atoms)
    radii = covalent_radii[atoms.numbers] * BOND_FACTOR
    center, neighbour, vector = neighbor_list("ijD", atoms, radii)
    symbols = atoms.get_chemical_symbols()
    hessian = np.zeros((n_atoms, 3, n_atoms, 3))
    for i, j, d in zip(center, neighbour, vector, strict=True):
        pair = tuple(sorted((symbols[i], symbols[j])))
        alpha = STRETCH.get(pair, DEFAULT_STRETCH)
        unit = d / np.linalg.norm(d)
        block = alpha * ((1 - BEND_RATIO) * np.outer(unit, unit) + BEND_RATIO * np.eye(3))
        # every bond appears twice in the list, so each direction adds half
        hessian[i, :, i] += 0.5 * block
        hessian[j, :, j] += 0.5 * block
        hessian[i, :, j] -= 0.5 * block
        hessian[j, :, i] -= 0.5 * block
    return hessian.reshape(3 * n_atoms, 3 * n_atoms)


def rattle_thermally(
    atoms: Atoms, temperature: float, rng: np.random.Generator, softest: float = 0.25
) -> Atoms:
    """Copy of a frame with displacements drawn from the classical Boltzmann distribution.

    In the harmonic network u ~ N(0, k_B T H^-1) at `temperature` (K), independent of the masses.
    Modes softer than `softest` (eV/A^2) are treated as that stiff, so that weakly tied groups do
    not fly apart; the mean displacement is removed. info `temperature` is set.
    """
    frame = atoms.copy()
    stiffness, modes = np.linalg.eigh(bond_hessian(atoms))
    amplitude = np.sqrt(kB * temperature / np.maximum(stiffness, softest))
    # H^-1/2 as a matrix does not depend on how LAPACK turns degenerate modes, and rounding hides
    # the last digits: the same seed gives the same frame on every machine
    root = (modes * amplitude) @ modes.T
    displacement = (root @ rng.standard_normal(len(stiffness))).reshape(-1, 3)
    frame.positions += np.round(displacement - displacement.mean(axis=0), 4)
    frame.info["temperature"] = float(temperature)
    return frame


def shaken(atoms: Atoms, seed: int, width: float = 0.05) -> Atoms:
    """Copy with normal displacements (A) that break the symmetry of a construction."""
    frame = atoms.copy()
    frame.positions += np.random.default_rng(seed).normal(0.0, width, frame.positions.shape)
    return frame

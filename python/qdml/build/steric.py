# SPDX-License-Identifier: MIT
"""Relax the ligand atoms with springs and soft contacts; the core stays on its lattice sites."""

from __future__ import annotations

import itertools

import numpy as np
from scipy.optimize import minimize
from scipy.spatial import cKDTree

from qdml.build.distances import contact_distance
from qdml.build.placement import LigandShell

# Stiffness in arbitrary units: a ligand's own shape is kept before its bonds to the dot, these
# before the contacts' free choice. Only the order matters, the minimum is nearly force-free.
K_SHAPE, K_BOND, K_CONTACT = 20.0, 5.0, 1.0
# Pairs farther than this cannot come into contact during the small displacements, Å.
PAIR_CUTOFF = 7.0


def relax_ligands(
    shell: LigandShell,
    core_symbols: list[str],
    core_positions: np.ndarray,
    max_steps: int = 400,
) -> np.ndarray:
    """Return relaxed ligand positions [n, 3] in Å.

    Energy: harmonic springs within each ligand (all pairs) and from donors to their cations,
    and 1/2 K (r0 - r)^2 for unbonded pairs nearer than their contact distance r0.
    `core_positions` has the cations first, in the order `shell.donor_bonds` counts them.
    """
    n = len(shell.symbols)
    if n == 0:
        return shell.positions
    everything = np.concatenate([shell.positions, core_positions])
    symbols = [*shell.symbols, *core_symbols]
    ligand = np.array([*shell.ligand_index, *([-1] * len(core_symbols))])

    springs: list[tuple[int, int, float, float]] = []
    bonded = set()
    members: dict[int, list[int]] = {}
    for atom, index in enumerate(shell.ligand_index):
        members.setdefault(index, []).append(atom)
    for atoms in members.values():
        for a, b in itertools.combinations(atoms, 2):
            length = float(np.linalg.norm(shell.positions[a] - shell.positions[b]))
            springs.append((a, b, length, K_SHAPE))
    for atom, cation, length in shell.donor_bonds:
        springs.append((atom, n + cation, length, K_BOND))
        bonded.add((atom, n + cation))

    contacts = []
    for a, b in cKDTree(everything).query_pairs(PAIR_CUTOFF):
        a, b = min(a, b), max(a, b)
        if a >= n or ligand[a] == ligand[b] or (a, b) in bonded:
            continue
        reach = contact_distance(symbols[a], symbols[b])
        if reach > 0:
            contacts.append((a, b, reach, K_CONTACT))
    table = np.array(sorted(springs) + sorted(contacts))
    first, second = table[:, 0].astype(int), table[:, 1].astype(int)
    target, stiffness = table[:, 2], table[:, 3]
    is_contact = np.arange(len(table)) >= len(springs)

    def energy_and_gradient(flat: np.ndarray) -> tuple[float, np.ndarray]:
        everything[:n] = flat.reshape(n, 3)
        vector = everything[second] - everything[first]
        distance = np.maximum(np.linalg.norm(vector, axis=1), 1e-9)
        stretch = distance - target
        stretch[is_contact & (stretch > 0)] = 0.0
        pull = (stiffness * stretch / distance)[:, None] * vector
        gradient = np.zeros_like(everything)
        np.add.at(gradient, first, -pull)
        np.add.at(gradient, second, pull)
        return float(0.5 * (stiffness * stretch**2).sum()), gradient[:n].ravel()

    result = minimize(
        energy_and_gradient,
        shell.positions.ravel(),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": max_steps},
    )
    return result.x.reshape(n, 3)

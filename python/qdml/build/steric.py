# SPDX-License-Identifier: MIT
"""Relax the ligand atoms with springs and soft contacts; the core stays on its lattice sites."""

from __future__ import annotations

import itertools
from functools import lru_cache

import numpy as np
from scipy.optimize import minimize
from scipy.spatial import cKDTree
from threadpoolctl import threadpool_limits

from qdml.build.distances import contact_table
from qdml.build.ligands import Ligand
from qdml.build.placement import SMALL_LIGAND, LigandShell

# Stiffness in arbitrary units: a ligand's own shape is kept before its bonds to the dot, these
# before the contacts' free choice. Only the order matters, the minimum is nearly force-free.
K_SHAPE, K_BOND, K_CONTACT = 20.0, 5.0, 1.0
# Pairs farther than this cannot come into contact during the small displacements, Å.
PAIR_CUTOFF = 7.0
# Large ligands move farther: shorter lists, made anew in every round.
N_ROUNDS, ROUND_STEPS, MARGIN = 6, 60, 1.2
# In a large ligand atoms up to this many bonds apart keep their distance (bonds, angles, torsions);
# those farther apart are contacts like strangers.
N_BONDS_KEPT = 3


def relax_ligands(
    shell: LigandShell,
    core_symbols: list[str],
    core_positions: np.ndarray,
    max_steps: int = 400,
) -> np.ndarray:
    """Return relaxed ligand positions [n, 3] in Å.

    Energy: harmonic springs within each ligand and from donors to their cations, and
    1/2 K (r0 - r)^2 for unbonded pairs nearer than their contact distance r0.
    `core_positions` has the cations first, in the order `shell.donor_bonds` counts them.
    """
    n = len(shell.symbols)
    if n == 0:
        return shell.positions
    everything = np.concatenate([shell.positions, core_positions])
    names = list(dict.fromkeys([*shell.symbols, *core_symbols]))
    kinds = np.array([names.index(s) for s in (*shell.symbols, *core_symbols)])
    reach = contact_table(names)
    springs, excluded = _springs(shell, n)
    is_large = any(len(ligand.symbols) > SMALL_LIGAND for ligand in shell.ligands)
    rounds, steps, margin = (N_ROUNDS, ROUND_STEPS, MARGIN) if is_large else (1, max_steps, None)
    for _ in range(rounds):
        cutoff = PAIR_CUTOFF if margin is None else reach.max() + margin
        contacts = _contacts(everything, n, kinds, reach, excluded, cutoff)
        table = np.concatenate([springs, contacts])
        if margin is not None and not _has_overlap(everything, contacts):
            break
        everything[:n] = _minimise(everything, n, table, len(springs), steps)
    return everything[:n].copy()


def _springs(shell: LigandShell, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Springs [m, 4] (atom, atom, length, stiffness), sorted; keys of pairs without contacts."""
    springs: list[tuple[float, float, float, float]] = []
    first = np.searchsorted(shell.ligand_index, np.arange(len(shell.ligands)))
    pairs: list[np.ndarray] = []
    for start, ligand in zip(first, shell.ligands, strict=True):
        local = np.array(_kept_pairs(ligand), dtype=int).reshape(-1, 2) + start
        vectors = shell.positions[local[:, 0]] - shell.positions[local[:, 1]]
        lengths = np.linalg.norm(vectors, axis=1)
        springs += [(a, b, r, K_SHAPE) for (a, b), r in zip(local.tolist(), lengths, strict=True)]
        pairs.append(local)
    for atom, cation, length in shell.donor_bonds:
        springs.append((atom, n + cation, length, K_BOND))
        pairs.append(np.array([[atom, n + cation]]))
    table = np.array(sorted(springs), dtype=float).reshape(-1, 4)
    rows = np.concatenate(pairs) if pairs else np.zeros((0, 2), dtype=int)
    return table, _key(rows[:, 0], rows[:, 1])


@lru_cache(maxsize=64)
def _kept_pairs(ligand: Ligand) -> tuple[tuple[int, int], ...]:
    """Pairs of atoms of one ligand whose distance is kept: all, or those a few bonds apart."""
    n = len(ligand.symbols)
    if n <= SMALL_LIGAND or not ligand.bonds:
        return tuple(itertools.combinations(range(n), 2))
    step = np.eye(n, dtype=int)
    for a, b in ligand.bonds:
        step[a, b] = step[b, a] = 1
    near = np.linalg.matrix_power(step, N_BONDS_KEPT) > 0
    return tuple((a, b) for a, b in itertools.combinations(range(n), 2) if near[a, b])


def _key(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """One integer per pair a < b."""
    return a.astype(np.int64) * 2**31 + b


def _contacts(
    positions: np.ndarray,
    n: int,
    kinds: np.ndarray,
    reach: np.ndarray,
    excluded: np.ndarray,
    cutoff: float,
) -> np.ndarray:
    """Contacts [m, 4] (atom, atom, distance r0, stiffness) of ligand atoms, sorted."""
    pairs = cKDTree(positions).query_pairs(cutoff, output_type="ndarray").astype(np.int64)
    pairs.sort(axis=1)
    pairs = pairs[pairs[:, 0] < n]
    r0 = reach[kinds[pairs[:, 0]], kinds[pairs[:, 1]]]
    keep = (r0 > 0) & ~np.isin(_key(pairs[:, 0], pairs[:, 1]), excluded)
    pairs, r0 = pairs[keep], r0[keep]
    order = np.lexsort((pairs[:, 1], pairs[:, 0]))
    stiffness = np.full(len(pairs), K_CONTACT)
    return np.column_stack([pairs[:, 0], pairs[:, 1], r0, stiffness])[order]


def _has_overlap(positions: np.ndarray, contacts: np.ndarray) -> bool:
    """True when a pair is nearer than its contact distance by more than a tenth."""
    i, j = contacts[:, 0].astype(int), contacts[:, 1].astype(int)
    distance = np.linalg.norm(positions[i] - positions[j], axis=1)
    return bool((distance < 0.9 * contacts[:, 2]).any())


def _minimise(
    positions: np.ndarray, n: int, table: np.ndarray, n_springs: int, steps: int
) -> np.ndarray:
    """Positions [n, 3] of the first `n` atoms after a minimisation; the others do not move."""
    first, second = table[:, 0].astype(int), table[:, 1].astype(int)
    target, stiffness = table[:, 2], table[:, 3]
    is_contact = np.arange(len(table)) >= n_springs
    everything = positions.copy()
    ends = np.concatenate([first, second])

    def energy_and_gradient(flat: np.ndarray) -> tuple[float, np.ndarray]:
        everything[:n] = flat.reshape(n, 3)
        vector = everything[second] - everything[first]
        distance = np.maximum(np.linalg.norm(vector, axis=1), 1e-9)
        stretch = distance - target
        stretch[is_contact & (stretch > 0)] = 0.0
        pull = (stiffness * stretch / distance)[:, None] * vector
        forces = np.concatenate([-pull, pull])
        size = len(everything)
        gradient = np.column_stack([np.bincount(ends, forces[:, k], size) for k in range(3)])
        return float(0.5 * (stiffness * stretch**2).sum()), gradient[:n].ravel()

    # threads for vectors of this length only wait for each other, most of all on busy cores
    with threadpool_limits(1, user_api="blas"):
        result = minimize(
            energy_and_gradient,
            positions[:n].ravel(),
            jac=True,
            method="L-BFGS-B",
            options={"maxiter": steps},
        )
    return result.x.reshape(n, 3)

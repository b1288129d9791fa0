"""Random neutral clusters of ions, (CdSe)m(CdCl2)n and its kin: corners no crystal cut shows."""
# SPDX-License-Identifier: MIT

from __future__ import annotations

import numpy as np
from ase import Atoms
from ase.neighborlist import neighbor_list
from ase.units import Bohr, Hartree
from scipy.optimize import minimize

from qdml.build.charges import OXIDATION, total_oxidation
from qdml.errors import LabelError, StructureError
from qdml.sample.dots import relax_gfn1

ION_DISTANCE = {
    ("Cd", "Cd"): 2.9, ("Cd", "Se"): 2.68, ("Cd", "Cl"): 2.5,
    ("Se", "Se"): 3.6, ("Cl", "Se"): 3.5, ("Cl", "Cl"): 3.5,
    ("Pb", "Pb"): 3.5, ("Pb", "Se"): 2.9, ("Cl", "Pb"): 2.7,
    ("In", "In"): 3.0, ("In", "P"): 2.54, ("Cl", "In"): 2.45, ("P", "P"): 3.7, ("Cl", "P"): 3.5,
    ("Cs", "Cs"): 4.4, ("Br", "Cs"): 3.4, ("Cs", "Pb"): 4.0, ("Br", "Pb"): 2.85, ("Br", "Br"): 3.7,
}  # fmt: skip
"""Distance (A) at which Born repulsion balances an attraction as strong as the pair's Coulomb
force: the bond length of opposite ions in small clusters, a soft core of like ones."""

MIN_DISTANCE = {
    ("Cd", "Cd"): 3.0, ("Cd", "Se"): 2.4, ("Cd", "Cl"): 2.2,
    ("Se", "Se"): 3.4, ("Cl", "Se"): 3.2, ("Cl", "Cl"): 3.2,
}  # fmt: skip
MIN_DISTANCE |= {p: round(0.9 * d, 2) for p, d in ION_DISTANCE.items() if p not in MIN_DISTANCE}
"""Shortest distances (A) of a random start: near neighbours of opposite charge, others apart."""

NOT_A_BOND = {
    ("Se", "Se"): 2.8, ("Cl", "Se"): 2.6, ("Cl", "Cl"): 2.6, ("Cd", "Cd"): 2.7, ("Pb", "Pb"): 3.0,
    ("In", "In"): 2.9, ("P", "P"): 2.6, ("Cl", "P"): 2.5, ("Br", "Br"): 2.9,
}  # fmt: skip
"""A relaxed cluster with a pair shorter than this (A) has found a redox reaction, not a dot."""

BOND = {
    ("Cd", "Se"): 3.1, ("Cd", "Cl"): 3.0, ("Pb", "Se"): 3.5, ("Cl", "Pb"): 3.4, ("In", "P"): 3.0,
    ("Cl", "In"): 2.9, ("Br", "Cs"): 4.2, ("Br", "Pb"): 3.5,
}  # fmt: skip
"""Longest cation-anion distance (A) that still ties a relaxed cluster together."""

VOLUME_PER_ATOM = 32.0
"""A^3; zinc-blende CdSe has 30."""

BORN_EXPONENT = 9


def random_cluster(n_selenide: int, n_chloride: int, rng: np.random.Generator) -> Atoms:
    """Unrelaxed (CdSe)m(CdCl2)n with random positions in a sphere, m n_selenide, n n_chloride."""
    symbols = ["Cd"] * (n_selenide + n_chloride) + ["Se"] * n_selenide + ["Cl"] * 2 * n_chloride
    return random_ions(symbols, rng)


def random_ions(symbols: list[str], rng: np.random.Generator) -> Atoms:
    """Ions of `ION_DISTANCE` at random places in a sphere, no pair nearer than `MIN_DISTANCE`.

    Raises StructureError for a cluster that is not neutral by oxidation numbers.
    """
    charge = total_oxidation(symbols)
    if charge:
        raise StructureError(f"{''.join(symbols)} carries {charge:+d} e by oxidation numbers")
    radius = (0.75 / np.pi * VOLUME_PER_ATOM * len(symbols)) ** (1 / 3)
    while True:  # the sphere grows slowly, so this ends
        positions = _placed(symbols, radius, rng)
        if positions is not None:
            return Atoms(symbols, positions)
        radius *= 1.03


def _placed(symbols: list[str], radius: float, rng: np.random.Generator) -> np.ndarray | None:
    """Positions [n, 3] in a sphere of `radius` A that keep `MIN_DISTANCE`, or None."""
    positions: list[np.ndarray] = []
    for index, symbol in enumerate(symbols):
        limits = np.array([_pair(MIN_DISTANCE, symbol, other) for other in symbols[:index]])
        for _ in range(200):
            point = rng.normal(size=3)
            point *= radius * rng.random() ** (1 / 3) / np.linalg.norm(point)
            if (np.linalg.norm(np.array(positions).reshape(-1, 3) - point, axis=1) >= limits).all():
                positions.append(point)
                break
        else:
            return None
    return np.array(positions)


def order_ions(cluster: Atoms) -> Atoms:
    """Copy of a cluster relaxed as ions, so that every anion sits between cations.

    E = sum over pairs k q_i q_j / r + k |q_i q_j| d^(n-1) / (n r^n) with d of `ION_DISTANCE` and
    n = `BORN_EXPONENT` (Born and Lande 1918), k = 14.4 eV A, q half the oxidation
    numbers as in rigid-ion models. Without it a quantum-chemical relaxation of a random start ends
    in Se-Se and Se-Cl bonds, which no dot has.
    """
    symbols = cluster.get_chemical_symbols()
    first, second = np.triu_indices(len(symbols), 1)
    charges = 0.5 * np.array([OXIDATION[s] for s in symbols])
    product = Hartree * Bohr * charges[first] * charges[second]
    d = np.array(
        [_pair(ION_DISTANCE, symbols[i], symbols[j]) for i, j in zip(first, second, strict=True)]
    )
    n = BORN_EXPONENT
    core = np.abs(product) * d ** (n - 1) / n

    def energy(flat: np.ndarray) -> tuple[float, np.ndarray]:
        positions = flat.reshape(-1, 3)
        vector = positions[second] - positions[first]
        r = np.linalg.norm(vector, axis=1)
        slope = -product / r**2 - n * core / r ** (n + 1)
        pull = (slope / r)[:, None] * vector
        gradient = np.zeros_like(positions)
        np.add.at(gradient, second, pull)
        np.add.at(gradient, first, -pull)
        return float((product / r + core / r**n).sum()), gradient.ravel()

    found = minimize(energy, cluster.positions.ravel(), jac=True, method="L-BFGS-B")
    return Atoms(symbols, found.x.reshape(-1, 3))


def _pair(table: dict[tuple[str, str], float], first: str, second: str) -> float:
    return table[tuple(sorted((first, second)))]


def is_sound(atoms: Atoms) -> bool:
    """Whether a relaxed cluster is one piece of cation-anion bonds, none between like ions."""
    if len(neighbor_list("i", atoms, {key: value for key, value in NOT_A_BOND.items()})):
        return False
    first, second = neighbor_list("ij", atoms, BOND)
    reached = {0}
    while True:
        more = set(second[np.isin(first, list(reached))].tolist()) | reached
        if more == reached:
            return len(reached) == len(atoms)
        reached = more


def relaxed_clusters(
    n_selenide: int, n_chloride: int, n_clusters: int, rng: np.random.Generator, scale: float = 1.0
) -> list[Atoms]:
    """Up to n_clusters sound minima of GFN1-xTB, their positions multiplied by `scale`.

    Unsound ones are drawn again, at most ten times the number wanted.
    """
    found: list[Atoms] = []
    for _ in range(10 * n_clusters):
        start = order_ions(random_cluster(n_selenide, n_chloride, rng))
        try:
            cluster = relax_gfn1(start, steps=150)
        except LabelError:  # a start so odd that not even GFN1-xTB converges
            continue
        if is_sound(cluster):
            cluster.positions = np.round(cluster.positions * scale, 3)
            found.append(cluster)
        if len(found) == n_clusters:
            break
    return found

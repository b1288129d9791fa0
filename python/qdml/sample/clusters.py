"""Random neutral clusters (CdSe)m(CdCl2)n: corners, edges and contacts no crystal cut shows."""
# SPDX-License-Identifier: MIT

from __future__ import annotations

import numpy as np
from ase import Atoms
from ase.neighborlist import neighbor_list

from qdml.errors import LabelError
from qdml.sample.dots import relax_gfn1

MIN_DISTANCE = {
    ("Cd", "Cd"): 3.0, ("Cd", "Se"): 2.4, ("Cd", "Cl"): 2.2,
    ("Se", "Se"): 3.4, ("Cl", "Se"): 3.2, ("Cl", "Cl"): 3.2,
}  # fmt: skip
"""Shortest distances (A) of a random start: near neighbours of opposite charge, others apart."""

NOT_A_BOND = {("Se", "Se"): 2.8, ("Cl", "Se"): 2.6, ("Cl", "Cl"): 2.6, ("Cd", "Cd"): 2.7}
"""A relaxed cluster with a pair shorter than this (A) has found a redox reaction, not a dot."""

BOND = {("Cd", "Se"): 3.1, ("Cd", "Cl"): 3.0}
"""Longest Cd-anion distance (A) that still ties a relaxed cluster together."""

VOLUME_PER_ATOM = 32.0
"""A^3; zinc-blende CdSe has 30."""


def random_cluster(n_selenide: int, n_chloride: int, rng: np.random.Generator) -> Atoms:
    """Unrelaxed (CdSe)m(CdCl2)n with random positions in a sphere, m n_selenide, n n_chloride."""
    symbols = ["Cd"] * (n_selenide + n_chloride) + ["Se"] * n_selenide + ["Cl"] * 2 * n_chloride
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


def _pair(table: dict[tuple[str, str], float], first: str, second: str) -> float:
    return table[tuple(sorted((first, second)))]


def is_sound(atoms: Atoms) -> bool:
    """Whether a relaxed cluster is one piece of Cd-anion bonds without bonds between like ions."""
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
        start = random_cluster(n_selenide, n_chloride, rng)
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

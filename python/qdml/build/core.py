# SPDX-License-Identifier: MIT
"""Cut the zinc-blende core out of the lattice and prune it to a chemically sound surface."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from qdml.build.shapes import Shape

# Fractional position of the dot's center: cations sit at (0,0,0), anions at (1/4,1/4,1/4).
CENTERS = {
    "anion": (0.25, 0.25, 0.25),
    "cation": (0.0, 0.0, 0.0),
    "bond": (0.125, 0.125, 0.125),
    "hole": (0.5, 0.5, 0.5),  # empty tetrahedral site among four anions
    "edge": (0.25, 0.25, 0.0),  # half-way between two neighbouring cations
}
# A cation with one bond to the core is a desorbing MX2 unit; an anion with two is more basic than
# any the DFT-optimised library dots keep (their surface anions have three or four cations).
MIN_CATION_NEIGHBOURS = 2
MIN_ANION_NEIGHBOURS = 3


@dataclass(frozen=True)
class Site:
    """An anion site of the lattice left empty: where dangling bonds of surface cations point."""

    position: np.ndarray  # [3] Å
    cations: tuple[int, ...]  # rows of Core.cations that point here


@dataclass(frozen=True)
class Core:
    """Core atoms on lattice sites, centered on the origin of the cut; positions in Å."""

    cations: np.ndarray  # [n_cations, 3]
    anions: np.ndarray  # [n_anions, 3]
    bonds: np.ndarray  # [n_bonds, 2] rows of cations, anions
    sites: tuple[Site, ...]

    @property
    def cation_neighbours(self) -> np.ndarray:
        """Number of core anions around each cation, [n_cations]."""
        return np.bincount(self.bonds[:, 0], minlength=len(self.cations))

    @property
    def anion_neighbours(self) -> np.ndarray:
        """Number of core cations around each anion, [n_anions]."""
        return np.bincount(self.bonds[:, 1], minlength=len(self.anions))


def _lattice(a: float, center: tuple[float, float, float], radius: float) -> np.ndarray:
    """Cation sites [n, 3] in Å, sorted, around `center` out to the radius plus one cell."""
    n = int(np.ceil(radius / a)) + 2
    cells = np.array(list(itertools.product(range(-n, n + 1), repeat=3)), dtype=float)
    basis = np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
    return ((cells[:, None] + basis[None]).reshape(-1, 3) - np.asarray(center)) * a


def cut_core(shape: Shape, a: float, center: str) -> Core:
    """Cut, prune, and keep the largest fragment.

    `a` is the lattice constant in Å, `center` a key of `CENTERS`. Pruning repeats until every
    cation keeps at least two core anions and every anion at least three core cations, which
    leaves cation-rich {100} and {111} faces. The result may be empty; the caller judges it.
    """
    cations = _lattice(a, CENTERS[center], shape.radius)
    anions = cations + a / 4
    near = np.linalg.norm(cations, axis=1) <= shape.radius + a
    cations = cations[near]
    near = np.linalg.norm(anions, axis=1) <= shape.radius + a
    anions = anions[near]
    neighbours = cKDTree(anions).query_ball_point(cations, 0.45 * a)  # bond: sqrt(3)/4 a = 0.433 a
    i = np.repeat(np.arange(len(cations)), [len(x) for x in neighbours])
    j = np.concatenate([np.asarray(x, dtype=int) for x in neighbours])

    keep_cation, keep_anion = shape.contains(cations), shape.contains(anions)
    while True:
        count = np.bincount(j[keep_cation[i]], minlength=len(anions))
        next_anion = keep_anion & (count >= MIN_ANION_NEIGHBOURS)
        count = np.bincount(i[next_anion[j]], minlength=len(cations))
        next_cation = keep_cation & (count >= MIN_CATION_NEIGHBOURS)
        if (next_cation == keep_cation).all() and (next_anion == keep_anion).all():
            break
        keep_cation, keep_anion = next_cation, next_anion
    keep_cation, keep_anion = _largest_fragment(i, j, keep_cation, keep_anion)

    row_cation = np.cumsum(keep_cation) - 1
    row_anion = np.cumsum(keep_anion) - 1
    bonded = keep_cation[i] & keep_anion[j]
    pointing = keep_cation[i] & ~keep_anion[j]
    sites = tuple(
        Site(anions[k], tuple(row_cation[i[pointing & (j == k)]].tolist()))
        for k in np.unique(j[pointing])
    )
    bonds = np.column_stack([row_cation[i[bonded]], row_anion[j[bonded]]])
    return Core(cations[keep_cation], anions[keep_anion], bonds, sites)


def _largest_fragment(
    i: np.ndarray, j: np.ndarray, keep_cation: np.ndarray, keep_anion: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Masks reduced to the largest bonded fragment; pruning can leave loose pieces behind."""
    n = len(keep_cation)
    alive = keep_cation[i] & keep_anion[j]
    if not alive.any():
        return np.zeros_like(keep_cation), np.zeros_like(keep_anion)
    size = n + len(keep_anion)
    graph = coo_array((np.ones(alive.sum()), (i[alive], n + j[alive])), shape=(size, size))
    _, label = connected_components(graph, directed=False)
    kept = np.concatenate([keep_cation, keep_anion])
    winner = np.bincount(label[kept]).argmax()
    kept &= label == winner
    return kept[:n], kept[n:]

# SPDX-License-Identifier: MIT
"""Cut the core out of its lattice and prune it to a chemically sound surface."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from qdml.build.lattices import Lattice
from qdml.build.shapes import Shape


@dataclass(frozen=True)
class Site:
    """An anion site of the lattice left empty: where dangling bonds of surface cations point."""

    position: np.ndarray  # [3] Å
    cations: tuple[int, ...]  # rows of Core.cations that point here


@dataclass(frozen=True)
class Core:
    """Core atoms on lattice sites, centered on the origin of the cut; positions in Å.

    `coordination` and `anion_coordination` are the neighbours a cation and an anion have inside
    the crystal. `a_sites` are the large cations of a perovskite, `a_neighbours` the cations (Pb)
    around each of them (`a_neighbours_inside` in the crystal); empty for other structures.
    """

    cations: np.ndarray  # [n_cations, 3]
    anions: np.ndarray  # [n_anions, 3]
    bonds: np.ndarray  # [n_bonds, 2] rows of cations, anions
    sites: tuple[Site, ...]
    coordination: int = 4
    anion_coordination: int = 4
    a_sites: np.ndarray = field(default_factory=lambda: np.zeros((0, 3)))
    a_neighbours: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=int))
    a_neighbours_inside: int = 8
    # Sites of large cations that ammonium ligands took.
    ligand_a_sites: np.ndarray = field(default_factory=lambda: np.zeros((0, 3)))
    n_pruned: tuple[int, int] = (0, 0)  # cations and anions inside the shape left out

    @property
    def cation_neighbours(self) -> np.ndarray:
        """Number of core anions around each cation, [n_cations]."""
        return np.bincount(self.bonds[:, 0], minlength=len(self.cations))

    @property
    def anion_neighbours(self) -> np.ndarray:
        """Number of core cations around each anion, [n_anions]."""
        return np.bincount(self.bonds[:, 1], minlength=len(self.anions))

    @property
    def positions(self) -> np.ndarray:
        """Cations, large cations, anions: [n, 3] Å, the order of the atoms in the files."""
        return np.concatenate([self.cations, self.a_sites, self.anions])


def cut_core(shape: Shape, lattice: Lattice, center: str) -> Core:
    """Cut, prune, and keep the largest fragment.

    `center` is a key of `lattice.centers`. Pruning repeats until every cation keeps at least
    `lattice.min_cation` core anions and every anion `lattice.min_anion` core cations, which
    leaves cation-rich faces. The result may be empty; the caller judges it.
    """
    cations, anions = lattice.sites(center, shape.radius)
    neighbours = cKDTree(anions).query_ball_point(cations, lattice.reach)
    i = np.repeat(np.arange(len(cations)), [len(x) for x in neighbours])
    j = np.concatenate([np.asarray(x, dtype=int) for x in neighbours])

    inside_cation, inside_anion = shape.contains(cations), shape.contains(anions)
    is_perovskite = lattice.structure == "perovskite"
    if is_perovskite:  # octahedra stay complete
        inside_anion = np.ones(len(anions), dtype=bool)
    keep_cation, keep_anion = inside_cation, inside_anion
    while True:
        count = np.bincount(j[keep_cation[i]], minlength=len(anions))
        next_anion = keep_anion & (count >= lattice.min_anion)
        count = np.bincount(i[next_anion[j]], minlength=len(cations))
        next_cation = keep_cation & (count >= lattice.min_cation)
        if (next_cation == keep_cation).all() and (next_anion == keep_anion).all():
            break
        keep_cation, keep_anion = next_cation, next_anion
    keep_cation, keep_anion = largest_fragment(i, j, keep_cation, keep_anion)
    row_cation = np.cumsum(keep_cation) - 1
    row_anion = np.cumsum(keep_anion) - 1
    bonded = keep_cation[i] & keep_anion[j]
    pointing = np.flatnonzero(keep_cation[i] & ~keep_anion[j])
    pointing = pointing[np.argsort(j[pointing], kind="stable")]
    groups = np.split(pointing, np.flatnonzero(np.diff(j[pointing])) + 1) if len(pointing) else []
    sites = tuple(Site(anions[j[g[0]]], tuple(row_cation[i[g]].tolist())) for g in groups)
    bonds = np.column_stack([row_cation[i[bonded]], row_anion[j[bonded]]])
    return Core(
        cations[keep_cation],
        anions[keep_anion],
        bonds,
        sites,
        lattice.coordination,
        lattice.anion_coordination,
        n_pruned=(
            int(inside_cation.sum() - keep_cation.sum()),
            # The halides of incomplete octahedra become sites of ligands: none is lost.
            0 if is_perovskite else int(inside_anion.sum() - keep_anion.sum()),
        ),
    )


def largest_fragment(
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

# SPDX-License-Identifier: MIT
"""Perovskite dots: complete PbX6 octahedra under full CsX faces, Cs removed until neutral."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np

from qdml.build.core import Core
from qdml.errors import StructureError


def add_a_sites(core: Core, a: float) -> Core:
    """The core with every Cs site that touches one of its octahedra; `a` in Å.

    Together with the terminal halides (`core.sites`) these are full CsX faces: a cube of n cells
    is Cs(n+1)^3 Pb n^3 X 3n^2(n+1).
    """
    if len(core.cations) == 0:
        return core
    corners = a / 2 * np.array(list(itertools.product((1, -1), repeat=3)))
    candidates = (core.cations[:, None] + corners).reshape(-1, 3)
    key = np.round(candidates / a * 4).astype(int)  # sites lie a / 2 apart
    _, first, count = np.unique(key, axis=0, return_index=True, return_counts=True)
    return replace(core, a_sites=candidates[first], a_neighbours=count)


def balance_a_sites(core: Core, charge: int, rng: np.random.Generator) -> Core:
    """Remove `charge` Cs (+1 each) from the surface, so that the dot is neutral.

    Those with the fewest Pb go first: corners, then edges, whose Cs do not touch the band edges;
    within a class each next one lies farthest from those already taken, equals decided by `rng`.
    Raises: StructureError when the charge is negative or exceeds the surface Cs.
    """
    surface = np.flatnonzero(core.a_neighbours < core.a_neighbours_inside)
    if not 0 <= charge <= len(surface):
        raise StructureError(
            f"impossible charge balance: {len(core.cations)} octahedra with all Cs sites have "
            f"formal charge {charge:+d} and {len(surface)} surface Cs; choose another diameter, "
            "center or shape"
        )
    tie_break = rng.permutation(len(core.a_sites))
    removed: list[int] = []
    nearest = np.full(len(core.a_sites), np.inf)
    for _ in range(charge):
        left = np.setdiff1d(surface, removed)
        # Rounded, so that equal distances are equal and `tie_break` decides.
        distance = -np.round(nearest[left], 3)
        best = left[np.lexsort((tie_break[left], distance, core.a_neighbours[left]))[0]]
        removed.append(int(best))
        nearest = np.minimum(nearest, np.linalg.norm(core.a_sites - core.a_sites[best], axis=1))
    keep = np.ones(len(core.a_sites), dtype=bool)
    keep[removed] = False
    return replace(core, a_sites=core.a_sites[keep], a_neighbours=core.a_neighbours[keep])

"""Smallest dots of a halide perovskite: cuboids of whole octahedra, neutral by A sites left out."""
# SPDX-License-Identifier: MIT

from __future__ import annotations

import itertools

import numpy as np
from ase import Atoms

from qdml.build.charges import total_oxidation
from qdml.errors import StructureError
from qdml.sample.ionic_slabs import perovskite_elements


def perovskite_cuboid(
    octahedra: tuple[int, int, int],
    rng: np.random.Generator,
    *,
    pairs_removed: int = 0,
    formula: str = "CsPbBr3",
    a: float = 6.0,
) -> Atoms:
    """Corner-sharing octahedra BX6, so many along x, y and z, with A on corners of their cubes.

    All A sites would leave it positive: those that touch fewest octahedra go first, chosen by rng
    among equals, until it is neutral. pairs_removed takes as many AX beyond, the X from those of
    one B. a in A. Raises StructureError where there are too few of them.
    """
    if min(octahedra) < 1:
        raise StructureError(f"octahedra {octahedra}: at least one along x, y and z")
    a_site, b_site, halide = perovskite_elements(formula)
    centres = np.array(list(itertools.product(*map(range, octahedra))), float)
    along = 0.5 * np.vstack([np.eye(3), -np.eye(3)])
    halides = np.unique((centres[:, None] + along).reshape(-1, 3), axis=0)
    corners = np.array(list(itertools.product((-0.5, 0.5), repeat=3)))
    a_sites = np.unique((centres[:, None] + corners).reshape(-1, 3), axis=0)

    def shared(sites: np.ndarray) -> np.ndarray:
        """How many octahedra each site belongs to."""
        return (np.abs(sites[:, None] - centres).max(axis=2) < 0.6).sum(axis=1)

    def symbols() -> list[str]:
        return [b_site] * len(centres) + [halide] * len(halides) + [a_site] * len(a_sites)

    n_gone = total_oxidation(symbols()) + pairs_removed
    terminal = np.flatnonzero(shared(halides) == 1)
    if n_gone > len(a_sites) or pairs_removed > len(terminal):
        raise StructureError(
            f"{octahedra} octahedra have {len(a_sites)} {a_site} and {len(terminal)} terminal "
            f"{halide}; {n_gone} and {pairs_removed} are to go"
        )
    order = np.lexsort([rng.random(len(a_sites)), shared(a_sites)])
    a_sites = np.delete(a_sites, order[:n_gone], axis=0)
    halides = np.delete(halides, rng.permutation(terminal)[:pairs_removed], axis=0)
    return Atoms(symbols(), a * np.vstack([centres, halides, a_sites]))

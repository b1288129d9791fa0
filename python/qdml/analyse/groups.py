# SPDX-License-Identifier: MIT
"""Groups of an evaluation: which region an atom is in, which size class a frame is in."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from ase import Atoms

from qdml.analyse.frames import KINDS
from qdml.analyse.surface import REGIONS, coordination, find_pairs, find_roles

REGION_LETTERS = "csl"
"""One letter per atom in `evaluation.json`, in the order of REGIONS."""


def region_letters(structures: Sequence[Atoms]) -> list[str | None]:
    """Region of every atom of every structure as letters, by `surface.coordination`.

    The lattice elements are those of all structures together, so that a CdCl2 molecule among
    dots is no lattice of its own. None for all where these elements form no lattice with a
    coordination number (a salt alone, molecules).
    """
    roles = find_roles({s for atoms in structures for s in atoms.symbols})
    if roles is None:
        return [None] * len(structures)
    letters = []
    for atoms in structures:
        region = coordination(atoms, find_pairs(atoms, roles.reach), roles).region
        letters.append("".join(REGION_LETTERS[k] for k in region))
    return letters


def region_names(letters: str) -> np.ndarray:
    """Names [n_atoms] of `region_letters`."""
    return np.array([REGIONS[REGION_LETTERS.index(letter)] for letter in letters])


def size_class(kind: str, n_atoms: int) -> str:
    """Kind and number of atoms by powers of two, such as 'dot, 32-63 atoms'."""
    if n_atoms == 1:
        return f"{kind}, 1 atom"
    low = 1 << (n_atoms.bit_length() - 1)
    return f"{kind}, {low}-{2 * low - 1} atoms"


def size_order(name: str) -> tuple[int, int]:
    """Sorts size classes: by kind, then by size."""
    kind, _, size = name.partition(", ")
    return KINDS.index(kind), int(size.split("-")[0].split()[0])

# SPDX-License-Identifier: MIT
"""Pair potential of cubic B-splines, fitted to forces by linear least squares.

The force on atom i is sum_j f_ab(r_ij) (r_i - r_j) / r_ij, with one function f_ab = -du_ab/dr for
each pair of elements: a sum of cubic B-splines on even knots, which goes smoothly to zero at the
cutoff. Forces are linear in the coefficients, so the fit is solved at once and needs no start.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import combinations_with_replacement

import numpy as np
from ase import Atoms
from qdml.analyse.surface import find_pairs
from scipy.linalg import cho_factor, cho_solve

RIDGE = 1e-8
"""Times the mean of the diagonal, added to it: functions that no distance reaches become zero."""


@dataclass(frozen=True)
class PairSpline:
    """Forces between pairs of elements.

    pairs: two atomic numbers, the smaller first, to their row. cutoff, spacing of the knots: Å.
    coefficients: eV/Å, [n_pairs, n_functions].
    """

    pairs: dict[tuple[int, int], int]
    cutoff: float
    spacing: float
    coefficients: np.ndarray

    def forces(self, atoms: Atoms) -> np.ndarray:
        """Forces in eV/Å, [n_atoms, 3]."""
        total = np.zeros((len(atoms), 3))
        for i, direction, column, value in _terms(atoms, self.pairs, self.cutoff, self.spacing):
            along = value * self.coefficients.ravel()[column]
            np.add.at(total, i, along[:, None] * direction)
        return total


def _terms(
    atoms: Atoms, pairs: dict[tuple[int, int], int], cutoff: float, spacing: float
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
    """The four splines at each distance, one a time: atom, direction [n, 3], column, value.

    The spline that ends at the cutoff is the last, so all are smooth there.
    """
    n_functions = round(cutoff / spacing)
    row = np.full((atoms.numbers.max() + 1,) * 2, -1)
    for (a, b), k in pairs.items():
        if b < len(row):
            row[a, b] = row[b, a] = k
    found = find_pairs(atoms, n_functions * spacing)
    of_pair = row[atoms.numbers[found.i], atoms.numbers[found.j]]
    direction = (atoms.positions[found.i] - atoms.positions[found.j]) / found.distance[:, None]
    interval = (found.distance / spacing).astype(int)
    t = found.distance / spacing - interval
    weights = (
        (1 - t) ** 3 / 6,
        (3 * t**3 - 6 * t**2 + 4) / 6,
        (-3 * t**3 + 3 * t**2 + 3 * t + 1) / 6,
        t**3 / 6,
    )
    for offset, value in enumerate(weights):
        function = interval + offset
        inside = function < n_functions
        column = of_pair[inside] * n_functions + function[inside]
        yield found.i[inside], direction[inside], column, value[inside]


def fit(
    structures: Iterable[Atoms], forces: Iterable[np.ndarray], cutoff: float, spacing: float
) -> PairSpline:
    """The splines whose forces are nearest to those given, all components weighted alike.

    structures: free clusters. forces: eV/Å, [n_atoms, 3] each. cutoff, spacing: Å.
    """
    structures = list(structures)
    numbers = sorted({int(z) for atoms in structures for z in atoms.numbers})
    pairs = {pair: k for k, pair in enumerate(combinations_with_replacement(numbers, 2))}
    size = len(pairs) * round(cutoff / spacing)
    normal, right = np.zeros((size, size)), np.zeros(size)
    for atoms, wanted in zip(structures, forces, strict=True):
        design = np.zeros((3 * len(atoms), size))
        for i, direction, column, value in _terms(atoms, pairs, cutoff, spacing):
            for axis in range(3):
                np.add.at(design, (3 * i + axis, column), value * direction[:, axis])
        normal += design.T @ design
        right += design.T @ np.asarray(wanted).ravel()
    normal[np.diag_indices(size)] += RIDGE * normal.trace() / size
    found = cho_solve(cho_factor(normal), right)
    return PairSpline(pairs, cutoff, spacing, found.reshape(len(pairs), -1))

# SPDX-License-Identifier: MIT
"""Molecules grown atom by atom from bond lengths, angles and torsions: heads with alkyl chains."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field

import numpy as np

# Å and degrees, values of gas-phase alkanes and alkenes (CRC Handbook, bond lengths section).
C_C, C_C_NEXT_TO_DOUBLE, C_DOUBLE, C_H = 1.53, 1.50, 1.34, 1.10
ANGLE_SP3, ANGLE_SP2 = 112.0, 126.0
# Torsion next to a cis double bond: hydrogens of the double bond eclipse the chain (skew form).
SKEW = 120.0


@dataclass
class Molecule:
    """Atoms and bonds while they are put together; positions in Å."""

    symbols: list[str] = field(default_factory=list)
    positions: list[np.ndarray] = field(default_factory=list)
    bonds: list[tuple[int, int]] = field(default_factory=list)

    def add(self, symbol: str, position: np.ndarray, bonded: int | None = None) -> int:
        """Append an atom, bonded to atom `bonded`; returns its row."""
        self.symbols.append(symbol)
        self.positions.append(np.asarray(position, dtype=float))
        if bonded is not None:
            self.bonds.append((bonded, len(self.symbols) - 1))
        return len(self.symbols) - 1


def extend(
    a: np.ndarray, b: np.ndarray, c: np.ndarray, length: float, angle: float, torsion: float
) -> np.ndarray:
    """Position [3] at `length` Å from c with angle b-c-new and torsion a-b-c-new in degrees.

    The natural extension of internal coordinates (Parsons et al., doi:10.1002/jcc.20237, eq. 1).
    """
    axis = (c - b) / np.linalg.norm(c - b)
    normal = np.cross(b - a, axis)
    normal = normal / np.linalg.norm(normal)
    frame = np.array([axis, np.cross(normal, axis), normal])
    theta, phi = math.radians(180 - angle), math.radians(torsion)
    local = np.array(
        [math.cos(theta), math.cos(phi) * math.sin(theta), math.sin(phi) * math.sin(theta)]
    )
    return c + length * (local @ frame)


def grow_chain(
    molecule: Molecule,
    first: int,
    previous: np.ndarray,
    before: np.ndarray,
    torsions: list[float],
    double: int | None = None,
) -> None:
    """Grow carbons on carbon `first`, one per torsion, then all hydrogens of the chain.

    `previous` is what `first` is bound to and `before` a point that defines the first torsion.
    With `double` the bond between the carbons of that number and the next is cis-double,
    counted with `first` as 1.
    """
    a, b = before, previous
    chain = [first]
    for k, torsion in enumerate(torsions, start=1):
        # Carbon k + 1 is placed; its bond starts at carbon k.
        is_double = double is not None and k == double
        is_next = double is not None and k in (double - 1, double + 1)
        length = C_DOUBLE if is_double else C_C_NEXT_TO_DOUBLE if is_next else C_C
        angle = ANGLE_SP2 if double is not None and k in (double, double + 1) else ANGLE_SP3
        c = molecule.positions[chain[-1]]
        chain.append(molecule.add("C", extend(a, b, c, length, angle, torsion), chain[-1]))
        a, b = b, c
    ends = [previous, *(molecule.positions[i] for i in chain), None]
    for k, carbon in enumerate(chain, start=1):
        is_sp2 = double is not None and k in (double, double + 1)
        _add_hydrogens(molecule, carbon, ends[k - 1], ends[k + 1], is_sp2)


def _add_hydrogens(
    molecule: Molecule, carbon: int, left: np.ndarray, right: np.ndarray | None, is_sp2: bool
) -> None:
    """The hydrogens of one chain carbon between its neighbours (`right` None: a methyl end)."""
    here = molecule.positions[carbon]
    u = _unit(left - here)
    if right is None:
        helper = np.array([1.0, 0.3, 0.2]) if abs(u[0]) < 0.9 else np.array([0.2, 1.0, 0.3])
        for torsion in (60.0, 180.0, 300.0):
            point = extend(left + helper, left, here, C_H, 110.0, torsion)
            molecule.add("H", point, carbon)
        return
    v = _unit(right - here)
    outward = -_unit(u + v)
    if is_sp2:
        molecule.add("H", here + C_H * outward, carbon)
        return
    normal = _unit(np.cross(u, v))
    half = math.radians(53.5)  # half of H-C-H 107 degrees
    for sign in (1.0, -1.0):
        direction = math.cos(half) * outward + sign * math.sin(half) * normal
        molecule.add("H", here + C_H * direction, carbon)


def torsion_sets(n_carbons: int, double: int | None = None) -> list[list[float]]:
    """Torsions of the conformers of a chain of `n_carbons` (the first one is already there).

    All trans first, then one gauche turn near the head, so that tails can step aside. A cis
    double bond has torsion 0 between two skew ones, whose signs make the conformers.
    """
    base = [180.0] * max(1, n_carbons - 1)
    if n_carbons < 4:
        return [base]
    sets = []
    if double is None:
        for place, turn in ((None, 0.0), (1, 60.0), (1, -60.0), (2, 60.0), (2, -60.0)):
            torsions = list(base)
            if place is not None:
                torsions[place] = turn
            sets.append(torsions)
        return sets
    for first, second in itertools.product((SKEW, -SKEW), repeat=2):
        torsions = list(base)
        # Entry k places carbon k + 2 and turns about the bond of carbons k and k + 1.
        torsions[double - 1] = first
        torsions[double] = 0.0
        torsions[double + 1] = second
        sets.append(torsions)
    return sets


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.linalg.norm(vector)

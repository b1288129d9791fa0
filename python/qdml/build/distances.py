# SPDX-License-Identifier: MIT
"""How close atoms may come: contact distances for relaxing, limits for refusing a structure."""

from __future__ import annotations

import itertools

import numpy as np
from ase.data import atomic_numbers, covalent_radii
from scipy.spatial import cKDTree

from qdml.build.charges import CATIONS

# Elements that bond to the cations; C and H of a ligand do not.
DONORS = frozenset({"S", "Se", "Te", "P", "F", "Cl", "Br", "I", "O", "N"})
# Van der Waals radii, Å: Bondi, doi:10.1021/j100785a001; H as Rowland and Taylor,
# doi:10.1021/jp953141+.
VDW_RADII = {"H": 1.10, "C": 1.70, "N": 1.55, "O": 1.52, "F": 1.47, "P": 1.80, "S": 1.80}
VDW_RADII |= {"Cl": 1.75, "Se": 1.90, "Br": 1.85, "Te": 2.06, "I": 1.98, "B": 1.92, "Si": 2.10}
OTHER_VDW_RADIUS = 2.0  # Å, for elements that only a SMILES brings

# Bonded kinds of pair (cation with an anion or donor): fraction of the sum of covalent radii
# (Cordero, doi:10.1039/b801115j). The DFT dots' shortest bonds are above 0.93 of it.
BOND_FRACTION = 0.80
# Other pairs of different molecules: fraction of the sum of van der Waals radii. In the DFT dots
# Cl-Cl stays above 0.96 and Cl-anion above 0.91 of it.
CLASH_FRACTION = 0.75
CONTACT_FRACTION = 0.92
# Cations among themselves: fraction of the sum of covalent radii. The lattice gives 1.5, the
# closest in the DFT dots 1.09.
CATION_FRACTION = 1.05
# A cation and the C or H of a ligand, Å: chelating formate has M-C above 2.4. Cs+ is larger than
# the others by 0.7 Å (Shannon). Other atoms without a lone pair count as C.
CATION_CARBON = {"C": 2.1, "H": 2.0}
CESIUM_EXTRA = 0.7


def _vdw_radius(symbol: str) -> float:
    return VDW_RADII.get(symbol, OTHER_VDW_RADIUS)


def _covalent_sum(a: str, b: str) -> float:
    return float(covalent_radii[atomic_numbers[a]] + covalent_radii[atomic_numbers[b]])


def is_bond(a: str, b: str) -> bool:
    """True when one element is a cation and the other binds to cations."""
    return (a in CATIONS and b in DONORS) or (b in CATIONS and a in DONORS)


def min_distance(a: str, b: str) -> float:
    """Shortest allowed distance in Å between two atoms that are not in the same molecule."""
    if is_bond(a, b):
        return BOND_FRACTION * _covalent_sum(a, b)
    if a in CATIONS and b in CATIONS:
        return CATION_FRACTION * _covalent_sum(a, b)
    if a in CATIONS or b in CATIONS:
        cation, other = (a, b) if a in CATIONS else (b, a)
        return CATION_CARBON.get(other, CATION_CARBON["C"]) + CESIUM_EXTRA * (cation == "Cs")
    return CLASH_FRACTION * (_vdw_radius(a) + _vdw_radius(b))


def contact_distance(a: str, b: str) -> float:
    """Distance in Å below which the steric relaxation pushes two unbonded atoms apart."""
    if is_bond(a, b):
        return 0.0
    if a in CATIONS or b in CATIONS:
        return 1.15 * min_distance(a, b)
    return CONTACT_FRACTION * (_vdw_radius(a) + _vdw_radius(b))


def contact_table(symbols: list[str]) -> np.ndarray:
    """`contact_distance` of all pairs of `symbols`, [n, n] Å."""
    return np.array([[contact_distance(a, b) for b in symbols] for a in symbols])


def close_pairs(symbols: list[str], positions: np.ndarray, molecule: np.ndarray) -> list[tuple]:
    """All pairs nearer than allowed: (i, j, distance, limit), closest ratio first.

    `positions` [n, 3] Å; `molecule` [n] is -1 for core atoms and the ligand's index otherwise;
    atoms of one ligand are not compared with each other.
    """
    if len(symbols) == 0:
        return []
    names = list(dict.fromkeys(symbols))
    kinds = np.array([names.index(s) for s in symbols])
    limits = np.array([[min_distance(a, b) for b in names] for a in names])
    pairs = cKDTree(positions).query_pairs(limits.max(), output_type="ndarray")
    i, j = pairs.min(axis=1, initial=len(symbols)), pairs.max(axis=1, initial=0)
    distance = np.linalg.norm(positions[i] - positions[j], axis=1)
    limit = limits[kinds[i], kinds[j]]
    bad = (distance < limit) & ((molecule[i] != molecule[j]) | (molecule[i] == -1))
    order = np.lexsort((j[bad], i[bad], distance[bad] / limit[bad]))
    return [
        (int(i[k]), int(j[k]), float(distance[k]), float(limit[k]))
        for k in np.flatnonzero(bad)[order]
    ]


def shortest_per_pair(
    symbols: list[str], positions: np.ndarray, longest: float = 8.0
) -> dict[str, float]:
    """Smallest distance below `longest` (Å) per pair of elements: `{"Cd-Se": 2.69, ...}`."""
    names = np.asarray(symbols)
    result = {}
    for a, b in _element_pairs(symbols):
        here, there = positions[names == a], positions[names == b]
        k = 2 if a == b else 1
        if len(there) >= k:
            distance, _ = cKDTree(there).query(here, k=k, distance_upper_bound=longest)
            nearest = float(np.min(distance if k == 1 else distance[:, 1]))
            if np.isfinite(nearest):
                result[f"{a}-{b}"] = round(nearest, 4)
    return result


def _element_pairs(symbols: list[str]) -> list[tuple[str, str]]:
    return list(itertools.combinations_with_replacement(dict.fromkeys(symbols), 2))

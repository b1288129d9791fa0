# SPDX-License-Identifier: MIT
"""Coordination numbers and bond angles of core and surface, from the bonds of a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.geometry import get_angles
from scipy.ndimage import gaussian_filter1d
from scipy.sparse import coo_array

from qdml.analyse.surface import REGIONS, Roles, coordination, find_pairs
from qdml.validate.bonds import History, pair_kinds

MOST = 12
"""Coordination numbers above this count as this."""

ANGLE_BIN = 1.0
"""Degrees; a quarter of the thermal width of a bond angle at 300 K."""

ANGLE_SMOOTHING = 2.0
"""Degrees, standard deviation of the Gaussian of drawn curves."""

OPPOSITE = 135.0
"""Degrees: midway between the neighbours (90) and the opposites (180) of an octahedron."""

ROLES = ("cation", "anion")
REGION_NAMES = REGIONS[:2]
Group = tuple[str, str]
"""Role of the central atom, one of ROLES, and its region, one of REGION_NAMES."""


@dataclass(frozen=True)
class LocalOrder:
    """Coordination and angles of one run, or of one structure.

    coordination: group -> numbers [n_frames, n_atoms of the group]. angles: group -> angles in
    degrees between any two bonds of an atom of the group, [m], all frames together.
    """

    coordination: dict[Group, np.ndarray]
    angles: dict[Group, np.ndarray]

    def shares(self, group: Group) -> np.ndarray:
        """Share of each coordination number 0 .. MOST, [MOST + 1]; zeros without atoms."""
        found = self.coordination[group]
        counts = np.bincount(np.minimum(found, MOST).ravel(), minlength=MOST + 1)
        return counts / max(found.size, 1)

    def angle_density(self, group: Group) -> tuple[np.ndarray, np.ndarray]:
        """Bin centres (degrees) and density (1/degree) of the angles, smoothed, area 1.

        Zeros without angles. At 180 degrees the Gaussian is reflected, so that no area is lost.
        """
        edges = np.arange(0.0, 180.0 + ANGLE_BIN, ANGLE_BIN)
        counts = np.histogram(self.angles[group], edges)[0].astype(float)
        density = gaussian_filter1d(counts, ANGLE_SMOOTHING / ANGLE_BIN, mode="reflect")
        return 0.5 * (edges[1:] + edges[:-1]), density / max(counts.sum() * ANGLE_BIN, 1e-300)


def find_groups(atoms: Atoms, roles: Roles) -> dict[Group, np.ndarray]:
    """Atoms of each role and region in a structure: masks [n_atoms], none without an atom."""
    symbols = np.array(atoms.get_chemical_symbols())
    region = coordination(atoms, find_pairs(atoms, roles.reach), roles).region
    masks = {
        (role, name): np.isin(symbols, members) & (region == index)
        for role, members in zip(ROLES, (roles.cations, roles.anions), strict=True)
        for index, name in enumerate(REGION_NAMES)
    }
    return {group: mask for group, mask in masks.items() if mask.any()}


def local_order(
    frames: Sequence[Atoms], history: History, roles: Roles, groups: dict[Group, np.ndarray]
) -> LocalOrder:
    """Coordination and angles of `frames`, whose bonds are the rows of `history`.

    groups: masks [n_atoms]. Cations count bonds to anions and to ligand atoms that bind, anions
    those to cations. Angles are those between bonds of cation and anion. Frames are free clusters.
    """
    lattice, ligand = pair_kinds(history, roles)
    total = coordination_numbers(history, lattice | ligand)
    coordination = {group: total[:, mask] for group, mask in groups.items()}
    is_cation = np.isin(history.symbols, roles.cations)
    pairs = history.pairs[lattice]
    # columns (cation, anion) whatever their order in the file
    pairs = np.where(is_cation[pairs[:, :1]], pairs, pairs[:, ::-1])
    found: dict[Group, list[np.ndarray]] = {group: [] for group in groups}
    for atoms, bonded in zip(frames, history.bonded[:, lattice], strict=True):
        here = pairs[bonded]
        for role, ends in zip(ROLES, (here, here[:, ::-1]), strict=True):
            centre, angle = bond_angles(atoms.positions, ends[:, 0], ends[:, 1])
            for group, mask in groups.items():
                if group[0] == role:
                    found[group].append(angle[mask[centre]])
    return LocalOrder(coordination, {group: np.concatenate(a) for group, a in found.items()})


def coordination_numbers(history: History, counted: np.ndarray) -> np.ndarray:
    """Bonds of each atom in each frame, [n_frames, n_atoms], of the pairs of a mask [n_pairs]."""
    pairs = history.pairs[counted]
    ends = (np.repeat(np.arange(len(pairs)), 2), pairs.ravel())
    shape = (len(pairs), len(history.numbers))
    incidence = coo_array((np.ones(pairs.size, dtype=int), ends), shape).tocsr()
    return history.bonded[:, counted].astype(int) @ incidence


def bond_angles(
    positions: np.ndarray, centre: np.ndarray, other: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Central atom and angle in degrees of every two bonds that share a centre, both [m].

    positions [n, 3] in A; bonds centre -> other [n_bonds], each once.
    """
    order = np.argsort(centre, kind="stable")
    other = other[order]
    centres, first, degree = np.unique(centre[order], return_index=True, return_counts=True)
    middle, angles = [np.empty(0, dtype=int)], [np.empty(0)]
    for d in np.unique(degree[degree > 1]):
        one, two = np.triu_indices(d, 1)
        start = first[degree == d][:, None]
        atom = np.repeat(centres[degree == d], len(one))
        arms = [positions[other[(start + k).ravel()]] - positions[atom] for k in (one, two)]
        middle.append(atom)
        angles.append(get_angles(*arms))
    return np.concatenate(middle), np.concatenate(angles)


def angle_moments(angles: np.ndarray, split: bool) -> dict[str, tuple[float, float]]:
    """Mean and standard deviation of angles in degrees, under '' or by part; empty without any.

    split: octahedral centres, whose neighbours ('adjacent', 90) and opposites ('opposite', 180)
    are told apart at OPPOSITE; a mean of both would be an angle that does not occur.
    """
    parts = {"": angles}
    if split:
        parts = {"adjacent": angles[angles < OPPOSITE], "opposite": angles[angles >= OPPOSITE]}
    return {name: (float(a.mean()), float(a.std())) for name, a in parts.items() if len(a)}

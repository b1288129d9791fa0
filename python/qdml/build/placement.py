# SPDX-License-Identifier: MIT
"""Turn chosen sites into ligand atoms: bridging, terminal and chelating geometries."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from qdml.build.capping import Placement
from qdml.build.core import Core
from qdml.build.ligands import bond_length

# A donor that bridges cations farther apart than its bonds reach stays at least this fraction of
# their half distance above the line between them (M-X-M at most 142 deg), its bonds stretched.
MIN_BRIDGE_HEIGHT = 0.35
# Tilt of a terminal ligand away from the other ligands of a shared site (tangent of the angle).
SHARED_SITE_TILT = 0.6
# Orientations tried for the rotation of a ligand about its own axis.
N_ROTATIONS = 12


@dataclass
class LigandShell:
    """All ligand atoms with what the steric relaxation needs; positions [n, 3] in Å."""

    symbols: list[str] = field(default_factory=list)
    positions: np.ndarray = field(default_factory=lambda: np.zeros((0, 3)))
    ligand_index: list[int] = field(default_factory=list)  # ligand each atom belongs to
    donor_bonds: list[tuple[int, int, float]] = field(default_factory=list)  # atom, cation, Å


def place_ligands(core: Core, placements: list[Placement], cations: tuple[str, ...]) -> LigandShell:
    """Place every ligand rigidly at its site, one after the other.

    `cations` are the symbols of `core.cations`. Each ligand is turned about its axis to stay
    farthest from the atoms placed before it.
    """
    shell = LigandShell()
    core_atoms = core.positions
    for index, placement in enumerate(placements):
        ligand = placement.ligand
        # The longest of the bonds; the relaxation sets each one.
        length = max(bond_length(cations[c], ligand.donor) for c in placement.cations)
        partners = _donor_partners(core, placement)
        origin, frame = _local_frame(core, placement, length)
        local = np.asarray(ligand.positions)
        is_fixed = ligand.n_donors == 2 and len(placement.cations) > 1
        angles = (
            [0.0]
            if is_fixed or len(local) == 1
            else np.arange(N_ROTATIONS) * (2 * math.pi / N_ROTATIONS)
        )
        others = np.concatenate([core_atoms, shell.positions])
        candidates = [origin + _rotate_z(local, t) @ frame for t in angles]
        best = max(candidates, key=lambda p: _closest(p, others))
        first = len(shell.symbols)
        shell.symbols += ligand.symbols
        shell.positions = np.concatenate([shell.positions, best])
        shell.ligand_index += [index] * len(local)
        # The placed length, not the table's: wide bridges are stretched on purpose.
        shell.donor_bonds += [
            (first + donor, c, _closest(best[donor : donor + 1], core.cations[c : c + 1]))
            for donor, c in partners
        ]
    return shell


def _donor_partners(core: Core, placement: Placement) -> list[tuple[int, int]]:
    """(donor atom of the ligand, cation) pairs that are bonds."""
    cations = placement.cations
    if placement.ligand.n_donors == 1:
        return [(0, c) for c in cations]
    if len(cations) == 1:  # chelate: both donors on one cation
        return [(0, cations[0]), (1, cations[0])]
    return [(0, cations[0]), (1, cations[1])]


def _local_frame(core: Core, placement: Placement, length: float) -> tuple[np.ndarray, np.ndarray]:
    """Origin [3] and rows (x, y, z) [3, 3] of the ligand's frame in the dot, Å."""
    site = core.sites[placement.site]
    ligand = placement.ligand
    bound = list(placement.cations)
    middle = core.cations[bound].mean(axis=0)
    if len(bound) > 3:  # an anion site of rock salt with its cations in one plane or around it
        z = _unit(site.position)
        x = _unit(np.cross(z, [0.0, 0.0, 1.0] if abs(z[2]) < 0.9 else [1.0, 0.0, 0.0]))
        return site.position, np.array([x, np.cross(z, x), z])
    z = _unit(site.position - middle)
    reach = float(np.linalg.norm(core.cations[bound] - middle, axis=1).mean())
    if len(bound) == 1:
        if placement.is_shared_site:
            away = middle - core.cations[list(site.cations)].mean(axis=0)
            z = _unit(z + SHARED_SITE_TILT * _unit(away))
        height = math.sqrt(length**2 - ligand.half_bite**2)
        x = np.cross(z, [0.0, 0.0, 1.0] if abs(z[2]) < 0.9 else [1.0, 0.0, 0.0])
    else:
        span = reach - ligand.half_bite
        height = math.sqrt(max(length**2 - span**2, (MIN_BRIDGE_HEIGHT * reach) ** 2))
        x = core.cations[bound[0]] - core.cations[bound[1]]
    x = _unit(x - (x @ z) * z)
    return middle + height * z, np.array([x, np.cross(z, x), z])


def _unit(vector: np.ndarray) -> np.ndarray:
    """Vector of length one; a zero vector stays zero."""
    norm = np.linalg.norm(vector)
    return vector / norm if norm > 0 else vector


def _rotate_z(positions: np.ndarray, angle: float) -> np.ndarray:
    """Rotate rows [n, 3] about z by `angle` (radians)."""
    c, s = math.cos(angle), math.sin(angle)
    return positions @ np.array([[c, s, 0.0], [-s, c, 0.0], [0.0, 0.0, 1.0]])


def _closest(positions: np.ndarray, others: np.ndarray) -> float:
    """Smallest distance between two sets of positions, Å."""
    return float(np.linalg.norm(positions[:, None] - others[None], axis=-1).min())

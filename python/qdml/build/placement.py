# SPDX-License-Identifier: MIT
"""Turn chosen sites into ligand atoms: bridging, terminal, chelating and tilted geometries."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from scipy.spatial import cKDTree

from qdml.build.capping import Placement
from qdml.build.core import Core
from qdml.build.distances import contact_table
from qdml.build.ligands import Ligand, bond_length

# A donor that bridges cations farther apart than its bonds reach stays at least this fraction of
# their half distance above the line between them (M-X-M at most 142 deg), its bonds stretched.
MIN_BRIDGE_HEIGHT = 0.35
# Tilt of a ligand on one cation away from the other cations of its site (tangent of the angle).
SHARED_SITE_TILT = 0.6
# Orientations tried for the rotation of a ligand about its own axis.
N_ROTATIONS = 12
# Larger ligands are placed by overlap with conformers, turns and tilts towards the outside.
SMALL_LIGAND = 8
N_ROTATIONS_LARGE = 8
TILTS = (0.0, 1.0, 2.5)  # weight of the radial direction against the direction of the bond


@dataclass
class LigandShell:
    """All ligand atoms with what the steric relaxation needs; positions [n, 3] in Å."""

    symbols: list[str] = field(default_factory=list)
    positions: np.ndarray = field(default_factory=lambda: np.zeros((0, 3)))
    ligand_index: list[int] = field(default_factory=list)  # ligand each atom belongs to
    donor_bonds: list[tuple[int, int, float]] = field(default_factory=list)  # atom, cation, Å
    ligands: list[Ligand] = field(default_factory=list)  # per ligand_index


def place_ligands(
    core: Core,
    placements: list[Placement],
    cations: tuple[str, ...],
    core_symbols: list[str],
    obstacles: np.ndarray | None = None,
) -> LigandShell:
    """Place every ligand at its site, one after the other.

    `cations` are the symbols of `core.cations`, `core_symbols` those of `obstacles` [n, 3] Å (by
    default `core.positions`). A small ligand is turned about its axis to stay farthest from the
    atoms placed before it; a large one takes the conformer, turn and tilt with the least overlap.
    """
    shell = LigandShell()
    core_atoms = core.positions if obstacles is None else obstacles
    for index, placement in enumerate(placements):
        ligand = placement.ligand
        partners, targets = _donor_bonds(core, placement, cations)
        others = np.concatenate([core_atoms, shell.positions])
        candidates = _candidates(core, placement, cations)
        if len(candidates) == 1:
            best = candidates[0]
        elif len(ligand.symbols) <= SMALL_LIGAND:
            best = max(candidates, key=lambda p: _closest(p, others))
        else:
            best = _least_overlap(candidates, ligand.symbols, others, core_symbols + shell.symbols)
        first = len(shell.symbols)
        shell.symbols += ligand.symbols
        shell.positions = np.concatenate([shell.positions, best])
        shell.ligand_index += [index] * len(best)
        shell.ligands.append(ligand)
        # The placed length, not the table's, unless given: wide bridges are stretched on purpose.
        shell.donor_bonds += [
            (
                first + donor,
                c,
                target or _closest(best[donor : donor + 1], core.cations[c : c + 1]),
            )
            for (donor, c), target in zip(partners, targets, strict=True)
        ]
    return shell


def _donor_bonds(
    core: Core, placement: Placement, symbols: tuple[str, ...]
) -> tuple[list[tuple[int, int]], list[float | None]]:
    """(donor atom of the ligand, cation) pairs that are bonds, and their lengths where fixed."""
    cations, ligand = placement.cations, placement.ligand
    if placement.a_site is not None:  # held at the distances of the Cs site, by its own cations
        distance = np.linalg.norm(core.cations - core.ligand_a_sites[placement.a_site], axis=1)
        near = np.flatnonzero(distance < 1.1 * distance.min())
        return [(0, int(c)) for c in near], [float(distance[c]) for c in near]
    if ligand.n_donors == 1:
        return [(0, c) for c in cations], [None] * len(cations)
    if len(cations) == 1:  # chelate: both donors on one cation
        return [(0, cations[0]), (1, cations[0])], [None, None]
    pairs = [(0, cations[0]), (1, cations[1])]
    if ligand.mode != "tilted":
        return pairs, [None, None]
    # The second donor stays on the second cation and closes a ring with the first donor.
    pairs.append((0, cations[1]))
    return pairs, [bond_length(symbols[c], ligand.donor) for _, c in pairs]


def _candidates(core: Core, placement: Placement, cations: tuple[str, ...]) -> list[np.ndarray]:
    """Positions [n_atoms, 3] of the ligand's orientations that are tried."""
    ligand = placement.ligand
    is_bridge = ligand.n_donors == 2 and len(placement.cations) > 1
    if len(ligand.symbols) <= SMALL_LIGAND:
        origin, frame = _local_frame(core, placement, cations, 0.0)
        local = np.asarray(ligand.positions)
        n_turns = 1 if is_bridge or len(local) == 1 else N_ROTATIONS
        angles = np.arange(n_turns) * (2 * math.pi / N_ROTATIONS)
        return [origin + _rotate_z(local, t) @ frame for t in angles]
    result = []
    fixed = _on_axis(ligand) if is_bridge else np.zeros(len(ligand.symbols), dtype=bool)
    n_turns = N_ROTATIONS_LARGE if not is_bridge or fixed.sum() > ligand.n_donors else 2
    for tilt in TILTS:
        origin, frame = _local_frame(core, placement, cations, tilt)
        for shape in (ligand.positions, *ligand.conformers):
            local = np.asarray(shape)
            for turn in range(n_turns):
                turned = _rotate_z(local, 2 * math.pi * turn / n_turns)
                if n_turns > 2:
                    turned[fixed] = local[fixed]
                result.append(origin + turned @ frame)
    return result


def _on_axis(ligand: Ligand) -> np.ndarray:
    """Mask of the donors and the atoms that a turn of the chain about z does not move."""
    local = np.asarray(ligand.positions)
    mask = np.linalg.norm(local[:, :2], axis=1) < 1e-6
    if mask.any():
        mask[: ligand.n_donors] = True
    return mask


def _least_overlap(
    candidates: list[np.ndarray],
    symbols: tuple[str, ...],
    others: np.ndarray,
    other_symbols: list[str],
) -> np.ndarray:
    """The candidate with the smallest sum of squared overlaps of contact distances, Å²."""
    names = list(dict.fromkeys([*symbols, *other_symbols]))
    table = contact_table(names)
    own = np.array([names.index(s) for s in symbols])
    # Only what the ligand can touch enters the tree; the dot may be large.
    stack = np.stack(candidates)
    flat = stack.reshape(-1, 3)
    reach = table.max()
    near = ((others > flat.min(axis=0) - reach) & (others < flat.max(axis=0) + reach)).all(axis=1)
    rows = np.flatnonzero(near)
    if len(rows) == 0:
        return candidates[0]
    kinds = np.array([names.index(other_symbols[k]) for k in rows])
    distance, nearest = cKDTree(others[rows]).query(flat, distance_upper_bound=reach)
    found = np.isfinite(distance)
    limit = np.zeros(len(flat))
    limit[found] = table[np.tile(own, len(candidates))[found], kinds[nearest[found]]]
    overlap = np.maximum(0.0, limit - np.where(found, distance, np.inf)) ** 2
    # Equal overlaps: the ligand that reaches farthest out, so that tails do not lie down.
    reach_out = np.linalg.norm(stack, axis=-1).max(axis=1)
    score = overlap.reshape(len(candidates), -1).sum(axis=1) - 0.01 * reach_out
    return candidates[int(np.argmin(score))]


def _local_frame(
    core: Core, placement: Placement, cations: tuple[str, ...], tilt: float
) -> tuple[np.ndarray, np.ndarray]:
    """Origin [3] and rows (x, y, z) [3, 3] of the ligand's frame in the dot, Å.

    `tilt` is the weight of the radial direction in the ligand's axis.
    """
    ligand = placement.ligand
    if placement.a_site is not None:
        origin = core.ligand_a_sites[placement.a_site]
        z = _unit(origin)
        return origin, _frame(_across(z), z)
    # The longest of the bonds; the relaxation sets each one.
    length = max(bond_length(cations[c], ligand.donor) for c in placement.cations)
    site = core.sites[placement.site]
    bound = list(placement.cations)
    middle = core.cations[bound].mean(axis=0)
    if len(bound) > 3:  # an anion site of rock salt with its cations in one plane or around it
        z = _unit(site.position)
        return site.position, _frame(_across(z), z)
    z = _unit(site.position - middle)
    reach = float(np.linalg.norm(core.cations[bound] - middle, axis=1).mean())
    if len(bound) == 1:
        if placement.is_shared_site or ligand.mode == "chelating":
            away = middle - core.cations[list(site.cations)].mean(axis=0)
            z = _unit(z + SHARED_SITE_TILT * _unit(away))
        height = math.sqrt(length**2 - ligand.half_bite**2)
        x = _across(z)
    else:
        span = reach - ligand.half_bite
        height = math.sqrt(max(length**2 - span**2, (MIN_BRIDGE_HEIGHT * reach) ** 2))
        x = core.cations[bound[0]] - core.cations[bound[1]]
    x = _unit(x - (x @ z) * z)
    origin = middle + height * z
    if tilt:
        z = z + tilt * _unit(origin)
        z = _unit(z - (z @ x) * x) if len(bound) > 1 else _unit(z)
        x = _unit(x - (x @ z) * z)
    return origin, np.array([x, np.cross(z, x), z])


def _across(z: np.ndarray) -> np.ndarray:
    """Some vector [3] that is not parallel to `z`, perpendicular to it."""
    return np.cross(z, [0.0, 0.0, 1.0] if abs(z[2]) < 0.9 else [1.0, 0.0, 0.0])


def _frame(x: np.ndarray, z: np.ndarray) -> np.ndarray:
    x = _unit(x)
    return np.array([x, np.cross(z, x), z])


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

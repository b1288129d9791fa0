"""What a frame is before it is labelled: its identity, its charge and spin, its periodic box."""
# SPDX-License-Identifier: MIT

from __future__ import annotations

import hashlib
import itertools

import numpy as np
from ase import Atoms

from qdml.errors import DataError

MIN_VACUUM = 8.0
"""Least distance in A between periodic images of a molecule, dot or slab."""

MIN_EDGE = 9.0
"""Least edge in A of an automatic box: a lone atom needs more room than `MIN_VACUUM`."""

EDGE_STEP = 0.5
"""Automatic box edges are multiples of this (A), so that rattled copies share one box and one
grid, and can start from each other's wavefunctions."""


def frame_key(atoms: Atoms) -> str:
    """The letter k and 15 hexadecimal digits that identify the physics of a frame.

    Hash of atomic numbers, positions and cell (in units of 1e-8 A, what extxyz keeps), pbc, charge,
    multiplicity and k-points; names, labels and other info do not enter.
    """
    charge, multiplicity = charge_and_multiplicity(atoms)
    digest = hashlib.sha256()
    digest.update(np.asarray(atoms.numbers, dtype="<i8").tobytes())
    for values in (atoms.positions, atoms.cell.array):
        # whole units of 1e-8 A: a frame in memory and the same frame read from a file hash alike
        digest.update(np.rint(np.asarray(values, dtype=float) * 1e8).astype("<i8").tobytes())
    digest.update(np.asarray(atoms.pbc, dtype="u1").tobytes())
    digest.update(f"{charge} {multiplicity}".encode())
    if kpoint_mesh(atoms) != (1, 1, 1):
        digest.update(repr(kpoint_mesh(atoms)).encode())
    # the letter keeps readers of extxyz from taking digits like 123e45 for a number
    return "k" + digest.hexdigest()[:15]


def charge_and_multiplicity(atoms: Atoms) -> tuple[int, int | None]:
    """Total charge (info `charge`, default 0) and spin multiplicity (info `multiplicity`)."""
    charge = int(atoms.info.get("charge", 0))
    multiplicity = atoms.info.get("multiplicity")
    return charge, None if multiplicity is None else int(multiplicity)


def kpoint_mesh(atoms: Atoms, name: str = "frame") -> tuple[int, int, int]:
    """The k-point mesh of a small bulk cell (info `kpoints`, three numbers; default Gamma)."""
    mesh = tuple(int(n) for n in np.atleast_1d(atoms.info.get("kpoints", (1, 1, 1))))
    if len(mesh) != 3 or min(mesh) < 1:
        raise DataError(f"{name}: info['kpoints'] is {mesh}; expected three numbers above 0")
    if any(n > 1 and not periodic for n, periodic in zip(mesh, atoms.pbc, strict=True)):
        raise DataError(f"{name}: k-points {mesh} along a direction that is not periodic")
    return mesh


SAMPLED_LENGTH = 17.5
"""Least length (A) of cell vector times k-points along a periodic direction, for semiconductors
with a gap of an electronvolt or so. CdSe with 2, 3 and 4 points along 6.2 A: 20, 2 and 0 meV/atom
above the converged energy, forces off by 12, 1.6 and 0 meV/A; InP 57, 6 and 0 meV/atom, 33, 5 and
0 meV/A. PbSe, with a small gap, needs 30 A: 2, 4 and 5 points are off by 225, 4 and 0.1 meV/atom,
215, 15 and 6 meV/A. Points are cheap in CP2K: 112 of them cost twice as much as 4."""


def suitable_mesh(atoms: Atoms, length: float = SAMPLED_LENGTH) -> list[int]:
    """The coarsest mesh that spans `length` (A) in every periodic direction, 1 elsewhere.

    Lengths are distances between lattice planes, so that oblique cells count as they should.
    """
    mesh = [1, 1, 1]
    reciprocal = np.linalg.pinv(atoms.cell.array)
    for axis in range(3):
        if atoms.pbc[axis]:
            height = 1.0 / np.linalg.norm(reciprocal[:, axis])
            mesh[axis] = max(1, int(np.ceil(length / height - 1e-9)))
    return mesh


def is_undersampled(atoms: Atoms) -> bool:
    """Whether the frame asks for fewer k-points than `suitable_mesh` somewhere."""
    return any(n < m for n, m in zip(kpoint_mesh(atoms), suitable_mesh(atoms), strict=True))


def check_spin(n_electrons: int, multiplicity: int | None, name: str) -> int:
    """The multiplicity to use: 1 by default, refused where the electron count forbids it."""
    if multiplicity is None:
        if n_electrons % 2:
            raise DataError(
                f"{name}: {n_electrons} valence electrons need a spin multiplicity; "
                "set info['multiplicity'] (2 for one unpaired electron) or info['charge']"
            )
        return 1
    if multiplicity < 1 or (n_electrons - multiplicity + 1) % 2 or multiplicity > n_electrons + 1:
        raise DataError(
            f"{name}: multiplicity {multiplicity} is impossible with {n_electrons} "
            "valence electrons"
        )
    return multiplicity


def boxed(atoms: Atoms, name: str = "frame", vacuum: float = MIN_VACUUM) -> Atoms:
    """Copy of a frame in the box of the periodic calculation, pbc True in all directions.

    Directions with pbc False are vacuum directions. When none of them has a cell vector, the
    smallest box of `automatic_cell` is made; a given box is kept, or refused (DataError) when it
    leaves less than `vacuum` A between an atom and the images across the vacuum. Positions are not
    moved. info `vacuum_axes` names the vacuum directions ('xyz' for a dot, 'z' for a slab, '-' for
    bulk).
    """
    frame = atoms.copy()
    open_axes = [axis for axis in range(3) if not atoms.pbc[axis]]
    lengths = np.linalg.norm(frame.cell.array, axis=1)
    for axis in range(3):
        if atoms.pbc[axis] and lengths[axis] < 1e-6:
            raise DataError(f"{name}: periodic along {'xyz'[axis]} but that cell vector is zero")
    missing = [axis for axis in open_axes if lengths[axis] < 1e-6]
    if missing and missing != open_axes:
        raise DataError(
            f"{name}: cell vector {'xyz'[missing[0]]} is zero but another vacuum direction has "
            "one; give all of them or none"
        )
    if missing:
        frame.set_cell(automatic_cell(frame, open_axes, vacuum))
    if abs(np.linalg.det(frame.cell.array)) < 1e-6:
        raise DataError(f"{name}: the cell vectors do not span a volume")
    distance = image_distance(frame.positions, frame.cell.array, open_axes)
    if distance < vacuum - 1e-6:
        raise DataError(
            f"{name}: {distance:.2f} A between an atom and a periodic image, at least {vacuum:g} A "
            "needed; enlarge the cell or remove it (a box is then made)"
        )
    frame.pbc = True
    frame.info["vacuum_axes"] = "".join("xyz"[axis] for axis in open_axes) or "-"
    return frame


def image_distance(positions: np.ndarray, cell: np.ndarray, open_axes: list[int]) -> float:
    """Least distance in A between positions [n, 3] and their images across vacuum directions."""
    shifts = [
        np.array(shift)
        for shift in itertools.product((-1, 0, 1), repeat=3)
        if any(shift[axis] for axis in open_axes)
    ]
    if not shifts:
        return float("inf")
    # half of the shifts: the other half are the same distances with the partners exchanged
    vectors = np.array([s for s in shifts if tuple(s) > (0, 0, 0)]) @ cell
    difference = positions[:, None, None] + vectors - positions[:, None]
    return float(np.sqrt((difference**2).sum(axis=-1).min()))


# Primitive vectors, in units of the edges of an orthorhombic box: the box itself and its body- and
# face-centred relatives. Vacuum is the cost of a dot's calculation, and round things pack better on
# the centred lattices: up to half the volume at the same distance between images.
LATTICES = (
    np.eye(3),
    np.array([[-0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0.5, 0.5, -0.5]]),
    np.array([[0.0, 0.5, 0.5], [0.5, 0.0, 0.5], [0.5, 0.5, 0.0]]),
)

OBLIQUE_COST = 1.6
"""Time per grid point on an oblique cell over a right-angled one: measured on HCOOH, 1.4 s per SCF
step for 730 A^3 against 1.1 s for 924 A^3."""


def automatic_cell(atoms: Atoms, open_axes: list[int], vacuum: float) -> np.ndarray:
    """Cell [3, 3] in A with at least `vacuum` A between images in the open directions.

    A slab or wire (some directions periodic) gets vectors along the axes; a cluster the cheapest
    of the orthorhombic, body-centred and face-centred boxes. Edges are multiples of `EDGE_STEP`.
    """
    extent = np.ptp(atoms.positions, axis=0)
    if len(open_axes) < 3:
        cell = atoms.cell.array.copy()
        for axis in open_axes:
            cell[axis] = 0.0
            cell[axis, axis] = np.ceil((extent[axis] + vacuum) / EDGE_STEP - 1e-9) * EDGE_STEP
        return cell
    smallest = np.maximum(extent + vacuum, MIN_EDGE)
    found = []
    for index, lattice in enumerate(LATTICES):
        for scale in np.arange(1.0, 2.5, 0.02):
            edges = np.ceil(smallest * scale / EDGE_STEP - 1e-9) * EDGE_STEP
            cell = lattice * edges
            if image_distance(atoms.positions, cell, open_axes) >= vacuum:
                found.append((index, cell))
                break
    # CP2K's grid loops are slower on a cell without right angles
    costs = [abs(np.linalg.det(c)) * (1.0 if i == 0 else OBLIQUE_COST) for i, c in found]
    return found[int(np.argmin(costs))][1]

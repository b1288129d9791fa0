# SPDX-License-Identifier: MIT
"""Elastic constants and zone-centre modes on labelled cells: DFT and a potential on the same ones.

Both come from few cells of the perfect crystal: strained, atoms moving along with the cell ("ions
clamped"), and with whole sublattices shifted along an axis. `potentials/common/
make_static_frames.py` makes such cells.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from ase import Atoms, units
from ase.units import GPa

from qdml.validate.phonons import build_phonopy
from qdml.validate.reference import VolumeCurve, vacuum_axes

LARGEST_STRAIN = 0.03
LARGEST_SHIFT = 0.1  # A
ROUNDING = 1.0e-4
"""Of strains and scaled coordinates: what a file of positions keeps of them, with room."""

SAME_VOLUME = 0.05
"""Relative: cells of the modes have about the volume of the crystal at rest."""


@dataclass(frozen=True)
class StaticCells:
    """Cells of a crystal in two sets, with what was done to each.

    strained: frames with stress; strains [n, 6], Voigt order xx yy zz yz xz xy with engineering
    shears, from the crystal at rest. shifted: frames with forces; shifts [n, sublattices, 3] in A.
    members: atoms of each sublattice.
    """

    strained: list[Atoms]
    strains: np.ndarray
    shifted: list[Atoms]
    shifts: np.ndarray
    members: list[np.ndarray]

    def elastic(self, stresses: np.ndarray) -> dict[str, float] | None:
        """C11, C12, C44 in GPa of a cubic crystal, ions clamped, from stresses [n, 6] in eV/A^3.

        Least squares of stress = C strain + one pressure; None where the strains do not tell them
        apart.
        """
        if not len(self.strains):
            return None
        axial, shear = self.strains[:, :3], self.strains[:, 3:]
        others = axial.sum(axis=1, keepdims=True) - axial
        zero = np.zeros_like(axial)
        normal = np.stack([axial, others, zero, np.ones_like(axial)], axis=-1)
        sheared = np.stack([zero, zero, shear, zero], axis=-1)
        design = np.concatenate([normal, sheared], axis=1).reshape(-1, 4)
        if np.linalg.matrix_rank(design, tol=ROUNDING) < 4:
            return None
        found = np.linalg.lstsq(design, stresses.ravel(), rcond=None)[0] / GPa
        return dict(zip(("C11", "C12", "C44"), map(float, found), strict=False))

    def modes(self, forces: Sequence[np.ndarray]) -> np.ndarray | None:
        """Optic modes at the zone centre, cm-1, rising, imaginary ones negative.

        forces: [atoms, 3] in eV/A per shifted frame. Springs between every two sublattices, one per
        pair, are fitted to the force on each sublattice along the axis of the shifts, so that the
        sum rules hold; a cubic crystal has the same modes along each axis. The cell is periodic:
        no macroscopic field, hence TO. None where the shifts do not tell the springs apart.
        """
        n = len(self.members)
        pairs = list(itertools.combinations(range(n), 2))
        design, values = [], []
        for shift, force in zip(self.shifts, forces, strict=True):
            axis = int(np.abs(shift).max(axis=0).argmax())
            for s, atoms in enumerate(self.members):
                row = np.zeros(len(pairs))
                for k, (a, b) in enumerate(pairs):
                    if s in (a, b):
                        row[k] = shift[b if s == a else a, axis] - shift[s, axis]
                design.append(row)
                values.append(force[atoms, axis].mean())
        if not design or np.linalg.matrix_rank(np.array(design), tol=1.0e-3) < len(pairs):
            return None
        springs = np.linalg.lstsq(np.array(design), np.array(values), rcond=None)[0]
        hessian = np.zeros((n, n))
        for k, (a, b) in zip(springs, pairs, strict=True):
            hessian[[a, b], [a, b]] += k
            hessian[[a, b], [b, a]] -= k
        masses = np.array([self.shifted[0].get_masses()[atoms[0]] for atoms in self.members])
        squares = np.linalg.eigvalsh(hessian / np.sqrt(np.outer(masses, masses)))
        optic = np.delete(squares, np.abs(squares).argmin())  # without the uniform translation
        quantum = units._hbar * 1.0e10 / np.sqrt(units._e * units._amu) / units.invcm
        return np.sort(np.sign(optic) * np.sqrt(np.abs(optic)) * quantum)


def find_static_cells(frames: Sequence[Atoms], curve: VolumeCurve) -> StaticCells:
    """The strained and the shifted cells among frames, told by their geometry.

    The crystal at rest is that of the equation of state `curve`. ConfigError without phonopy.
    """
    crystal = curve.frames[0].copy()
    scale = (curve.equation.volume * len(crystal) / crystal.get_volume()) ** (1 / 3)
    crystal.set_cell(crystal.cell.array * scale, scale_atoms=True)
    members = sublattices(crystal)
    owner = _owner(members)
    strained, strains, shifted, shifts = [], [], [], []
    for frame in frames:
        if frame.calc is None or vacuum_axes(frame) or len(frame) != len(crystal):
            continue
        if (frame.numbers != crystal.numbers).any():
            continue
        deformation = np.linalg.solve(crystal.cell.array, frame.cell.array) - np.eye(3)
        moved = frame.get_scaled_positions(wrap=False) - crystal.get_scaled_positions(wrap=False)
        moved -= np.round(moved)
        means = np.array([moved[atoms].mean(axis=0) for atoms in members])
        if np.abs(moved - means[owner]).max() > ROUNDING:  # atoms of one sublattice moved apart
            continue
        shift = means @ frame.cell.array
        shift -= np.median(shift, axis=0)
        at_rest = np.abs(shift).max() < ROUNDING * frame.cell.lengths().max()
        if at_rest and _is_strain(deformation) and "stress" in frame.calc.results:
            strained.append(frame)
            strains.append(_voigt(deformation))
        elif not at_rest and _is_shift(shift) and _is_at_volume(deformation):
            shifted.append(frame)
            shifts.append(shift)
    return StaticCells(
        strained,
        np.array(strains).reshape(-1, 6),
        shifted,
        np.array(shifts).reshape(-1, len(members), 3),
        members,
    )


def sublattices(crystal: Atoms) -> list[np.ndarray]:
    """Atoms of each sublattice: those that a translation of the crystal takes into each other."""
    index = np.asarray(build_phonopy(crystal, np.eye(3, dtype=int)).primitive.s2p_map)
    return [np.flatnonzero(index == number) for number in np.unique(index)]


def _owner(members: list[np.ndarray]) -> np.ndarray:
    """Sublattice of each atom."""
    owner = np.empty(sum(map(len, members)), int)
    for number, atoms in enumerate(members):
        owner[atoms] = number
    return owner


def _voigt(deformation: np.ndarray) -> np.ndarray:
    """Voigt components [6] of a small deformation [3, 3], shears doubled."""
    e = 0.5 * (deformation + deformation.T)
    return np.array([e[0, 0], e[1, 1], e[2, 2], 2 * e[1, 2], 2 * e[0, 2], 2 * e[0, 1]])


def _is_strain(deformation: np.ndarray) -> bool:
    """Small and not a change of scale alone, which an equation of state is made of."""
    return bool(np.abs(deformation).max() < LARGEST_STRAIN) and not _is_scale(deformation)


def _is_scale(deformation: np.ndarray) -> bool:
    isotropic = np.eye(3) * np.trace(deformation) / 3
    return bool(np.abs(deformation - isotropic).max() < ROUNDING)


def _is_at_volume(deformation: np.ndarray) -> bool:
    """A change of scale alone, and a small one."""
    return _is_scale(deformation) and bool(abs(np.trace(deformation)) < SAME_VOLUME)


def _is_shift(shift: np.ndarray) -> bool:
    """Small and along one axis."""
    along = np.sort(np.abs(shift).max(axis=0))
    return bool(along[-1] < LARGEST_SHIFT and along[1] < 0.01 * along[-1])

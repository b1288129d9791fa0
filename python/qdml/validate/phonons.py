# SPDX-License-Identifier: MIT
"""Phonons of a crystal by finite displacements (phonopy): zone-centre modes, bands, density."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator

from qdml.errors import ConfigError

DISPLACEMENT = 0.02
"""A."""

SUPERCELL_LENGTH = 12.0
"""A: least length of the supercell along each axis; no shorter than two cutoffs of most models."""

THZ_TO_WAVENUMBER = 33.35641
"""cm-1 per THz."""

STABLE = -3.0
"""cm-1: imaginary modes smaller than this are rounding at the zone centre."""


@dataclass(frozen=True)
class Phonons:
    """Wavenumbers in cm-1 (imaginary ones negative).

    zone_centre [3n]; bands: list of (distances [n_q], wavenumbers [n_q, 3n]) per segment; labels:
    (distance, name) of the special points; density: (wavenumbers, states per cm-1).
    """

    zone_centre: np.ndarray
    bands: list[tuple[np.ndarray, np.ndarray]]
    labels: list[tuple[float, str]]
    density: tuple[np.ndarray, np.ndarray]

    @property
    def optic(self) -> np.ndarray:
        """Zone-centre modes without the three acoustic ones, rising."""
        acoustic = np.argsort(np.abs(self.zone_centre))[:3]
        return np.sort(np.delete(self.zone_centre, acoustic))

    @property
    def softest(self) -> float:
        """Lowest wavenumber on the bands; below `STABLE` the crystal is not a minimum."""
        return float(min(values.min() for _, values in self.bands))


def _phonopy() -> Any:
    try:
        import phonopy
    except ImportError:
        raise ConfigError("phonopy is not installed; `pip install 'qdml[validate]'`") from None
    return phonopy


def build_phonopy(cell: Atoms, supercell: np.ndarray) -> Any:
    """Phonopy of a cell and a supercell matrix [3, 3], with its primitive cell; or ConfigError."""
    phonopy = _phonopy()
    from phonopy.structure.atoms import PhonopyAtoms

    unit = PhonopyAtoms(
        symbols=cell.get_chemical_symbols(),
        cell=cell.cell.array,
        scaled_positions=cell.get_scaled_positions(),
    )
    with warnings.catch_warnings():  # phonopy announces that "auto" found a primitive cell
        warnings.simplefilter("ignore")
        return phonopy.Phonopy(unit, supercell, primitive_matrix="auto")


def find_phonons(cell: Atoms, calculator: Calculator) -> Phonons:
    """Phonons of a relaxed cell; ConfigError without phonopy.

    No non-analytical correction: a short-range potential has no LO-TO splitting at the zone centre.
    """
    repeats = np.ceil(SUPERCELL_LENGTH / cell.cell.lengths() - 1e-6).astype(int)
    phonon = build_phonopy(cell, np.diag(repeats))
    phonon.generate_displacements(distance=DISPLACEMENT)
    forces = []
    for displaced in phonon.supercells_with_displacements:
        frame = Atoms(
            displaced.symbols,
            scaled_positions=displaced.scaled_positions,
            cell=displaced.cell,
            pbc=True,
            calculator=calculator,
        )
        forces.append(frame.get_forces())
    phonon.forces = forces
    phonon.produce_force_constants()
    phonon.symmetrize_force_constants()
    phonon.run_qpoints([[0.0, 0.0, 0.0]])
    centre = np.sort(phonon.qpoints.frequencies[0]) * THZ_TO_WAVENUMBER
    bands, labels = _bands(phonon)
    phonon.run_mesh(mesh=[16, 16, 16], is_gamma_center=True)
    phonon.run_total_dos()
    return Phonons(
        centre,
        bands,
        labels,
        (
            phonon.total_dos.frequency_points * THZ_TO_WAVENUMBER,
            phonon.total_dos.dos / THZ_TO_WAVENUMBER,
        ),
    )


def _bands(phonon: Any) -> tuple[list[tuple[np.ndarray, np.ndarray]], list[tuple[float, str]]]:
    """Bands of the primitive cell along the path that ASE recommends for its lattice."""
    primitive = phonon.primitive
    path = Atoms(cell=primitive.cell, pbc=True).cell.bandpath(npoints=0)
    points, segments, names = path.special_points, [], []
    for part in path.path.split(","):
        stops = _stops(part)
        for start, end in pairwise(stops):
            segments.append(np.linspace(points[start], points[end], 31))
            names.append((start, end))
    phonon.run_band_structure(segments)
    found = phonon.band_structure
    bands = [
        (np.asarray(d), np.asarray(f) * THZ_TO_WAVENUMBER)
        for d, f in zip(found.distances, found.frequencies, strict=True)
    ]
    labels = [(float(bands[0][0][0]), names[0][0])]
    labels += [(float(d[-1]), end) for (d, _), (_, end) in zip(bands, names, strict=True)]
    return bands, labels


def _stops(part: str) -> list[str]:
    """Names of the special points of one part of an ASE path, e.g. 'GXW1' -> G, X, W1."""
    stops: list[str] = []
    for letter in part:
        if letter.isdigit():
            stops[-1] += letter
        else:
            stops.append(letter)
    return stops

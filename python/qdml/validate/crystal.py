# SPDX-License-Identifier: MIT
"""Crystals of a material: cells of its phases, equation of state, elastic constants."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.calculators.calculator import Calculator
from ase.filters import FrechetCellFilter
from ase.optimize import FIRE
from ase.units import GPa
from scipy.optimize import least_squares

from qdml.build.materials import MATERIALS
from qdml.errors import DataError

FORCE_TOLERANCE = 1.0e-3
"""eV/A: where relaxations end."""

STRAIN = 0.005
"""Strain (both signs) of the elastic constants."""


def phase_cell(material: str, phase: str) -> Atoms:
    """Unrelaxed cell of a phase: zincblende, wurtzite, rocksalt, cubic or tilted (perovskite)."""
    known = MATERIALS[material]
    a = known.lattice_pbe
    if phase in ("cubic", "tilted"):
        return perovskite_cell(
            known.a_site or "Cs", known.cation, known.anion, a, phase == "tilted"
        )
    if phase == "wurtzite":
        edge = (a if known.structure == "zincblende" else 1.1 * a) / np.sqrt(2.0)
        return bulk(material, "wurtzite", a=edge, c=edge * np.sqrt(8 / 3))
    factor = {("zincblende", "rocksalt"): 0.92, ("rocksalt", "zincblende"): 1.085}
    scale = factor.get((known.structure, phase), 1.0)
    return bulk(material, phase, a=scale * a, cubic=True)


def perovskite_cell(a_site: str, b_site: str, halide: str, a: float, tilted: bool = False) -> Atoms:
    """Cubic ABX3 (5 atoms), or sqrt(2) x sqrt(2) x 2 (20 atoms) with a-a-c+ tilts (Glazer 1972).

    a in A. Tilts turn the halides about each B by 0.12 rad, in antiphase about the two pseudocubic
    axes of the plane and in phase along c: the start of Pnma. Relax before use.
    """
    places = [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]]
    cubic = Atoms(
        [a_site, b_site] + [halide] * 3, scaled_positions=places, cell=[a, a, a], pbc=True
    )
    if not tilted:
        return cubic
    atoms = Atoms(cell=[[a, a, 0], [-a, a, 0], [0, 0, 2 * a]], pbc=True)
    for x, y, z in ((0, 0, 0), (0, 1, 0), (0, 0, 1), (0, 1, 1)):
        part = cubic.copy()
        antiphase, in_phase = (-1) ** (x + y + z), (-1) ** (x + y)
        axis = 0.12 * np.array([antiphase, antiphase, 1.3 * in_phase])
        # a halide is shared by two B; both turn it the same way, so each cell moves its own three
        for index in range(2, 5):
            part.positions[index] += np.cross(axis, part.positions[index] - a / 2)
        part.positions += np.array([x, y, z]) * a
        atoms += part
    atoms.wrap()
    return atoms


def relaxed(atoms: Atoms, calculator: Calculator, cell: bool = True, steps: int = 500) -> Atoms:
    """Copy at its energy minimum, with the cell or at fixed cell; keeps the calculator."""
    frame = atoms.copy()
    frame.calc = calculator
    FIRE(FrechetCellFilter(frame) if cell else frame, logfile=None).run(FORCE_TOLERANCE, steps)
    return frame


@dataclass(frozen=True)
class EquationOfState:
    """Third-order Birch-Murnaghan: volume per atom at zero pressure (A^3), moduli (eV/A^3, 1)."""

    volume: float
    bulk_modulus: float
    derivative: float

    @property
    def bulk_modulus_gpa(self) -> float:
        """Bulk modulus in GPa."""
        return self.bulk_modulus / GPa

    def pressure(self, volume: np.ndarray) -> np.ndarray:
        """Pressure in eV/A^3 at volumes per atom in A^3 (Birch 1947)."""
        x = (self.volume / np.asarray(volume)) ** (1 / 3)
        bracket = 1 + 0.75 * (self.derivative - 4) * (x**2 - 1)
        return 1.5 * self.bulk_modulus * (x**7 - x**5) * bracket

    def energy(self, volume: np.ndarray) -> np.ndarray:
        """Energy above the minimum in eV/atom at volumes per atom in A^3 (Birch 1947)."""
        x = (self.volume / np.asarray(volume)) ** (2 / 3)
        bracket = (x - 1) ** 3 * self.derivative + (x - 1) ** 2 * (6 - 4 * x)
        return 9 / 16 * self.volume * self.bulk_modulus * bracket


def fit_pressures(volume: np.ndarray, pressure: np.ndarray) -> EquationOfState:
    """Equation of state from pressures (eV/A^3) at volumes per atom (A^3).

    Pressures, not energies: in a plane-wave grid they carry far less noise between cells. Raises
    DataError with fewer than four points or when zero pressure lies outside of them.
    """
    volume, pressure = np.asarray(volume, float), np.asarray(pressure, float)
    if len(volume) < 4:
        raise DataError(f"an equation of state needs 4 volumes, there are {len(volume)}")
    if pressure.min() > 0 or pressure.max() < 0:
        raise DataError(
            f"no volume between {volume.min():.2f} and {volume.max():.2f} A^3/atom has zero "
            "pressure: widen the range of volumes"
        )
    order = np.argsort(pressure)
    start = [float(np.interp(0.0, pressure[order], volume[order])), 0.3, 4.5]
    scale = np.abs(pressure).max()

    def residual(parameters: np.ndarray) -> np.ndarray:
        return (EquationOfState(*parameters).pressure(volume) - pressure) / scale

    return EquationOfState(*least_squares(residual, start).x)


def lattice_constant(volume_per_atom: float, atoms_per_cell: int) -> float:
    """Edge in A of a cubic cell."""
    return float((volume_per_atom * atoms_per_cell) ** (1 / 3))


def equation_of_state(
    cell: Atoms, calculator: Calculator, changes: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Volumes (A^3/atom), energies (eV/atom), pressures (eV/A^3) of a scaled cell."""
    rows = []
    for change in changes:
        frame = cell.copy()
        frame.set_cell(cell.cell.array * (1 + change) ** (1 / 3), scale_atoms=True)
        frame.calc = calculator
        n_atoms = len(frame)
        pressure = -frame.get_stress()[:3].mean()
        rows.append(
            (frame.get_volume() / n_atoms, frame.get_potential_energy() / n_atoms, pressure)
        )
    volume, energy, pressure = np.array(rows).T
    return volume, energy, pressure


def elastic_constants(cell: Atoms, calculator: Calculator) -> np.ndarray:
    """Elastic constants [6, 6] in GPa, Voigt order xx yy zz yz xz xy, ions relaxed.

    `cell` must be relaxed. Stress under strains of +-`STRAIN`, engineering shears; symmetrised.
    """
    constants = np.zeros((6, 6))
    pairs = [(0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1)]
    for column, (i, j) in enumerate(pairs):
        stresses = []
        for sign in (1.0, -1.0):
            strain = np.zeros((3, 3))
            strain[i, j] += 0.5 * sign * STRAIN
            strain[j, i] += 0.5 * sign * STRAIN
            frame = cell.copy()
            frame.set_cell(cell.cell.array @ (np.eye(3) + strain), scale_atoms=True)
            stresses.append(relaxed(frame, calculator, cell=False, steps=200).get_stress())
        constants[:, column] = (stresses[0] - stresses[1]) / (2 * STRAIN) / GPa
    return 0.5 * (constants + constants.T)


def cubic_averages(constants: np.ndarray) -> dict[str, float]:
    """C11, C12, C44 (GPa) of a nearly cubic tensor [6, 6]."""
    return {
        "C11": float(np.mean(np.diag(constants)[:3])),
        "C12": float(np.mean([constants[0, 1], constants[0, 2], constants[1, 2]])),
        "C44": float(np.mean(np.diag(constants)[3:])),
    }


def phase_energies(
    material: str, phases: tuple[str, ...], calculator: Calculator
) -> dict[str, tuple[float, Atoms]]:
    """Relaxed energy (eV/atom) and cell of each phase."""
    found = {}
    for phase in phases:
        frame = relaxed(phase_cell(material, phase), calculator)
        found[phase] = (frame.get_potential_energy() / len(frame), frame)
    return found

"""Small dots for labelling: chloride to formate exchange, the Cd10Se4Cl12 supertetrahedron."""
# SPDX-License-Identifier: MIT

from __future__ import annotations

import itertools

import numpy as np
from ase import Atoms
from ase.calculators.calculator import CalculationFailed
from ase.constraints import FixAtoms
from ase.neighborlist import neighbor_list

from qdml.build.charges import OXIDATION
from qdml.errors import LabelError, StructureError
from qdml.sample.cells import ZB_LATTICE_PBE
from qdml.sample.slabs import bridging_ligand

IN_FORMATE = {"H": 1, "O": -2, "C": 2}
"""Oxidation numbers in formate and formic acid, so that HCOO counts -1. Counted by element and not
by molecule (`build.reading.formal_charge`), since formate of a slab may lie across its cell."""

GFN1_TO_PBE = 1.035
"""PBE over GFN1-xTB bond length of Cd-Se in small dots (2.67/2.58 A)."""


def formal_charge(atoms: Atoms) -> int:
    """Sum of oxidation numbers; zero for a charge-balanced dot or slab."""
    numbers = OXIDATION | IN_FORMATE
    unknown = sorted(set(atoms.get_chemical_symbols()) - set(numbers))
    if unknown:
        raise StructureError(f"no oxidation number known for {', '.join(unknown)}")
    return sum(numbers[symbol] for symbol in atoms.get_chemical_symbols())


def exchange_chloride(dot: Atoms, ligand: str = "HCOO") -> Atoms:
    """Copy of a dot with every Cl that bridges two Cd replaced by a bridging formate (X for X)."""
    symbols = np.array(dot.get_chemical_symbols())
    center = dot.positions.mean(axis=0)
    result = dot[symbols != "Cl"]
    for index in np.flatnonzero(symbols == "Cl"):
        distances = np.linalg.norm(dot.positions - dot.positions[index], axis=1)
        metals = np.flatnonzero((symbols == "Cd") & (distances < 3.0))
        if len(metals) != 2:
            raise StructureError(
                f"Cl {index} has {len(metals)} Cd within 3 A; only bridging Cl can be exchanged"
            )
        first, second = dot.positions[metals]
        middle, along = 0.5 * (first + second), second - first
        length = float(np.linalg.norm(along))
        along = along / length
        up = dot.positions[index] - middle
        if up @ (middle - center) < 0:
            up = middle - center
        up -= (up @ along) * along
        up /= np.linalg.norm(up)
        result += Atoms(*bridging_ligand(ligand, middle, along, up, length))
    return result


def supertetrahedron(a: float = ZB_LATTICE_PBE, cd_cl: float = 2.55) -> Atoms:
    """Cd10Se4Cl12: the T3 supertetrahedron of zinc blende without its four corner anions.

    Ten Cd on an fcc tetrahedron, Se capping its four faces (three-coordinate), Cl bridging the
    twelve edges; cd_cl (A) is the Cd-Cl distance. Neutral: 10 x 2 - 4 x 2 - 12.
    """
    vectors = 0.5 * a * np.array([[0.0, 1.0, 1.0], [1.0, 0.0, 1.0], [1.0, 1.0, 0.0]])
    metals = np.array(
        [n @ vectors for n in map(np.array, itertools.product(range(3), repeat=3)) if n.sum() <= 2]
    )
    best = None
    for sign in (1.0, -1.0):
        bonds = sign * 0.25 * a * np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]])
        sites = np.unique(np.round((metals[:, None] + bonds).reshape(-1, 3), 4), axis=0)
        near = np.linalg.norm(sites[:, None] - metals, axis=-1) < 0.45 * a
        counts = near.sum(axis=1)
        if sorted(counts) == [1] * 4 + [2] * 12 + [3] * 4:
            best = sites, near, counts
    if best is None:
        raise StructureError("the anion sites of the supertetrahedron were not found")
    sites, near, counts = best
    atoms = Atoms(["Cd"] * 10, metals)
    atoms += Atoms(["Se"] * 4, sites[counts == 3])
    for site, neighbours in zip(sites[counts == 2], near[counts == 2], strict=True):
        first, second = metals[neighbours]
        middle = 0.5 * (first + second)
        up = (site - middle) / np.linalg.norm(site - middle)
        height = np.sqrt(cd_cl**2 - (np.linalg.norm(second - first) / 2) ** 2)
        atoms += Atoms("Cl", [middle + height * up])
    return atoms


def relax_gfn1(atoms: Atoms, fixed: list[str] | None = None, steps: int = 80) -> Atoms:
    """Copy of a frame relaxed with GFN1-xTB, elements in `fixed` held; rounded to 0.001 A.

    Only for starting geometries. Rounding keeps the frames, and with them their keys, the same on
    machines whose arithmetic differs in the last digits. Raises LabelError without tblite, and when
    its SCF does not converge.
    """
    try:
        from tblite.ase import TBLite
    except ImportError:
        raise LabelError("tblite is not installed; `pip install tblite`") from None
    from ase.optimize import FIRE

    frame = atoms.copy()
    if fixed:
        frame.set_constraint(FixAtoms([a.index for a in frame if a.symbol in fixed]))
    frame.calc = TBLite(method="GFN1-xTB", verbosity=0)
    try:
        FIRE(frame, logfile=None).run(fmax=0.05, steps=steps)
    except CalculationFailed as error:
        raise LabelError(f"GFN1-xTB on {atoms.get_chemical_formula()}: {error}") from None
    result = atoms.copy()
    result.positions = np.round(frame.positions, 3)
    return result


def bond_mean(atoms: Atoms, first: str, second: str, cutoff: float) -> float:
    """Mean distance in A of the pairs of two elements closer than `cutoff` A."""
    return float(neighbor_list("d", atoms, {(first, second): cutoff}).mean())

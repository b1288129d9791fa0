"""GFN1-xTB single points through tblite: to try the path out, never a production label."""
# SPDX-License-Identifier: MIT

from __future__ import annotations

import importlib.metadata

import numpy as np
from ase import Atoms
from ase.units import Bohr, Hartree

from qdml.errors import LabelError

WARNING = (
    "GFN1-xTB is NOT a production label: on CdSe its forces correlate only about 0.5 with DFT. "
    "Use it to try the path out or to shake geometries; label production data with cp2k."
)


def single_point(
    atoms: Atoms, charge: int = 0, multiplicity: int = 1, *, stress: bool = False
) -> tuple[float, np.ndarray, np.ndarray | None, str]:
    """Energy (eV), forces [n, 3] (eV/A), stress [6] (eV/A^3, ASE sign) or None, tblite's version.

    Raises LabelError when tblite is absent or its SCF does not converge.
    """
    try:
        from tblite.interface import Calculator
    except ImportError:
        raise LabelError(
            "tblite is not installed; `pip install tblite` or label with --code cp2k"
        ) from None
    periodic = {}
    if atoms.pbc.any():
        periodic = {"lattice": atoms.cell.array / Bohr, "periodic": atoms.pbc}
    try:
        calculator = Calculator(
            "GFN1-xTB",
            atoms.numbers,
            atoms.positions / Bohr,
            charge=charge,
            uhf=multiplicity - 1,
            **periodic,
        )
        calculator.set("verbosity", 0)
        found = calculator.singlepoint()
    except RuntimeError as error:
        raise LabelError(f"tblite: {str(error).strip()}") from None
    tensor = None
    if stress:
        virial = np.asarray(found.get("virial")) * Hartree
        tensor = virial[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]] / atoms.get_volume()
    return (
        float(found.get("energy")) * Hartree,
        -np.asarray(found.get("gradient")) * Hartree / Bohr,
        tensor,
        importlib.metadata.version("tblite"),
    )

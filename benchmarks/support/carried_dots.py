# SPDX-License-Identifier: MIT
"""The dots of gpu_dots.py: built where qdml is, carried as data files of LAMMPS where it is not."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from support import carried


class DotFile(NamedTuple):
    """A data file, its elements in the order of the LAMMPS types, its atoms."""

    path: Path
    elements: tuple[str, ...]
    n_atoms: int


# material and wanted atoms -> diameter in Å; zinc-blende spheres under Cl
DIAMETERS = {
    ("CdSe", 35): 12.0,
    ("CdSe", 500): 29.6,
    ("CdSe", 1000): 37.7,
    ("CdSe", 2000): 48.2,
    ("InP", 44): 12.0,
    ("InP", 500): 28.6,
    ("InP", 1000): 35.8,
    ("InP", 2000): 45.6,
}
LIGAND = "Cl"
VACUUM = 15.0  # Å


def elements_of(material: str) -> tuple[str, ...]:
    """Cation, anion, ligand."""
    return ("Cd", "Se", LIGAND) if material == "CdSe" else ("In", "P", LIGAND)


def file_name(material: str, wanted: int) -> str:
    return f"{material}-{wanted}.data"


def write_dot(folder: Path, material: str, wanted: int) -> Path:
    """Build a dot with qdml and write its data file."""
    import ase.io
    from qdml.build import build_dot

    diameter = DIAMETERS[material, wanted]
    atoms = build_dot(material, diameter=diameter, ligands=LIGAND).atoms
    atoms.center(vacuum=VACUUM)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / file_name(material, wanted)
    ase.io.write(
        path, atoms, format="lammps-data", specorder=list(elements_of(material)), masses=True
    )
    return path


def write_all(folder: Path, least: int = 500) -> None:
    """All dots of at least so many atoms."""
    for material, wanted in DIAMETERS:
        if wanted >= least:
            write_dot(folder, material, wanted)


def find_dot(material: str, wanted: int, folder: Path) -> DotFile:
    """The carried data file, else one built into `folder`."""
    found = carried.folder()
    path = found / "dots" / file_name(material, wanted) if found else None
    if path is None or not path.is_file():
        path = folder / file_name(material, wanted)
        if not path.is_file():
            write_dot(folder, material, wanted)
    head = path.read_text().split("Masses")[0].splitlines()
    n_atoms = next(int(line.split()[0]) for line in head if line.strip().endswith("atoms"))
    return DotFile(path, elements_of(material), n_atoms)

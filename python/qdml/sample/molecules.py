"""Molecules, pairs of ligands, small clusters and torsions; dimers and isolated atoms."""
# SPDX-License-Identifier: MIT

from __future__ import annotations

import numpy as np
from ase import Atoms
from ase.build import molecule

from qdml.sample.slabs import bridging_ligand

# Equilibrium distance (A, rounded literature values) and spin multiplicity of the lowest state that
# keeps its multiplicity from the short-range wall to the well. Pairs whose spin changes along the
# curve, or whose open pi shell (OH, CH, ClO, SeH, SeCl, C2) plain diagonalisation does not converge
# without smearing, are left out: a mixed curve would teach the model nothing.
DIMERS = {
    ("H", "H"): (0.74, 1), ("H", "Cl"): (1.27, 1), ("C", "O"): (1.13, 1), ("Cl", "Cl"): (1.99, 1),
    ("O", "O"): (1.21, 3), ("Cd", "Cd"): (3.0, 1), ("Cd", "Se"): (2.38, 1), ("Cd", "Cl"): (2.36, 2),
    ("Cd", "H"): (1.78, 2), ("Se", "Se"): (2.17, 3), ("C", "Se"): (1.68, 1), ("Cd", "O"): (1.92, 1),
    ("Se", "O"): (1.65, 3),
}  # fmt: skip

ATOMS = {"H": 2, "C": 3, "O": 3, "Cl": 2, "Se": 3, "Cd": 1}
"""Spin multiplicities of the isolated atoms."""


def dimer(first: str, second: str, distance: float, multiplicity: int) -> Atoms:
    """Two atoms at `distance` A along z, no cell."""
    atoms = Atoms([first, second], [[0.0, 0.0, 0.0], [0.0, 0.0, distance]])
    atoms.info["multiplicity"] = multiplicity
    return atoms


def formic_acid(torsion: float = 0.0) -> Atoms:
    """HCOOH with its O-H turned by `torsion` degrees about C-O from the stable (Z) form."""
    atoms = molecule("HCOOH")
    symbols = atoms.get_chemical_symbols()
    carbon = symbols.index("C")
    hydrogens = [i for i, s in enumerate(symbols) if s == "H"]
    acid = max(hydrogens, key=lambda i: atoms.get_distance(i, carbon))
    oxygens = [i for i, s in enumerate(symbols) if s == "O"]
    hydroxyl = min(oxygens, key=lambda i: atoms.get_distance(i, acid))
    carbonyl = next(i for i in oxygens if i != hydroxyl)
    angle = atoms.get_dihedral(carbonyl, carbon, hydroxyl, acid)
    atoms.set_dihedral(carbonyl, carbon, hydroxyl, acid, angle + torsion, indices=[acid])
    return atoms


def formic_dimer(gap: float = 1.7) -> Atoms:
    """Two formic acids head to head, the H of each `gap` A from the carbonyl O of the other."""
    first = formic_acid()
    symbols = first.get_chemical_symbols()
    carbon = symbols.index("C")
    hydrogens = [i for i, s in enumerate(symbols) if s == "H"]
    acid = max(hydrogens, key=lambda i: first.get_distance(i, carbon))
    oxygens = [i for i, s in enumerate(symbols) if s == "O"]
    carbonyl = max(oxygens, key=lambda i: first.get_distance(i, acid))
    # inversion through the point that puts the acid H of one `gap` from the carbonyl O of the other
    middle = 0.5 * (first.positions[acid] + first.positions[carbonyl])
    outward = middle - first.positions[carbon]
    center = middle + 0.5 * gap * outward / np.linalg.norm(outward)
    return first + Atoms(symbols, 2 * center - first.positions)


def pair(first: Atoms, second: Atoms, gap: float, axis: int, angle: float = 0.0) -> Atoms:
    """Two molecules side by side along `axis` with `gap` A between their nearest planes.

    The second is turned by `angle` degrees about that axis.
    """
    one, two = first.copy(), second.copy()
    two.rotate(angle, "xyz"[axis], center="COP")
    one.positions -= one.positions.mean(axis=0)
    two.positions -= two.positions.mean(axis=0)
    shift = one.positions[:, axis].max() - two.positions[:, axis].min() + gap
    two.positions[:, axis] += shift
    return one + two


def adamantane_cluster(ligand: str = "Cl") -> Atoms:
    """Cd4Se with six ligands that bridge the edges of its Cd tetrahedron (Cl or HCOO); neutral.

    The formate is the cadmium selenide relative of basic zinc acetate, Zn4O(OOCR)6. Relax before
    use.
    """
    corners = 2.65 / np.sqrt(3.0) * np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1.0]])
    atoms = Atoms(["Se"] + ["Cd"] * 4, np.concatenate([np.zeros((1, 3)), corners]))
    for i in range(4):
        for j in range(i):
            middle, along = 0.5 * (corners[i] + corners[j]), corners[i] - corners[j]
            length = float(np.linalg.norm(along))
            up = middle / np.linalg.norm(middle)
            atoms += Atoms(*bridging_ligand(ligand, middle, along / length, up, length))
    return atoms


def inorganic(name: str) -> Atoms:
    """Starting geometry of a small inorganic molecule or cluster, relax before use."""
    if name == "H2Se":
        half = np.radians(91.0 / 2)
        x, y = 1.46 * np.sin(half), 1.46 * np.cos(half)
        return Atoms("SeH2", [[0, 0, 0], [x, y, 0], [-x, y, 0]])
    if name == "CdCl2":
        return Atoms("CdCl2", [[0, 0, 0], [0, 0, 2.29], [0, 0, -2.29]])
    if name == "Cd2Cl4":
        return Atoms(
            "Cd2Cl4",
            [[1.75, 0, 0], [-1.75, 0, 0], [0, 1.8, 0], [0, -1.8, 0], [4.05, 0, 0], [-4.05, 0, 0]],
        )
    if name == "Cd(HCOO)2":
        half = np.array([[1.9, 1.12, 0.0], [1.9, -1.12, 0.0], [2.5, 0.0, 0.0], [3.6, 0.0, 0.0]])
        # the second formate chelates from the other side, in the perpendicular plane
        other = np.stack([-half[:, 0], half[:, 2], half[:, 1]], axis=1)
        return Atoms("CdO2CHO2CH", np.concatenate([[[0.0, 0.0, 0.0]], half, other]))
    if name == "HCOOCdCl":
        half = np.array([[1.9, 1.12, 0.0], [1.9, -1.12, 0.0], [2.5, 0.0, 0.0], [3.6, 0.0, 0.0]])
        return Atoms("CdO2CHCl", np.concatenate([[[0.0, 0.0, 0.0]], half, [[-2.3, 0.0, 0.0]]]))
    if name in ("Cd2Se2", "Cd3Se3"):
        n_pairs = int(name[2])
        radii = {2: (1.45, 1.95), 3: (2.15, 2.75)}[n_pairs]
        angles = np.pi * np.arange(2 * n_pairs) / n_pairs
        positions = [
            [radii[k % 2] * np.cos(t), radii[k % 2] * np.sin(t), 0.0] for k, t in enumerate(angles)
        ]
        return Atoms("CdSe" * n_pairs, positions)
    if name == "Cd4Se4":
        metal, anion = 1.2, 1.55
        corners = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]], dtype=float)
        return Atoms("Cd4Se4", np.concatenate([metal * corners, -anion * corners]))
    raise KeyError(name)


INORGANIC = (
    "H2Se", "CdCl2", "Cd2Cl4", "Cd(HCOO)2", "HCOOCdCl", "Cd2Se2", "Cd3Se3", "Cd4Se4",
)  # fmt: skip
"""Names `inorganic` knows."""


def catalogue() -> dict[str, Atoms]:
    """Starting geometries of all molecules by name; relax before use."""
    found = {"HCOOH": formic_acid(), "HCOOH-dimer": formic_dimer()}
    found |= {name: molecule(name) for name in ("H2O", "HCl", "CO2")}
    return found | {name: inorganic(name) for name in INORGANIC}

# SPDX-License-Identifier: MIT
"""Shapes of the named organic ligands: a head that binds and an alkyl or alkenyl chain."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from qdml.build.chains import Molecule, extend, grow_chain, torsion_sets

# Where a cation sits below a donor at the origin: defines the torsion of the first chain bond, so
# that an all-trans chain points away from the dot.
BELOW = np.array([0.0, 0.0, -2.4])
MIN_UNBONDED = 1.6
"""Å; the hydrogens of NH2 are 1.64 apart, nothing else in an unstrained ligand is nearer."""
CIS_CARBON = 9
"""Oleyl: the cis double bond lies between carbons 9 and 10."""


def carboxylate(n_carbons: int, is_oleyl: bool = False) -> list[Molecule]:
    """R-COO-, the two donors first: O at +x and -x, the carbons on z; one entry per conformer."""

    def head() -> tuple[Molecule, int, np.ndarray, np.ndarray]:
        # C-O 1.275 Å, O-C-O 126 degrees as in the formate of the builder; C-C 1.52 Å.
        half = math.radians(63.0)
        x, z = 1.275 * math.sin(half), 1.275 * math.cos(half)
        molecule = Molecule()
        molecule.add("O", [x, 0, 0])
        molecule.add("O", [-x, 0, 0], None)
        carbon = molecule.add("C", [0, 0, z], 0)
        molecule.bonds.append((1, carbon))
        first = molecule.add("C", [0, 0, z + 1.52], carbon)
        return molecule, first, molecule.positions[carbon], molecule.positions[0]

    # The carboxyl carbon is number 1 of the acid, the chain starts at number 2.
    double = CIS_CARBON - 1 if is_oleyl else None
    return _with_chain(head, n_carbons - 1, double, first_torsion=90.0)


def amine(n_carbons: int, is_oleyl: bool = False) -> list[Molecule]:
    """R-NH2: N at the origin, its lone pair down."""

    def head() -> tuple[Molecule, int, np.ndarray, np.ndarray]:
        molecule = Molecule()
        nitrogen = molecule.add("N", [0, 0, 0])
        first = molecule.add("C", _polar(1.47, 65.0, 0.0), nitrogen)
        for azimuth in (120.0, 240.0):
            molecule.add("H", _polar(1.02, 68.0, azimuth), nitrogen)
        return molecule, first, molecule.positions[nitrogen], BELOW

    return _with_chain(head, n_carbons, CIS_CARBON if is_oleyl else None)


def ammonium(n_carbons: int, is_oleyl: bool = False) -> list[Molecule]:
    """R-NH3+: N at the origin, its hydrogens down, the first carbon on z."""

    def head() -> tuple[Molecule, int, np.ndarray, np.ndarray]:
        molecule = Molecule()
        nitrogen = molecule.add("N", [0, 0, 0])
        first = molecule.add("C", [0, 0, 1.50], nitrogen)
        for azimuth in (0.0, 120.0, 240.0):
            molecule.add("H", _polar(1.04, 110.0, azimuth), nitrogen)
        return molecule, first, molecule.positions[nitrogen], molecule.positions[-1]

    return _with_chain(head, n_carbons, CIS_CARBON if is_oleyl else None)


def thiolate(n_carbons: int, is_oleyl: bool = False) -> list[Molecule]:
    """R-S-: S at the origin, M-S-C 105 degrees."""

    def head() -> tuple[Molecule, int, np.ndarray, np.ndarray]:
        molecule = Molecule()
        sulfur = molecule.add("S", [0, 0, 0])
        first = molecule.add("C", _polar(1.82, 75.0, 0.0), sulfur)
        return molecule, first, molecule.positions[sulfur], BELOW

    return _with_chain(head, n_carbons, CIS_CARBON if is_oleyl else None)


def phosphonate(n_carbons: int, is_oleyl: bool = False) -> list[Molecule]:
    """R-PO2(OH)-: two O donors at +x and -x, the chain and the OH above; charge -1."""

    def head() -> tuple[Molecule, int, np.ndarray, np.ndarray]:
        half = math.radians(58.5)
        x, z = 1.52 * math.sin(half), 1.52 * math.cos(half)
        molecule = Molecule()
        molecule.add("O", [x, 0, 0])
        molecule.add("O", [-x, 0, 0])
        phosphorus = molecule.add("P", [0, 0, z], 0)
        molecule.bonds.append((1, phosphorus))
        center = molecule.positions[phosphorus]
        first = molecule.add("C", center + _polar(1.80, 52.0, 90.0), phosphorus)
        hydroxyl = molecule.add("O", center + _polar(1.60, 52.0, 270.0), phosphorus)
        oxygen = molecule.positions[hydroxyl]
        hydrogen = extend(molecule.positions[first], center, oxygen, 0.97, 110.0, 60.0)
        molecule.add("H", hydrogen, hydroxyl)
        return molecule, first, center, BELOW

    return _with_chain(head, n_carbons, CIS_CARBON if is_oleyl else None)


def _with_chain(
    head: Callable[[], tuple[Molecule, int, np.ndarray, np.ndarray]],
    n_carbons: int,
    double: int | None,
    first_torsion: float = 180.0,
) -> list[Molecule]:
    """One molecule per conformer of the chain, longest reach along z first."""
    result = []
    for torsions in torsion_sets(n_carbons, double):
        torsions[0] = first_torsion
        molecule, first, previous, before = head()
        grow_chain(molecule, first, previous, before, torsions[: n_carbons - 1], double)
        # A gauche turn can run the chain into its own head.
        if not result or _closest_unbonded(molecule) > MIN_UNBONDED:
            result.append(molecule)
    # equal reaches differ by rounding: the order of torsion_sets on every processor
    return sorted(result, key=lambda m: -round(max(p[2] for p in m.positions), 6))


def _closest_unbonded(molecule: Molecule) -> float:
    """Smallest distance of two atoms without a bond, Å."""
    positions = np.array(molecule.positions)
    distance = np.linalg.norm(positions[:, None] - positions[None], axis=-1)
    np.fill_diagonal(distance, np.inf)
    for i, j in molecule.bonds:
        distance[i, j] = distance[j, i] = np.inf
    return float(distance.min())


def _polar(length: float, angle: float, azimuth: float) -> np.ndarray:
    """Vector of `length` at `angle` from z and `azimuth` from x, degrees."""
    t, p = math.radians(angle), math.radians(azimuth)
    return length * np.array([math.sin(t) * math.cos(p), math.sin(t) * math.sin(p), math.cos(t)])


_FAMILIES = {
    "carboxylate": carboxylate,
    "amine": amine,
    "ammonium": ammonium,
    "thiolate": thiolate,
    "phosphonate": phosphonate,
}
CHARGES = {"carboxylate": -1, "amine": 0, "ammonium": 1, "thiolate": -1, "phosphonate": -1}
DONORS = {"carboxylate": 2, "amine": 1, "ammonium": 1, "thiolate": 1, "phosphonate": 2}

_ALKYL = {"methyl": 1, "ethyl": 2, "propyl": 3, "butyl": 4, "hexyl": 6, "octyl": 8, "decyl": 10}
_ALKYL |= {"dodecyl": 12, "tetradecyl": 14, "hexadecyl": 16, "octadecyl": 18}
_ACIDS = {"acetate": 2, "propionate": 3, "butyrate": 4, "hexanoate": 6, "octanoate": 8}
_ACIDS |= {"decanoate": 10, "laurate": 12, "myristate": 14, "palmitate": 16, "stearate": 18}

NAMED: dict[str, tuple[str, int, bool]] = {
    name: ("carboxylate", n, False) for name, n in _ACIDS.items()
}
"""name -> (family, carbons, is oleyl): acetate, butylamine, octadecylphosphonate, ..."""
NAMED |= {
    f"{alkyl}{family}": (family, n, False)
    for family in ("amine", "ammonium", "thiolate", "phosphonate")
    for alkyl, n in _ALKYL.items()
}
NAMED |= {
    "oleate": ("carboxylate", 18, True),
    "oleylamine": ("amine", 18, True),
    "oleylammonium": ("ammonium", 18, True),
}


def molecules(name: str) -> tuple[list[Molecule], int, int]:
    """Conformers, charge and number of donors of a ligand of NAMED."""
    family, n_carbons, is_oleyl = NAMED[name]
    return _FAMILIES[family](n_carbons, is_oleyl), CHARGES[family], DONORS[family]

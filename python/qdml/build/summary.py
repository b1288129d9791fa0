# SPDX-License-Identifier: MIT
"""Describe a finished dot: composition, charge, facets, coordination, distances."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field

import numpy as np
from ase import Atoms

from qdml.build.capping import Placement, total_coordination
from qdml.build.core import Core
from qdml.build.distances import shortest_per_pair
from qdml.build.materials import Material


@dataclass(frozen=True)
class Summary:
    """What was built. Distances in Å, charges in e; histograms are {coordination: atoms}."""

    formula: str
    n_atoms: int
    composition: dict[str, int]
    ligands: dict[str, int]
    formal_charge: int
    diameter_core: float
    diameter_equivalent: float
    facets: dict[str, int]
    coordination: dict[str, dict[int, int]]
    shortest_distances: dict[str, float]
    regions: dict[str, int]
    box: list[float]
    parameters: dict = field(default_factory=dict)

    def as_dict(self) -> dict:
        """Plain types for JSON."""
        return asdict(self)


def _histogram(counts: np.ndarray) -> dict[int, int]:
    return {int(k): int(n) for k, n in sorted(Counter(counts.tolist()).items())}


def summarise(
    atoms: Atoms, kind: Material, core: Core, placements: list[Placement], a: float
) -> Summary:
    """Collect the summary of a dot.

    Facets count surface cations by their bonds missing in the core: one as on a {111} face, two
    as on a {100} face, and surface anions with one missing as on a {-1-1-1} face. `diameter_core`
    is the largest distance between two core atoms, `diameter_equivalent` that of the sphere
    with the core's volume.
    """
    from qdml.build.dot import equivalent_diameter  # dot.py imports this module

    ligands = Counter(p.ligand.name for p in placements)
    charge = kind.cation_charge * len(core.cations) + kind.anion_charge * len(core.anions)
    charge += sum(p.ligand.charge for p in placements)
    composition = Counter(atoms.get_chemical_symbols())
    order = dict.fromkeys(atoms.get_chemical_symbols())
    missing = Counter((4 - core.cation_neighbours).tolist())
    core_positions = np.concatenate([core.cations, core.anions])
    # The farthest pair lies on opposite sides: enough to project on many directions.
    directions = _sphere_directions(400)
    spread = np.ptp(core_positions @ directions.T, axis=0)
    donor_bonds: dict[str, list[int]] = {}
    for p in placements:
        donor_bonds.setdefault(p.ligand.name, []).append(len(p.cations))
    coordination = {
        kind.cation: _histogram(total_coordination(core, placements)),
        kind.anion: _histogram(core.anion_neighbours),
    }
    coordination |= {name: _histogram(np.array(n)) for name, n in donor_bonds.items()}
    formula = "".join(f"{s}{composition[s]}" for s in (kind.cation, kind.anion))
    formula += "".join(f"{n}{k}" if len(n) < 3 else f"({n}){k}" for n, k in ligands.items())
    return Summary(
        formula=formula,
        n_atoms=len(atoms),
        composition={s: composition[s] for s in order},
        ligands=dict(ligands),
        formal_charge=charge,
        diameter_core=round(float(spread.max()), 2),
        diameter_equivalent=round(equivalent_diameter(len(core_positions), a), 2),
        facets={
            "cation, one dangling bond (111)": missing[1],
            "cation, two dangling bonds (100)": missing[2],
            "anion, one dangling bond (-1-1-1)": int((core.anion_neighbours == 3).sum()),
        },
        coordination=coordination,
        shortest_distances=shortest_per_pair(atoms.get_chemical_symbols(), atoms.positions),
        regions=dict(Counter(atoms.arrays["region"].tolist())),
        box=[round(float(x), 4) for x in atoms.cell.lengths()],
    )


def _sphere_directions(n: int) -> np.ndarray:
    """Nearly even unit vectors [n, 3] on the half sphere (Fibonacci lattice)."""
    z = (np.arange(n) + 0.5) / n
    angle = np.arange(n) * np.pi * (3 - np.sqrt(5))
    radius = np.sqrt(1 - z**2)
    return np.column_stack([radius * np.cos(angle), radius * np.sin(angle), z])

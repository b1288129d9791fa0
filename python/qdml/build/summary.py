# SPDX-License-Identifier: MIT
"""Describe a finished dot: composition, charge, facets, coordination, distances."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field

import numpy as np
from ase import Atoms

from qdml.build.account import Account
from qdml.build.capping import Placement, total_coordination
from qdml.build.core import Core
from qdml.build.distances import shortest_per_pair
from qdml.build.elements import Elements


@dataclass(frozen=True)
class Summary:
    """What was built. Distances in Å, charges in e; histograms are {coordination: atoms}."""

    formula: str
    n_atoms: int
    composition: dict[str, int]
    ligands: dict[str, int]
    formal_charge: int
    charge_account: list[dict]
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
    atoms: Atoms,
    core: Core,
    elements: Elements,
    placements: list[Placement],
    account: Account,
    diameter_equivalent: float,
    formal_charge: int,
) -> Summary:
    """Collect the summary of a dot; `formal_charge` (e) is that of its atoms (`recount`).

    Facets count surface cations by their bonds missing in the core: in zinc blende and wurtzite
    one as on a {111} face, two as on a {100} face, and surface anions with one missing as on a
    {-1-1-1} face; in rock salt one on {100}, three on {111}, others at edges; in a perovskite one
    on a face, two on an edge, three at a corner. `diameter_core` is the largest distance between
    two core atoms, `diameter_equivalent` that of the sphere with the core's volume.
    """
    ligands = Counter(p.ligand.name for p in placements)
    composition = Counter(atoms.get_chemical_symbols())
    order = dict.fromkeys(atoms.get_chemical_symbols())
    # The farthest pair lies on opposite sides: enough to project on many directions.
    directions = _sphere_directions(400)
    spread = np.ptp(core.positions @ directions.T, axis=0)
    donor_bonds: dict[str, list[int]] = {}
    for p in placements:
        if p.cations:
            donor_bonds.setdefault(p.ligand.name, []).append(len(p.cations))
    coordination = _per_element(elements.cations, total_coordination(core, placements))
    if not len(core.a_sites):
        coordination |= _per_element(elements.anions, core.anion_neighbours)
    coordination |= {
        name: _histogram(np.array(n)) for name, n in donor_bonds.items() if name not in coordination
    }
    core_elements = [*dict.fromkeys(elements.a_sites), *dict.fromkeys(elements.cations)]
    core_elements += dict.fromkeys(elements.anions)
    formula = "".join(f"{s}{composition[s]}" for s in core_elements)
    formula += "".join(
        f"{n}{k}" if len(n) < 3 else f"({n}){k}"
        for n, k in ligands.items()
        if n not in core_elements
    )
    return Summary(
        formula=formula,
        n_atoms=len(atoms),
        composition={s: composition[s] for s in order},
        ligands=dict(ligands),
        formal_charge=formal_charge,
        charge_account=account.steps,
        diameter_core=round(float(spread.max()), 2),
        diameter_equivalent=round(diameter_equivalent, 2),
        facets=_facets(core),
        coordination=coordination,
        shortest_distances=shortest_per_pair(atoms.get_chemical_symbols(), atoms.positions),
        regions=dict(Counter(atoms.arrays["region"].tolist())),
        box=[round(float(x), 4) for x in atoms.cell.lengths()],
    )


def _per_element(symbols: tuple[str, ...], counts: np.ndarray) -> dict[str, dict[int, int]]:
    names = np.array(symbols)
    return {s: _histogram(counts[names == s]) for s in dict.fromkeys(symbols)}


def _facets(core: Core) -> dict[str, int]:
    """Surface atoms by the kind of facet their missing bonds belong to."""
    missing = Counter((core.coordination - core.cation_neighbours).tolist())
    if len(core.a_sites):
        return {
            "cation, one octahedron missing (face)": missing[1],
            "cation, two octahedra missing (edge)": missing[2],
            "cation, three octahedra missing (corner)": missing[3],
        }
    if core.coordination == 6:
        return {
            "cation, one dangling bond (100)": missing[1],
            "cation, three dangling bonds (111)": missing[3],
            "cation, edges and corners": missing[2] + missing[4] + missing[5],
            "anion, one dangling bond (100)": int((core.anion_neighbours == 5).sum()),
        }
    return {
        "cation, one dangling bond (111)": missing[1],
        "cation, two dangling bonds (100)": missing[2],
        "anion, one dangling bond (-1-1-1)": int((core.anion_neighbours == 3).sum()),
    }


def _sphere_directions(n: int) -> np.ndarray:
    """Nearly even unit vectors [n, 3] on the half sphere (Fibonacci lattice)."""
    z = (np.arange(n) + 0.5) / n
    angle = np.arange(n) * np.pi * (3 - np.sqrt(5))
    radius = np.sqrt(1 - z**2)
    return np.column_stack([radius * np.cos(angle), radius * np.sin(angle), z])

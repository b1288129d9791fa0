"""What the reference plan of each material holds: cells, slabs, dots, clusters, dimers, splits."""
# SPDX-License-Identifier: MIT

from __future__ import annotations

from dataclasses import dataclass, field

from ase import Atoms
from ase.build import bulk
from qdml.sample import facets, ionic_slabs, polar_slabs, slabs
from qdml.validate.crystal import phase_cell

STRAIN_MARGIN = 0.93
"""Cells under up to 7 % of strain keep the mesh of the unstrained one."""


@dataclass(frozen=True)
class Plan:
    """One material; temperatures in K, distances in A.

    dots: name to arguments of `build_dot`, or of `perovskite_cuboid` (those with `octahedra`).
    held_out_facets: slabs of the test split alone. clusters: counts of the two `units` (formula of
    the semiconductor's ion pair, of the salt). atoms: spin multiplicities. dimers: pair to
    (equilibrium distance, multiplicity of the state that holds along the wall). sampled_length:
    least cell vector times k-points along a periodic direction. cutoff: of the density grid, Ry.
    """

    cell: Atoms
    supercell: Atoms
    slabs: dict[str, Atoms]
    dots: dict[str, dict[str, object]]
    test_dot: str
    units: tuple[str, str]
    clusters: tuple[tuple[int, int], ...]
    atoms: dict[str, int]
    dimers: dict[tuple[str, str], tuple[float, int]]
    temperatures: tuple[int, ...] = (150, 300, 600, 900)
    test_temperature: int = 600
    held_out_facets: dict[str, Atoms] = field(default_factory=dict)
    phases: dict[str, Atoms] = field(default_factory=dict)
    sampled_length: float = 23.5
    cutoff: int = 300


CLUSTERS = ((0, 2), (0, 3), (1, 1), (1, 2), (2, 1), (2, 2), (3, 1), (3, 3), (4, 2), (4, 4), (5, 3))


def lead_selenide() -> Plan:
    """Rock salt; (100) and (110) bare, (111) under Cl; Pb-rich dots under Cl."""
    cell = bulk("PbSe", "rocksalt", a=6.21, cubic=True)
    return Plan(
        cell,
        cell.repeat(2),
        {
            "slab-100": ionic_slabs.rocksalt_slab("100"),
            "slab-110": ionic_slabs.rocksalt_slab("110", 5),
            "slab-111-Cl": ionic_slabs.rocksalt_slab_111("Cl"),
        },
        {
            "Pb6SeCl10": {"diameter": 7.0},
            "Pb10Se2Cl16": {"diameter": 9.0, "shape": "octahedron"},
            "Pb14Se6Cl16": {"diameter": 11.0, "shape": "cuboctahedron"},
            "Pb13Se6Cl14": {"diameter": 8.0, "center": "cation", "shape": "cube"},
            "Pb14Se5Cl18": {"diameter": 11.0, "shape": "cuboctahedron", "remove_anions": 1},
            "Pb15Se4Cl22": {"diameter": 11.0, "remove_cations": 1},
            "Pb16Se4Cl24": {"diameter": 11.0},
            "Pb19Se6Cl26": {"diameter": 13.8, "center": "cation"},
        },
        "Pb13Se6Cl14",
        ("PbSe", "PbCl2"),
        CLUSTERS,
        {"Pb": 3, "Se": 3, "Cl": 2},
        {
            ("Pb", "Se"): (2.40, 1), ("Pb", "Cl"): (2.44, 2), ("Pb", "Pb"): (2.93, 3),
            ("Se", "Se"): (2.17, 3), ("Cl", "Cl"): (1.99, 1),
        },
        held_out_facets={"slab-210": facets.rocksalt_slab_210()},
        phases={"bulk-zb": bulk("PbSe", "zincblende", a=6.75, cubic=True)},
        sampled_length=30.0,
    )  # fmt: skip


def indium_phosphide() -> Plan:
    """Zinc blende; (110) bare, (100) and (111) under Cl by electron counting; In-rich dots."""
    cell = bulk("InP", "zincblende", a=5.97, cubic=True)
    pairs = {"Cd": "In", "Se": "P", "Cl": "Cl"}
    # (100): an In with two dangling bonds takes 1.5 Cl; four of six Cl bridge, two stand on top
    slab_100 = _renamed(slabs.slab_100("Cl", n_cation_layers=3, a=5.97), pairs)
    for face in (1.0, -1.0):
        height = (face * slab_100.positions[slab_100.symbols == "In", 2]).max()
        metals = [
            a.index for a in slab_100 if a.symbol == "In" and face * a.position[2] > height - 0.1
        ]
        for metal in (metals[0], metals[3]):  # a diagonal of the 2 x 2 cell
            slab_100 += Atoms("Cl", [slab_100.positions[metal] + [0.0, 0.0, 2.4 * face]])
    slab_111 = _renamed(polar_slabs.slab_111(a=5.97), pairs)
    # In of (111) takes 0.75 Cl: the third one of four In sits beside the two of CdSe
    slab_111 += Atoms("Cl", [_free_hollow(slab_111)])
    return Plan(
        cell,
        cell.repeat(2),
        {
            "slab-100-Cl": slab_100,
            "slab-110": _renamed(polar_slabs.slab_110(a=5.97), pairs),
            "slab-111-Cl": slab_111,
        },
        {
            "In10P7Cl9": {"diameter": 10.0},
            "In16P13Cl9": {"diameter": 10.0, "center": "anion"},
            "In16P10Cl18": {"diameter": 11.0, "shape": "tetrahedron"},
            "In13P10Cl9": {"diameter": 10.0, "shape": "octahedron"},
            # corners and edges in other surroundings: units of the first two taken away
            "In9P7Cl6": {"diameter": 10.0, "remove_cations": 1},
            "In9P6Cl9": {"diameter": 10.0, "remove_cations": 1, "remove_anions": 1},
            "In10P6Cl12": {"diameter": 10.0, "remove_anions": 1},
            "In7P5Cl6": {"diameter": 10.0, "remove_cations": 3, "remove_anions": 2, "seed": 1},
            "In11P9Cl6": {"diameter": 11.0, "remove_cations": 2, "remove_anions": 1, "seed": 1},
            "In10P8Cl6": {"diameter": 11.0, "remove_cations": 3, "remove_anions": 2, "seed": 1},
            "In13P11Cl6": {"diameter": 10.0, "remove_cations": 3, "remove_anions": 2},
            "In14P12Cl6": {"diameter": 10.0, "remove_cations": 2, "remove_anions": 1},
            "In12P9Cl9": {
                "diameter": 10.0, "shape": "octahedron", "remove_cations": 1, "remove_anions": 1
            },
        },
        "In13P10Cl9",
        ("InP", "InCl3"),
        (*(pair for pair in CLUSTERS if sum(pair) < 8), (4, 4), (5, 3), (7, 2), (6, 3)),
        {"In": 2, "P": 4, "Cl": 2},
        {
            ("In", "Cl"): (2.40, 1), ("In", "In"): (3.14, 3), ("P", "P"): (1.90, 1),
            ("P", "Cl"): (2.02, 3), ("Cl", "Cl"): (1.99, 1), ("In", "P"): (2.60, 3),
        },
        held_out_facets={"slab-wz-1120": facets.wurtzite_slab_1120(7, "InP", 4.22, 6.89)},
        phases={
            "bulk-wz": bulk("InP", "wurtzite", a=4.22, c=6.89),
            "bulk-rs": bulk("InP", "rocksalt", a=5.52, cubic=True),
        },
        cutoff=500,  # the d electrons of In leave 23 meV/A of grid noise at 300 Ry, 2 at 500
    )  # fmt: skip


def caesium_lead_bromide() -> Plan:
    """Cubic perovskite and what it tilts into; both (100) terminations; Cs-poor cubes."""
    cell = phase_cell("CsPbBr3", "cubic")
    tilted = phase_cell("CsPbBr3", "tilted")
    return Plan(
        cell,
        cell.repeat(2),
        {
            "slab-100-CsBr": ionic_slabs.perovskite_slab("CsBr"),
            "slab-100-PbBr2": ionic_slabs.perovskite_slab("PbBr2"),
            "slab-100-CsBr-thin": ionic_slabs.perovskite_slab("CsBr", 3),
        },
        {
            "Cs12Pb4Br20": {"diameter": 9.0},
            "Cs20Pb8Br36": {"diameter": 14.0},
            "Cs7Pb2Br11": {"octahedra": (2, 1, 1)},
            "Cs10Pb3Br16": {"octahedra": (3, 1, 1)},
            "Cs11Pb4Br19": {"octahedra": (2, 2, 1), "pairs_removed": 1},
            "Cs13Pb4Br21": {"octahedra": (4, 1, 1)},
            "Cs17Pb6Br29": {"octahedra": (3, 2, 1)},
        },
        "Cs20Pb8Br36",
        ("CsBr", "PbBr2"),
        (
            (2, 0), (4, 0), (0, 2), (0, 3), (1, 1), (1, 2),
            (2, 1), (2, 2), (3, 1), (4, 1), (4, 2), (6, 2),
        ),
        {"Cs": 2, "Pb": 3, "Br": 2},
        {
            ("Cs", "Br"): (3.07, 1), ("Pb", "Br"): (2.60, 2), ("Br", "Br"): (2.30, 1),
            ("Pb", "Pb"): (2.93, 3), ("Cs", "Cs"): (4.65, 1),
        },
        temperatures=(150, 300, 500, 700),
        test_temperature=500,
        held_out_facets={"slab-110": facets.perovskite_slab_110()},
        phases={"bulk-tilted": tilted},
    )  # fmt: skip


PLANS = {"PbSe": lead_selenide, "InP": indium_phosphide, "CsPbBr3": caesium_lead_bromide}


def _renamed(slab: Atoms, names: dict[str, str]) -> Atoms:
    """A slab of CdSe with other elements on its sites."""
    result = slab.copy()
    result.set_chemical_symbols([names[s] for s in slab.get_chemical_symbols()])
    return result


def _free_hollow(slab: Atoms) -> list[float]:
    """The place over the upper face, on a grid, farthest from what lies there already."""
    box = slab.copy()
    box.center(vacuum=8.0, axis=2)
    shift = box.positions[0, 2] - slab.positions[0, 2]
    z = slab.positions[slab.symbols == "Cl", 2].max()
    best, found = 0.0, None
    for i in range(12):
        for j in range(12):
            point = (i / 12) * slab.cell.array[0] + (j / 12) * slab.cell.array[1]
            trial = box + Atoms("Cl", [[point[0], point[1], z + shift]])
            nearest = trial.get_distances(-1, range(len(box)), mic=True).min()
            if nearest > best:
                best, found = nearest, [point[0], point[1], z]
    assert found is not None
    return found

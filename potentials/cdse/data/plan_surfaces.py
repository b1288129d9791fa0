"""Write the second plan: chloride-capped dots, clusters and slabs, what a surface is made of.

Usage: python plan_surfaces.py surfaces.extxyz
"""
# SPDX-License-Identifier: MIT

from __future__ import annotations

import sys

import ase.io
import numpy as np
from ase import Atoms
from make_frames import interleave, seeded, tagged
from qdml.build import build_dot
from qdml.sample import clusters, dots, polar_slabs
from qdml.sample.dots import GFN1_TO_PBE
from qdml.sample.thermal import rattle_thermally

DOTS = (
    ("Cd10Se7Cl6", {"diameter": 10.0, "center": "edge"}),
    ("Cd13Se10Cl6", {"diameter": 11.5, "center": "bond"}),
    ("Cd16Se10Cl12", {"diameter": 11.0, "center": "edge", "shape": "tetrahedron"}),
    ("Cd19Se16Cl6", {"diameter": 12.5, "center": "cation"}),
)
"""Small dots of `qdml build` besides those of the first plan; each has its own edges."""

CLUSTERS = ((0, 2), (0, 3), (0, 4), (1, 1), (1, 2), (1, 3), (2, 1), (2, 2))
"""(m, n) of the clusters (CdSe)m(CdCl2)n."""


def rattled(
    origin: str, starts: list[Atoms], counts: dict[int, int], softest: float = 0.25
) -> list[Atoms]:
    """Thermal copies of structures, as many of each as `counts` says at each temperature (K)."""
    copies = [(start, t) for start in starts for t, n in counts.items() for _ in range(n)]
    return [
        tagged(rattle_thermally(start, t, seeded(origin, i), softest), origin, i)
        for i, (start, t) in enumerate(copies)
    ]


def main(output: str) -> None:
    """Write the plan, interleaved by origin."""
    plan: dict[str, list[Atoms]] = {}
    for name, arguments in DOTS:
        dot = build_dot("CdSe", ligands="Cl", **arguments).atoms
        start = Atoms(dot.get_chemical_symbols(), dot.positions)
        start = dots.relax_gfn1(start, steps=150)
        start.positions = np.round(start.positions * GFN1_TO_PBE, 3)
        plan[f"dot-{name}"] = rattled(f"dot-{name}", [start], {300: 2, 600: 2})
    for m, n in CLUSTERS:
        origin = f"mol-CdSe{m}-CdCl2-{n}"
        scale = GFN1_TO_PBE if m else 1.0
        starts = clusters.relaxed_clusters(m, n, 2, seeded(origin, 99), scale)
        plan[origin] = rattled(origin, starts, {300: 1, 600: 1}, softest=1.0)
    for origin, slab in (
        ("slab-110", polar_slabs.slab_110()),
        ("slab-111-Cl", polar_slabs.slab_111()),
    ):
        plan[origin] = rattled(origin, [slab], {300: 3, 600: 2})
    queue = interleave([plan])
    ase.io.write(output, queue)
    print(f"{output}: {len(queue)} frames of {len(plan)} origins")


if __name__ == "__main__":
    main(sys.argv[1])

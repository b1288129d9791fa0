"""Neutral slabs of rock salt and of halide perovskite: bare, halide-covered, either termination."""
# SPDX-License-Identifier: MIT

from __future__ import annotations

import numpy as np
from ase import Atoms
from ase.build import bulk, surface

from qdml.errors import StructureError
from qdml.label.frames import suitable_mesh

PLANE_REPEAT = {"100": (2, 1), "110": (1, 1)}
"""Repeats of the surface cells: 2a x a of (100), sqrt(2) a x a of (110)."""


def rocksalt_slab(
    facet: str = "100", n_layers: int = 4, formula: str = "PbSe", a: float = 6.21
) -> Atoms:
    """Bare rock-salt slab, facet '100' or '110'; each layer is neutral, so nothing is added.

    a is the lattice constant (A). pbc is (T, T, F), z without cell vector; info `kpoints` is the
    mesh it needs. StructureError for another facet.
    """
    if facet not in PLANE_REPEAT:
        raise StructureError(f"no bare rock-salt slab with facet {facet}; choose 100 or 110")
    crystal = bulk(formula, "rocksalt", a=a, cubic=True)
    indices = tuple(int(digit) for digit in facet)
    # one "layer" of ASE is the repeat of the stacking: two atomic layers on both facets
    slab = lowest_layers(surface(crystal, indices, (n_layers + 1) // 2), n_layers)
    return finished(slab.repeat((*PLANE_REPEAT[facet], 1)))


def rocksalt_slab_111(
    ligand: str = "Cl", n_cation_layers: int = 3, formula: str = "PbSe", a: float = 6.21
) -> Atoms:
    """Cation-terminated (111) slab, 2 x 2 in the plane, a full layer of halide on both faces.

    A Pb of (111) has three dangling bonds and takes one X-type ligand (electron counting): the
    anion layers that would follow are the halide's, and the slab is neutral for any thickness.
    """
    crystal = bulk(formula, "rocksalt", a=a, cubic=True)
    anion = crystal.get_chemical_symbols()[1]
    slab = surface(crystal, (1, 1, 1), n_cation_layers + 1)
    z = slab.positions[:, 2].round(3)
    first = np.unique(z[slab.symbols == anion])[0]  # keep anion ... anion, cations between
    anion_layers = np.unique(z[(slab.symbols == anion) & (z >= first)])[: n_cation_layers + 1]
    slab = slab[(z >= anion_layers[0] - 0.1) & (z <= anion_layers[-1] + 0.1)]
    z = slab.positions[:, 2].round(3)
    for height in (anion_layers[0], anion_layers[-1]):
        slab.symbols[np.abs(z - height) < 0.1] = ligand
    return finished(slab)  # the (111) cell of a cubic crystal is the 2 x 2 of the primitive one


def perovskite_slab(
    termination: str = "CsBr", n_layers: int = 5, formula: str = "CsPbBr3", a: float = 6.0
) -> Atoms:
    """(100) slab of a cubic perovskite, sqrt(2) x sqrt(2) in the plane so that octahedra can tilt.

    `termination` is 'CsBr' or 'PbBr2' (the A site or the B site with its halide) on both faces;
    n_layers, odd, counts both kinds. Either slab is neutral, as each layer is.
    """
    a_site, b_site, halide = perovskite_elements(formula)
    if termination not in (f"{a_site}{halide}", f"{b_site}{halide}2") or n_layers % 2 == 0:
        raise StructureError(
            f"termination '{termination}' with {n_layers} layers; choose {a_site}{halide} or "
            f"{b_site}{halide}2 and an odd number"
        )
    outer_a = termination.startswith(a_site)
    slab = Atoms(cell=[[a, a, 0.0], [-a, a, 0.0], [0.0, 0.0, 0.0]], pbc=(True, True, False))
    for layer in range(n_layers):
        is_a = (layer % 2 == 0) == outer_a
        for x, y in ((0.0, 0.0), (0.0, 1.0)):
            # A at the corner of the cube, its halide at the centre of the face; B at the centre of
            # the face, its halides in the middle of the edges around it
            symbols = [a_site, halide] if is_a else [b_site, halide, halide]
            places = [(0, 0), (1, 1)] if is_a else [(1, 1), (1, 0), (0, 1)]
            corner = np.array([x * a, y * a, layer * a / 2.0])
            slab += Atoms(symbols, [corner + a / 2 * np.array([*place, 0]) for place in places])
    return finished(slab)


def perovskite_elements(formula: str) -> list[str]:
    """A, B and X of a formula ABX3."""
    symbols = list(dict.fromkeys(Atoms(formula).get_chemical_symbols()))
    if len(symbols) != 3:
        raise StructureError(f"'{formula}' is not a perovskite ABX3")
    return symbols


def lowest_layers(slab: Atoms, n_layers: int) -> Atoms:
    """The lowest n_layers atomic layers of a slab."""
    heights = np.unique(slab.positions[:, 2].round(3))
    return slab[slab.positions[:, 2] < heights[n_layers - 1] + 0.1]


def finished(slab: Atoms) -> Atoms:
    """A slab on z = 0 without a third cell vector, with the mesh it needs as info `kpoints`."""
    cell = slab.cell.array.copy()
    cell[2] = 0.0
    result = Atoms(slab.numbers, slab.positions, cell=cell, pbc=(True, True, False))
    result.positions[:, 2] -= result.positions[:, 2].min()
    result.info["kpoints"] = suitable_mesh(result)
    return result

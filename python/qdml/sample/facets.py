"""Slabs of the rarer facets, neutral as cut or by half a layer of halide: rs, wz, perovskite."""
# SPDX-License-Identifier: MIT

from __future__ import annotations

import numpy as np
from ase import Atoms
from ase.build import bulk, surface

from qdml.errors import StructureError
from qdml.sample.ionic_slabs import finished, lowest_layers, perovskite_elements


def rocksalt_slab_210(n_layers: int = 8, formula: str = "PbSe", a: float = 6.21) -> Atoms:
    """Bare rock-salt (210) slab, the facet of steps on (100): every layer is neutral.

    a in A; n_layers counts atomic layers, two of each element in a cell of a x sqrt(5) a. pbc is
    (T, T, F), z without cell vector; info `kpoints` is the mesh it needs.
    """
    crystal = bulk(formula, "rocksalt", a=a, cubic=True)
    return finished(lowest_layers(surface(crystal, (2, 1, 0), n_layers), n_layers))


def wurtzite_slab_1120(
    n_layers: int = 7, formula: str = "CdSe", a: float = 4.4, c: float = 7.2
) -> Atoms:
    """Bare wurtzite (11-20) slab, the side face of a nanorod: every layer is neutral.

    a and c in A; n_layers counts atomic layers, two of each element in a cell of sqrt(3) a x c.
    pbc is (T, T, F), z without cell vector; info `kpoints` is the mesh it needs.
    """
    crystal = bulk(formula, "wurtzite", a=a, c=c)
    return finished(lowest_layers(surface(crystal, (1, 1, 0), n_layers), n_layers))


def perovskite_slab_110(n_layers: int = 3, formula: str = "CsPbBr3", a: float = 6.0) -> Atoms:
    """(110) slab of a cubic perovskite, the bevelled edge of a cube, 2a x sqrt(2) a in the plane.

    Layers ABX carry +2 e and layers X2 -2 e for each cell, so both faces end in half a layer of X:
    each outer B keeps one of its two halides there, neighbours on opposite sides. n_layers counts
    the layers ABX. a in A; pbc is (T, T, F); info `kpoints` is the mesh it needs.
    """
    if n_layers < 2:
        raise StructureError(f"a (110) slab of {n_layers} layers ABX; at least 2")
    a_site, b_site, halide = perovskite_elements(formula)
    width, step = np.sqrt(2.0) * a, a / np.sqrt(2.0)
    slab = Atoms(cell=[[2 * a, 0, 0], [0, width, 0], [0, 0, 0]], pbc=(True, True, False))
    for layer in range(n_layers):
        for cell in range(2):
            x, y, z = cell * a, 0.5 * width * (layer % 2), layer * step
            slab += Atoms(
                [b_site, halide, a_site],
                [[x, y, z], [x + a / 2, y, z], [x + a / 2, y + width / 2, z]],
            )
    for layer in range(-1, n_layers):  # halides between this layer and the next
        z = (layer + 0.5) * step
        is_face = layer in (-1, n_layers - 1)
        inner = max(layer, 0)
        for cell in range(2):
            for side in (1, -1):
                if is_face and side != (-1) ** cell:
                    continue
                y = 0.5 * width * (inner % 2) + 0.25 * width * side
                slab += Atoms(halide, [[cell * a, y, z]])
    return finished(slab)

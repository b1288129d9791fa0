"""Chloride-passivated zinc-blende (110) and (111) slabs, neutral by electron counting."""
# SPDX-License-Identifier: MIT

from __future__ import annotations

import itertools

import numpy as np
from ase import Atoms

from qdml.label.frames import suitable_mesh
from qdml.sample.cells import ZB_LATTICE_PBE

CD_CL_HOLLOW = 2.75
"""Cd-Cl distance (A) of a Cl that three Cd share."""


def slab_110(
    n_layers: int = 4, repeat: tuple[int, int] = (2, 2), a: float = ZB_LATTICE_PBE
) -> Atoms:
    """Bare nonpolar (110) slab: each layer holds as many Cd as Se, so nothing is added.

    repeat counts cells of a x a/sqrt(2) (A) along [001] and [1-10]; pbc is (T, T, F), z without
    cell vector; info `kpoints` is the mesh it needs.
    """
    edges = np.array([a, a / np.sqrt(2.0)])
    atoms = Atoms(cell=[repeat[0] * edges[0], repeat[1] * edges[1], 0.0], pbc=(True, True, False))
    selenium = np.array([-0.25, 0.5])  # its place beside the Cd of the same layer, in cells
    for layer in range(n_layers):
        for i, j in itertools.product(range(repeat[0]), range(repeat[1])):
            cadmium = np.array([i, j]) + 0.5 * (layer % 2)
            for symbol, place in (("Cd", cadmium), ("Se", cadmium + selenium)):
                atoms.append(symbol)
                atoms.positions[-1] = [*(place * edges), layer * a / np.sqrt(8.0)]
    atoms.info["kpoints"] = suitable_mesh(atoms)
    return atoms


def slab_111(n_bilayers: int = 3, a: float = ZB_LATTICE_PBE) -> Atoms:
    """Polar (111) slab, 2 x 2 in the plane, made neutral: Cl on the Cd face, one Se less below.

    Electron counting (one dangling bond each): a Cd of (111) takes half a Cl, so two Cl sit in
    hollows between the four Cd; a Se of (-1-1-1) lacks half an electron, which one Se vacancy in
    four supplies, as on the (2 x 2) reconstructed faces of zinc-blende crystals. pbc is (T, T, F);
    info `kpoints` is the mesh it needs.
    """
    edge = a / np.sqrt(2.0)
    cell = np.array([[edge, 0.0, 0.0], [edge / 2, edge * np.sqrt(3) / 2, 0.0]])
    shift = (cell[0] + cell[1]) / 3.0  # from one stacking position to the next: A, B, C
    bond, spacing = a * np.sqrt(3.0) / 4.0, a / np.sqrt(3.0)
    atoms = Atoms(cell=[*(2 * cell), [0.0, 0.0, 0.0]], pbc=(True, True, False))
    for layer in range(n_bilayers):
        for i, j in itertools.product(range(2), range(2)):
            place = i * cell[0] + j * cell[1] + layer * shift
            # the Cd has the Se of the next bilayer right above it, one bond away
            for symbol, offset, z in (("Se", 0.0, 0.0), ("Cd", shift, spacing - bond)):
                atoms.append(symbol)
                atoms.positions[-1] = place + offset + [0.0, 0.0, layer * spacing + z]
    top = atoms.positions[:, 2].max()
    metals = [a.index for a in atoms if a.symbol == "Cd" and a.position[2] > top - 1e-6]
    lowest = [a.index for a in atoms if a.symbol == "Se" and a.position[2] < 1e-6]
    height = np.sqrt(CD_CL_HOLLOW**2 - edge**2 / 3)
    # one stacking step from a Cd is a hollow of three Cd that has no Se below it
    for metal in metals[:: len(metals) // 2]:
        atoms += Atoms("Cl", [atoms.positions[metal] + [*shift[:2], height]])
    del atoms[lowest[0]]
    atoms.info["kpoints"] = suitable_mesh(atoms)
    return atoms

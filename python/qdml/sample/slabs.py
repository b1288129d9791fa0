"""Passivated zinc-blende (100) slabs: chloride or formate by the counting rule."""
# SPDX-License-Identifier: MIT

from __future__ import annotations

import numpy as np
from ase import Atoms

from qdml.errors import StructureError
from qdml.label.frames import suitable_mesh
from qdml.sample.cells import ZB_LATTICE_PBE

CD_CL = 2.57
"""Cd-Cl distance in A on relaxed PBE dots (2.56-2.60)."""

CD_O = 2.35
"""Cd-O distance in A of bridging formate on CdSe (2.37 at the peak of the 300 K RDF)."""

FORMATE_O_O, FORMATE_C_O, FORMATE_C_H = 2.24, 1.27, 1.11
"""Distances in A inside a bound formate."""


def slab_100(
    ligand: str = "Cl", n_cation_layers: int = 4, repeat: int = 2, a: float = ZB_LATTICE_PBE
) -> Atoms:
    """Cd-terminated (100) slab of CdSe with one ligand X per surface Cd on both faces.

    A surface Cd of (100) has two dangling bonds and takes one X-type ligand (electron counting);
    each ligand sits at an empty Se site and bridges two Cd. `ligand` is 'Cl' or 'HCOO'. The
    in-plane cell is repeat x repeat of a/sqrt(2) (A); pbc is (T, T, F), z without cell vector;
    info `kpoints` is the mesh it needs.
    """
    if ligand not in ("Cl", "HCOO"):
        raise StructureError(f"ligand '{ligand}' on the (100) slab; choose Cl or HCOO")
    edge, step = a / np.sqrt(2.0), a / 4.0
    # the four layers of the stacking in units of `edge`: Cd, Se, Cd, Se; Se bridges along x, then y
    offsets = ((0.0, 0.0), (0.5, 0.0), (0.5, 0.5), (0.0, 0.5))
    n_layers = 2 * n_cation_layers - 1
    atoms = Atoms(cell=[repeat * edge, repeat * edge, 0.0], pbc=(True, True, False))
    sites = [(i, j) for i in range(repeat) for j in range(repeat)]
    for layer in range(n_layers):
        symbol = "Cd" if layer % 2 == 0 else "Se"
        for i, j in sites:
            x, y = offsets[layer % 4]
            atoms.append(symbol)
            atoms.positions[-1] = ((i + x) * edge, (j + y) * edge, layer * step)
    for layer, upward in ((n_layers, 1.0), (-1, -1.0)):
        x, y = offsets[layer % 4]
        surface_offset = offsets[(layer - int(upward)) % 4]
        bridge = np.array([x - surface_offset[0], y - surface_offset[1], 0.0])
        bridge /= np.linalg.norm(bridge)
        surface_z = (layer - upward) * step
        for i, j in sites:
            middle = np.array([(i + x) * edge, (j + y) * edge, surface_z])
            up = np.array([0.0, 0.0, upward])
            symbols, positions = bridging_ligand(ligand, middle, bridge, up, edge)
            atoms += Atoms(symbols, positions)
    atoms.info["kpoints"] = suitable_mesh(atoms)
    return atoms


def bridging_ligand(
    ligand: str, middle: np.ndarray, along: np.ndarray, up: np.ndarray, cd_cd: float
) -> tuple[list[str], np.ndarray]:
    """Symbols and positions [n, 3] of a ligand bridging two Cd.

    middle is the point between the Cd (A), along the unit vector from one to the other, up the unit
    vector out of the surface, cd_cd the distance of the two Cd (A).
    """
    if ligand == "Cl":
        height = np.sqrt(max(CD_CL**2 - (cd_cd / 2) ** 2, 0.5))
        return ["Cl"], (middle + height * up)[None]
    half = FORMATE_O_O / 2
    height = np.sqrt(max(CD_O**2 - (cd_cd / 2 - half) ** 2, 0.5))
    rise = np.sqrt(FORMATE_C_O**2 - half**2)
    oxygens = [middle + sign * half * along + height * up for sign in (-1.0, 1.0)]
    carbon = middle + (height + rise) * up
    return ["O", "O", "C", "H"], np.array([*oxygens, carbon, carbon + FORMATE_C_H * up])

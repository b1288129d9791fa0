"""Write the cells that elastic constants and zone-centre modes of DFT itself are measured on.

Usage: python make_static_frames.py CdSe|InP|PbSe|CsPbBr3 frames.extxyz
`qdml validate` finds them among the labelled frames by their geometry and measures a potential on
the same cells. Origin `bulk-elastic`: the crystal under three strains, atoms moving along with it.
Origin `bulk-mode`: one sublattice shifted along x. They have no split and stay out of the archive:
no potential is fitted to them.
"""
# SPDX-License-Identifier: MIT

from __future__ import annotations

import sys

import ase.io
from ase import Atoms
from pack_frames import sampled_length
from qdml.build.materials import MATERIALS
from qdml.label.frames import suitable_mesh
from qdml.sample.cells import strain_mode
from qdml.validate.crystal import phase_cell
from qdml.validate.statics import sublattices

STRAINS = (("xx", 0.01), ("xx", -0.01), ("yz", 0.01))
"""Mode and tensor component: C11 and C12 from the first two, C44 from the third."""

SHIFT = 0.03  # A


def static_frames(material: str) -> list[Atoms]:
    """Strained cells and cells with a shifted sublattice."""
    structure = MATERIALS[material].structure
    cell = phase_cell(material, "cubic" if structure == "perovskite" else structure)
    frames = []
    for mode, size in STRAINS:
        frame = strain_mode(cell, mode, size)
        frame.info["origin"] = "bulk-elastic"
        frames.append(frame)
    members = sublattices(cell)
    # two sublattices: what one feels the other feels in reverse
    for sublattice in members if len(members) > 2 else members[:1]:
        frame = cell.copy()
        frame.positions[sublattice, 0] += SHIFT
        frame.info["origin"] = "bulk-mode"
        frames.append(frame)
    smallest = min(frames, key=lambda frame: frame.cell.lengths().min())
    mesh = suitable_mesh(smallest, sampled_length(material))  # one for all: their differences count
    for frame in frames:
        frame.info["kpoints"] = mesh
    return frames


if __name__ == "__main__":
    ase.io.write(sys.argv[2], static_frames(sys.argv[1]))

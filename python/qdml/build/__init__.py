# SPDX-License-Identifier: MIT
"""Build charge-balanced quantum dots with their ligand shell.

`build_dot` is the whole path: check the request (`recipe`), cut the core (`core`), name its
elements (`elements`), choose the surface sites (`capping`, `perovskite`), place and relax the
ligands (`placement`, `steric`), check distances, recount the charge from the atoms (`recount`) and
describe (`summary`).
"""

from qdml.build.dot import PRESETS, DotResult, build_dot, preset
from qdml.build.exchange import exchange_ligands

__all__ = ["PRESETS", "DotResult", "build_dot", "exchange_ligands", "preset"]

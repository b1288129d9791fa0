# SPDX-License-Identifier: MIT
"""Build charge-balanced zinc-blende quantum dots with their ligand shell.

`build_dot` is the whole path: cut the core (`core`), choose the surface sites (`capping`), place
and relax the ligands (`placement`, `steric`), check distances and describe (`summary`).
"""

from qdml.build.dot import PRESETS, DotResult, build_dot, preset

__all__ = ["PRESETS", "DotResult", "build_dot", "preset"]

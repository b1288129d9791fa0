"""Write the fourth plan: a facet and a ligand that no fit sees.

Usage: python plan_held_out.py sampler.qdml held_out.extxyz
The facet is wurtzite (11-20), the side of a nanorod; the ligand is acetate, whose methyl group no
other frame has: as Cd(CH3COO)2 and in the place of one Cl on (100). `sampler.qdml` is a universal
potential (`python -m qdml_train import sevennet 7net-l3i5 -o sampler.qdml`).
"""
# SPDX-License-Identifier: MIT

from __future__ import annotations

import sys
from pathlib import Path

import ase.io
import numpy as np
from ase import Atoms
from ase.optimize import FIRE
from qdml.sample import facets
from qdml.sample.dynamics import make_calculator, sample_md
from qdml.sample.slabs import bridging_ligand, slab_100
from qdml.sample.thermal import shaken

C_C, C_H = 1.51, 1.10  # A
FRAMES = {300: 2, 600: 2}  # number at each temperature, K


def acetate(middle: np.ndarray, along: np.ndarray, cd_cd: float) -> Atoms:
    """Acetate that bridges two Cd, cd_cd (A) apart along a unit vector, its methyl group up."""
    up = np.array([0.0, 0.0, 1.0])
    symbols, positions = bridging_ligand("HCOO", middle, along, up, cd_cd)
    ligand = Atoms(symbols[:-1], positions[:-1])
    methyl = ligand.positions[-1] + C_C * up
    ligand += Atoms("C", [methyl])
    across = np.cross(up, along)
    for angle in np.radians([0.0, 120.0, 240.0]):
        outward = np.cos(angle) * across + np.sin(angle) * along
        ligand += Atoms("H", [methyl + C_H * (0.33 * up + 0.94 * outward)])
    return ligand


def acetate_on_100() -> Atoms:
    """(100) slab under Cl, one Cl of the upper face replaced by acetate."""
    slab = slab_100("Cl", n_cation_layers=3)
    chloride = int(slab.positions[:, 2].argmax())
    box = slab.copy()
    box.center(vacuum=8.0, axis=2)
    metals = np.flatnonzero(slab.symbols == "Cd")
    vectors = box.get_distances(chloride, metals, mic=True, vector=True)
    one, other = vectors[np.argsort(np.linalg.norm(vectors, axis=1))[:2]]
    middle = slab.positions[chloride] + (one + other) / 2
    cd_cd = np.linalg.norm(other - one)
    result = slab + acetate(middle, (other - one) / cd_cd, cd_cd)
    del result[chloride]
    result.info = dict(slab.info)
    return result


def cadmium_acetate() -> Atoms:
    """Cd(CH3COO)2, both acetates chelating, one turned a quarter round."""
    ligand = acetate(np.zeros(3), np.array([1.0, 0.0, 0.0]), 0.0)
    other = ligand.copy()
    other.rotate(180.0, "x", center=(0, 0, 0))
    other.rotate(90.0, "z", center=(0, 0, 0))
    return Atoms("Cd", [[0.0, 0.0, 0.0]]) + ligand + other


def main(sampler: str, output: str) -> None:
    """Relax and heat each structure; all of it is for the test split."""
    calculator = make_calculator(sampler)
    starts = {
        "slab-wz-1120": facets.wurtzite_slab_1120(),
        "mol-Cd(CH3COO)2": cadmium_acetate(),
        "slab-100-Cl-acetate": acetate_on_100(),
    }
    queue = []
    for number, (origin, start) in enumerate(starts.items()):
        kpoints = start.info.get("kpoints")
        frame = shaken(start, number)
        frame.calc = calculator
        FIRE(frame, logfile=None, maxstep=0.1).run(fmax=0.05, steps=80)
        frame.calc = None
        for temperature, n_frames in FRAMES.items():
            for found in sample_md(
                frame, calculator, temperature=temperature, n_steps=150 * n_frames, every=150,
                timestep=1.0, friction=0.03, seed=[number, temperature],
            ):  # fmt: skip
                found.positions = found.positions.round(6)
                kind = "facet" if origin == "slab-wz-1120" else "new ligand"
                found.info |= {"origin": origin, "split": "test", "held_out": kind}
                if kpoints is not None:
                    found.info["kpoints"] = kpoints
                queue.append(found)
    ase.io.write(output, queue)
    print(f"{Path(output).name}: {len(queue)} frames of {len(starts)} origins")


if __name__ == "__main__":
    main(*sys.argv[1:])

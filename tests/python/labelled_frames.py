# SPDX-License-Identifier: MIT
"""Labelled frames for the tests of data and fits; needs no JAX."""

from __future__ import annotations

from pathlib import Path

import ase.io
import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.calculators.lj import LennardJones
from ase.calculators.singlepoint import SinglePointCalculator
from qdml_train.frames import Frame, frame_from_atoms


def frame(atoms: Atoms, index: int = 0) -> Frame:
    return frame_from_atoms(atoms, "test", index)


def cluster(n: int = 9, seed: int = 0, spacing: float = 1.5) -> Atoms:
    """n atoms of three elements near the points of a lattice, in no cell."""
    rng = np.random.default_rng(seed)
    grid = np.array([(i, j, k) for i in range(3) for j in range(3) for k in range(3)], float)
    positions = spacing * grid[rng.permutation(27)[:n]] + rng.normal(scale=0.15, size=(n, 3))
    return Atoms(rng.choice([1, 6, 8], size=n), positions)


def labelled(atoms: Atoms, **info: object) -> Atoms:
    """Lennard-Jones labels: energies, forces and stresses that belong together."""
    atoms.calc = LennardJones(sigma=2.3, epsilon=0.25, rc=4.0, smooth=True)
    results = {"energy": atoms.get_potential_energy(), "forces": atoms.get_forces()}
    if atoms.pbc.all():
        results["stress"] = atoms.get_stress()
    atoms.calc = SinglePointCalculator(atoms, **results)
    atoms.info.update(info)
    return atoms


def lj_frames(n: int, seed: int = 0, rattle: float = 0.07) -> list[Atoms]:
    """Rattled rock-salt cells and clusters of Ar and Ne with labels, in two origins."""
    rng = np.random.default_rng(seed)
    frames = []
    for k in range(n):
        atoms = bulk("NaCl", "rocksalt", a=5.2, cubic=True)
        atoms.symbols[:] = ["Ar", "Ne"] * 4
        if k % 2:
            atoms.pbc = False
            atoms.cell = None
            del atoms[k % 8]
        else:
            atoms.set_cell(atoms.cell * (1 + 0.02 * rng.normal()), scale_atoms=True)
        atoms.positions += rng.normal(scale=rattle, size=atoms.positions.shape)
        origin = "cluster" if k % 2 else "bulk"
        frames.append(labelled(atoms, origin=origin, level_of_theory="LJ"))
    return frames


def write_frames(path: Path, frames: list[Atoms]) -> Path:
    ase.io.write(path, frames, format="extxyz")
    return path


def relabel(
    atoms: Atoms,
    energy_factor: float = 1.0,
    force_factor: float = 1.0,
    forces: np.ndarray | None = None,
    **more: object,
) -> Atoms:
    """Other labels on the same atoms: scaled, or the forces that are given."""
    results = dict(atoms.calc.results)
    results["energy"] = results["energy"] * energy_factor
    results["forces"] = results["forces"] * force_factor if forces is None else forces
    results.update(more)
    atoms.calc = SinglePointCalculator(atoms, **results)
    return atoms


def trajectory(n: int = 12, seed: int = 2, step: float = 0.04) -> list[Atoms]:
    """Consecutive frames of one cluster, near enough for the work test."""
    rng = np.random.default_rng(seed)
    atoms = lj_frames(2)[1].copy()
    frames = []
    for _ in range(n):
        atoms = atoms.copy()
        atoms.positions += rng.normal(scale=step, size=atoms.positions.shape)
        frames.append(labelled(atoms.copy(), origin="md", level_of_theory="LJ"))
    return frames

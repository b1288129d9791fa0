"""Frames from molecular dynamics with a given potential, for the next round of labels."""
# SPDX-License-Identifier: MIT

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from ase import Atoms, units
from ase.calculators.calculator import Calculator
from ase.md.langevin import Langevin

from qdml.errors import LabelError

FRICTION = 0.02
"""Langevin friction per fs: forgets its start within some 50 fs, as a sampler may."""

TOO_CLOSE = 0.5
"""Atoms nearer than this (A) mean that the potential has failed; the run ends there."""


def sample_md(
    start: Atoms,
    calculator: Calculator,
    *,
    temperature: float,
    n_steps: int,
    every: int,
    timestep: float = 1.0,
    friction: float = FRICTION,
    seed: int | Sequence[int] = 0,
    on_step: Callable[[int], None] | None = None,
) -> list[Atoms]:
    """Frames of a Langevin run, one each `every` steps; temperature K, timestep fs, friction 1/fs.

    A run in which atoms collapse or energies turn non-finite is cut there and what came before is
    returned; LabelError when nothing came before. Frames keep info `vacuum_axes` of the start.
    on_step is told every stored step.
    """
    rng = np.random.default_rng(seed)
    atoms = start.copy()
    atoms.calc = calculator
    give_velocities(atoms, temperature, rng)
    dynamics = Langevin(
        atoms,
        timestep * units.fs,
        temperature_K=temperature,
        friction=friction / units.fs,
        rng=rng,
        fixcm=False,  # ASE's own removal of the drift does not sample the canonical ensemble
    )
    frames: list[Atoms] = []
    for step in range(every, n_steps + 1, every):
        dynamics.run(every)
        if not _is_sound(atoms):
            break
        frame = Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
        frame.info.update(temperature=float(temperature), md_step=step)
        if "vacuum_axes" in start.info:  # hot atoms may leave too little of a gap to be seen
            frame.info["vacuum_axes"] = start.info["vacuum_axes"]
        frames.append(frame)
        if on_step is not None:
            on_step(step)
    if not frames:
        raise LabelError(
            f"the run at {temperature:g} K broke within {every} steps of {timestep:g} fs; the "
            "potential does not know this structure, or the time step is too long"
        )
    return frames


def give_velocities(atoms: Atoms, temperature: float, rng: np.random.Generator) -> None:
    """Set the momenta of every atom from the Maxwell-Boltzmann distribution at temperature K."""
    thermal = np.sqrt(atoms.get_masses() * units.kB * temperature)
    atoms.set_momenta(thermal[:, None] * rng.standard_normal((len(atoms), 3)))


def _is_sound(atoms: Atoms) -> bool:
    if not np.isfinite(atoms.get_potential_energy()) or not np.isfinite(atoms.positions).all():
        return False
    distances = atoms.get_all_distances(mic=bool(atoms.pbc.any()))
    np.fill_diagonal(distances, np.inf)
    return bool(distances.min() > TOO_CLOSE)


def make_calculator(model: str) -> Calculator:
    """ASE calculator for `gfn1-xtb` or the path of a .qdml file."""
    if model == "gfn1-xtb":
        try:
            from tblite.ase import TBLite
        except ImportError:
            raise LabelError("tblite is not installed; `pip install tblite`") from None
        return TBLite(method="GFN1-xTB", verbosity=0)
    from qdml import Calculator as QdmlCalculator

    return QdmlCalculator(model)

# SPDX-License-Identifier: MIT
"""A crystal heated at zero pressure through LAMMPS: its edges, and the tilts of a perovskite."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.geometry import find_mic
from ase.io import write

from qdml.analyse.surface import find_pairs
from qdml.build.materials import MATERIALS
from qdml.errors import DataError
from qdml.validate.crystal import phase_cell
from qdml.validate.dynamics import deck_head, run_lammps

LENGTH = 23.0
"""A: least edge of the supercell."""

TIMESTEP = 0.002  # ps
EVERY = 10  # steps between samples of an average
SETTLING = 1 / 3
"""Part of the time at each temperature before anything is averaged."""

TEMPERATURES = {"CsPbBr3": (100, 200, 250, 300, 350, 400, 450, 500)}
DEFAULT_TEMPERATURES = (150, 300, 450, 600)

START = """thermo 100
thermo_style custom step temp press lx ly lz
variable x equal lx
variable y equal ly
variable z equal lz
compute u all property/atom xu yu zu
fix still all momentum 100 linear 1 1 1
velocity all create {first} 4711 mom yes rot yes dist gaussian
"""

STAGE = """reset_timestep 0
fix move all npt temp {temperature} {temperature} 0.1 aniso 0 0 1.0
run {settle}
reset_timestep 0
fix box all ave/time {every} {samples} {steps} v_x v_y v_z file box-{temperature}.dat
fix mean all ave/atom {every} {samples} {steps} c_u[1] c_u[2] c_u[3]
run {steps}
write_dump all custom mean-{temperature}.dump id type f_mean[1] f_mean[2] f_mean[3] modify sort id
unfix box
unfix mean
unfix move
"""


@dataclass(frozen=True)
class Heating:
    """Means over a run at each temperature.

    temperatures [n] in K; edges [n, 3] in A: of the cubic cell, for a perovskite pseudocubic (along
    the two diagonals of the plane, and c). tilts [n, 2] in degrees, or None: of the octahedra about
    the axes of the plane, in antiphase, and about c, in phase; zero for the cubic crystal.
    """

    temperatures: np.ndarray
    edges: np.ndarray
    tilts: np.ndarray | None

    @property
    def expansion(self) -> float:
        """Coefficient of linear expansion in 1/K: slope of the mean edge over its mean."""
        edge = np.cbrt(self.edges.prod(axis=1))
        return float(np.polyfit(self.temperatures, edge, 1)[0] / edge.mean())


def start_cell(material: str) -> tuple[Atoms, np.ndarray]:
    """Supercell to heat, along the box axes, and how many (pseudo)cubic edges span each of them."""
    structure = MATERIALS[material].structure
    if structure == "perovskite":
        cell = phase_cell(material, "tilted")
        spans = np.array([np.sqrt(2), np.sqrt(2), 2.0])
    else:
        cell, spans = phase_cell(material, structure), np.ones(3)
    repeat = np.ceil(LENGTH / cell.cell.lengths() - 1e-9).astype(int)
    return cell.repeat(repeat), spans * repeat


def heat(
    material: str,
    model: Path,
    folder: Path,
    *,
    picoseconds: float,
    temperatures: tuple[int, ...] | None = None,
    ranks: int = 1,
    on_progress: Callable[[str], None] = lambda text: None,
) -> Heating:
    """Run through rising temperatures, `picoseconds` at each, from the phase that is stable at 0 K.

    EngineError with LAMMPS' message if the run fails.
    """
    chosen = tuple(sorted(temperatures or TEMPERATURES.get(material, DEFAULT_TEMPERATURES)))
    crystal, spans = start_cell(material)
    folder.mkdir(parents=True, exist_ok=True)
    elements = sorted(set(crystal.get_chemical_symbols()))
    write(folder / "crystal.data", crystal, format="lammps-data", specorder=elements,
          atom_style="atomic")  # fmt: skip
    samples = max(round(picoseconds * (1 - SETTLING) / TIMESTEP / EVERY), 1)
    deck = deck_head(model, elements, "crystal.data", "p p p", TIMESTEP)
    deck += START.format(first=2 * chosen[0])
    for temperature in chosen:
        deck += f'print "heated to {temperature} K"\n' + STAGE.format(
            temperature=temperature, settle=round(picoseconds * SETTLING / TIMESTEP),
            every=EVERY, samples=samples, steps=EVERY * samples,
        )  # fmt: skip
    (folder / "in.heat").write_text(deck)
    run_lammps(folder, "heat", ranks, lambda lines: follow(lines, len(chosen), on_progress))
    edges, tilts = [], []
    for temperature in chosen:
        box = np.loadtxt(folder / f"box-{temperature}.dat")
        lengths = np.atleast_2d(box)[-1, 1:]
        edges.append(lengths / spans)
        mean = np.loadtxt(folder / f"mean-{temperature}.dump", skiprows=9)
        symbols = [elements[int(kind) - 1] for kind in mean[:, 1]]
        atoms = Atoms(symbols, mean[:, 2:], cell=lengths, pbc=True)
        tilts.append(octahedral_tilts(atoms, material))
    is_perovskite = MATERIALS[material].structure == "perovskite"
    return Heating(np.array(chosen), np.array(edges), np.array(tilts) if is_perovskite else None)


def follow(
    lines: Iterable[str], n_temperatures: int, on_progress: Callable[[str], None]
) -> Iterable[str]:
    """Hand on what LAMMPS prints, and tell each temperature with the time left."""
    began, done = time.monotonic(), 0
    for line in lines:
        if line.startswith("heated to"):
            left = (time.monotonic() - began) / max(done, 1) * (n_temperatures - done)
            known = f", {left / 60:.1f} min left" if done else ""
            on_progress(f"crystal {line.strip()}{known}")
            done += 1
        yield line


def octahedral_tilts(atoms: Atoms, material: str) -> tuple[float, float]:
    """Tilts in degrees about the plane's axes and about z of a mean structure; 0, 0 if none apply.

    Each halide lies between two B cations; half of what its bonds miss to 180 degrees is the tilt.
    Halides along z show the turns about the axes of the plane, those in the plane the turn about
    z, by what they move within the plane. DataError if a halide has not two neighbours.
    """
    known = MATERIALS[material]
    if known.structure != "perovskite":
        return 0.0, 0.0
    symbols = np.array(atoms.get_chemical_symbols())
    reach = 0.75 * known.lattice_pbe
    pairs = find_pairs(atoms, reach)
    bonded = (symbols[pairs.i] == known.anion) & (symbols[pairs.j] == known.cation)
    along, within = [], []
    for halide in np.flatnonzero(symbols == known.anion):
        ends = pairs.j[bonded & (pairs.i == halide)]
        if len(ends) != 2:
            raise DataError(
                f"{known.anion} number {halide} of the mean structure has {len(ends)} "
                f"{known.cation} within {reach:.2f} A, not 2: the crystal is no perovskite any more"
            )
        vectors = find_mic(atoms.positions[ends] - atoms.positions[halide], atoms.cell)[0]
        axis = vectors[1] - vectors[0]
        away = -0.5 * (vectors[0] + vectors[1])  # of the halide from the middle of the two
        half = 0.5 * np.linalg.norm(axis)
        if abs(axis[2]) > 0.7 * np.linalg.norm(axis):
            along.append(np.arctan2(np.linalg.norm(away[:2]), half))
        else:
            across = np.array([-axis[1], axis[0]]) / np.linalg.norm(axis[:2])
            within.append(np.arctan2(abs(away[:2] @ across), half))
    return float(np.degrees(np.mean(along))), float(np.degrees(np.mean(within)))

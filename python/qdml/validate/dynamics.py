# SPDX-License-Identifier: MIT
"""Dynamics of a dot through LAMMPS: decks, runs, and whether the dot stays whole."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.data import atomic_masses, covalent_radii
from ase.io import write
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from qdml.analyse.drift import Drift, choose_section, measure_drift
from qdml.analyse.logfile import read_log
from qdml.analyse.surface import BOND_FACTOR, find_pairs
from qdml.analyse.trajectory import Trajectory, read_trajectory
from qdml.build.charges import OXIDATION
from qdml.errors import EngineError
from qdml.lammps import lammps_command, lammps_environment

VACUUM = 15.0
"""A of empty space around the dot; the box shrinks and grows with it."""

EQUILIBRATION = 2.0
"""ps of each run before anything is counted."""

FRAMES = 200
"""Frames kept of a run at constant temperature."""

SPECTRUM_STEPS = 2
"""Steps between stored velocities: 4 fs resolve vibrations up to 4000 cm-1."""

DECK = """units metal
atom_style atomic
atom_modify map yes
newton on
boundary s s s
read_data dot.data
{masses}
pair_style qdml
pair_coeff * * {model} {elements}
neighbor 1.0 bin
neigh_modify every 1 delay 0 check yes
timestep {timestep}
thermo_style custom step time temp pe ke etotal
thermo_modify format float %.12g flush yes
thermo {thermo}
minimize 0 1.0e-2 300 3000
reset_timestep 0
velocity all create {start} {seed} mom yes rot yes dist gaussian
{body}
"""

NVT = """fix move all nve
fix bath all langevin {temperature} {temperature} 0.2 {seed} zero yes
run {equilibration}
reset_timestep 0
dump d all custom {every} nvt-{temperature}.lammpstrj id type element x y z
dump_modify d element {elements} sort id
run {steps}
"""

NVE = """fix move all nve
fix bath all langevin {temperature} {temperature} 0.2 {seed} zero yes
run {equilibration}
unfix bath
velocity all zero linear
velocity all zero angular
reset_timestep 0
dump d all custom {every} nve.lammpstrj id type element x y z vx vy vz
dump_modify d element {elements} sort id
run {steps}
"""


@dataclass(frozen=True)
class Intact:
    """Whether a dot stays whole: over the frames of a run.

    detached: atoms outside the largest piece, per frame. shortest: least distance of any two atoms
    over the sum of their covalent radii, and the pair of elements that has it.
    """

    detached: np.ndarray
    shortest: float
    shortest_pair: str
    lost: str


def time_step(atoms: Atoms) -> float:
    """fs: 1 with hydrogen, 2 without."""
    return 1.0 if "H" in atoms.get_chemical_symbols() else 2.0


def run(
    dot: Atoms,
    model: Path,
    folder: Path,
    name: str,
    *,
    temperature: int,
    picoseconds: float,
    ranks: int = 1,
    seed: int = 4711,
    on_part: Callable[[float], None] = lambda part: None,
) -> None:
    """Run 'nvt-TEMPERATURE' or 'nve' in a folder; EngineError with LAMMPS' message if it fails.

    `on_part` is told the finished part of the steps, 0 to 1, as LAMMPS prints them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    elements = sorted(set(dot.get_chemical_symbols()))
    _write_data(dot, elements, folder / "dot.data")
    step = time_step(dot)
    n_steps = max(round(1000 * picoseconds / step), 10)
    n_first = round(1000 * min(EQUILIBRATION, picoseconds) / step)
    nve = name == "nve"
    body = (NVE if nve else NVT).format(
        temperature=temperature,
        seed=seed,
        equilibration=n_first,
        every=SPECTRUM_STEPS if nve else max(n_steps // FRAMES, 1),
        elements=" ".join(elements),
        steps=n_steps,
    )
    masses = "\n".join(
        f"mass {k} {atomic_masses[Atoms(symbol).numbers[0]]}"
        for k, symbol in enumerate(elements, start=1)
    )
    deck = DECK.format(
        masses=masses,
        model=model.resolve(),
        elements=" ".join(elements),
        timestep=step / 1000,
        thermo=max(n_steps // 500, 1) if nve else 100,
        # a minimum turns half of its kinetic energy into potential energy
        start=2 * temperature,
        seed=seed,
        body=body,
    )
    (folder / f"in.{name}").write_text(deck)
    arguments = ["-in", f"in.{name}", "-log", f"{name}.log", "-nocite"]
    with subprocess.Popen(
        lammps_command(arguments, ranks),
        cwd=folder,
        env=lammps_environment(1, ranks),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            printed = list(follow(process.stdout, n_first, n_steps, on_part))
        except BaseException:
            process.kill()  # Ctrl-C too: leaving the block would wait for the end of the run
            raise
    if process.returncode:
        errors = [line.strip() for line in printed if "ERROR" in line]
        last = "".join(printed)[-300:]
        raise EngineError(f"{folder / f'in.{name}'}: {errors[0] if errors else last}")


def follow(
    lines: Iterable[str], n_first: int, n_steps: int, on_part: Callable[[float], None]
) -> Iterable[str]:
    """Hand on what LAMMPS prints and tell the finished part of both runs after the minimisation.

    Every minimisation and run prints a line of headings that begins with Step, and then its steps
    from 0.
    """
    tables = 0
    for line in lines:
        first = line.split(maxsplit=1)[0] if line.strip() else ""
        tables += first == "Step"
        if tables > 1 and first.isdigit():
            done = int(first) + (n_first if tables > 2 else 0)
            on_part(min(done / (n_first + n_steps), 1.0))
        yield line


def _write_data(dot: Atoms, elements: list[str], path: Path) -> None:
    box = Atoms(dot.get_chemical_symbols(), dot.positions)
    box.center(vacuum=VACUUM)
    write(path, box, format="lammps-data", specorder=elements, atom_style="atomic")


def frames_of(folder: Path, name: str, stride: int = 1) -> Trajectory:
    """The stored frames of a run, as free clusters."""
    trajectory = read_trajectory(folder / f"{name}.lammpstrj", stride=stride)
    for frame in trajectory.frames:
        frame.pbc = False
    return trajectory


def drift_of(folder: Path) -> Drift:
    """Drift of the run at constant energy."""
    log = read_log(folder / "nve.log")
    return measure_drift(log, choose_section(log))


def pieces(atoms: Atoms) -> np.ndarray:
    """Number of the piece of each atom [n]: bonds are shorter than 1.3 covalent radii sums.

    Bonds between two cations or two anions of the lattice do not hold a dot together and are not
    counted: only pairs of unlike formal charge, and pairs of a ligand's own atoms (C, H, N, O, S).
    """
    charge = np.array([_sign(symbol) for symbol in atoms.get_chemical_symbols()])
    radii = covalent_radii[atoms.numbers]
    found = find_pairs(atoms, 2 * BOND_FACTOR * radii.max())
    bonded = found.distance < BOND_FACTOR * (radii[found.i] + radii[found.j])
    unlike = charge[found.i] * charge[found.j] <= 0
    i, j = found.i[bonded & unlike], found.j[bonded & unlike]
    graph = coo_array((np.ones(len(i)), (i, j)), shape=(len(atoms), len(atoms)))
    return connected_components(graph, directed=False)[1]


def _sign(symbol: str) -> int:
    return int(np.sign(OXIDATION.get(symbol, 0)))


def intactness(frames: list[Atoms]) -> Intact:
    """Pieces and shortest distances of a run."""
    detached, shortest, pair, lost = [], np.inf, "", ""
    for atoms in frames:
        number = pieces(atoms)
        counts = np.bincount(number)
        detached.append(len(atoms) - int(counts.max()))
        found = find_pairs(atoms, 4.0)
        radii = covalent_radii[atoms.numbers]
        ratio = found.distance / (radii[found.i] + radii[found.j])
        if len(ratio) and ratio.min() < shortest:
            k = int(ratio.argmin())
            shortest = float(ratio[k])
            pair = f"{atoms.symbols[found.i[k]]}-{atoms.symbols[found.j[k]]}"
        away = number != counts.argmax()
        lost = atoms[away].get_chemical_formula() if away.any() else ""
    return Intact(np.array(detached), shortest, pair, lost)

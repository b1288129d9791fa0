# SPDX-License-Identifier: MIT
"""Dynamics of a dot through LAMMPS: decks, runs and what they leave."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path

from ase import Atoms
from ase.data import atomic_masses, atomic_numbers
from ase.io import write

from qdml.analyse.drift import Drift, choose_section, measure_drift
from qdml.analyse.logfile import read_log
from qdml.analyse.trajectory import Trajectory, read_trajectory
from qdml.errors import EngineError
from qdml.lammps import lammps_command, lammps_environment

VACUUM = 15.0
"""A of empty space around the dot; the box shrinks and grows with it."""

EQUILIBRATION = 2.0
"""ps of each run before anything is counted."""

FRAMES = 200
"""Frames kept of a run at constant temperature, or more where they were too far apart."""

LONGEST_GAP = 0.1
"""ps between kept frames at most: tells an atom that left from one that swings out and back."""

RELAXED = "relaxed"
"""Name of the trajectory that holds the one structure at the end of the minimisation."""

SPECTRUM_STEPS = 2
"""Steps between stored velocities: 4 fs resolve vibrations up to 4000 cm-1."""

HEAD = """units metal
atom_style atomic
atom_modify map yes
newton on
boundary {boundary}
read_data {data}
{masses}
pair_style qdml
pair_coeff * * {model} {elements}
neighbor 1.0 bin
neigh_modify every 1 delay 0 check yes
timestep {timestep}
"""

DECK = """thermo_style custom step time temp pe ke etotal
thermo_modify format float %.12g flush yes
thermo {thermo}
minimize 0 1.0e-2 300 3000
write_dump all custom {relaxed}.lammpstrj id type element x y z modify element {elements} sort id
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


def time_step(atoms: Atoms) -> float:
    """fs: 1 with hydrogen, 2 without."""
    return 1.0 if "H" in atoms.get_chemical_symbols() else 2.0


def _steps(picoseconds: float, step: float) -> int:
    return max(round(1000 * picoseconds / step), 10)


def _stride(n_steps: int, step: float) -> int:
    """Steps between kept frames: FRAMES of them, not farther apart than LONGEST_GAP."""
    return max(min(n_steps // FRAMES, int(1000 * LONGEST_GAP / step)), 1)


def frame_spacing(dot: Atoms, picoseconds: float) -> float:
    """ps between the kept frames of a run at constant temperature."""
    step = time_step(dot)
    return _stride(_steps(picoseconds, step), step) * step / 1000


def deck_head(model: Path, elements: list[str], data: str, boundary: str, timestep: float) -> str:
    """Lines that read a structure and give it a potential; elements of types 1, 2; step in ps."""
    masses = "\n".join(
        f"mass {k} {atomic_masses[atomic_numbers[symbol]]}" for k, symbol in enumerate(elements, 1)
    )
    return HEAD.format(
        boundary=boundary, data=data, masses=masses, model=model.resolve(),
        elements=" ".join(elements), timestep=timestep,
    )  # fmt: skip


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
    n_steps = _steps(picoseconds, step)
    n_first = round(1000 * min(EQUILIBRATION, picoseconds) / step)
    nve = name == "nve"
    body = (NVE if nve else NVT).format(
        temperature=temperature,
        seed=seed,
        equilibration=n_first,
        every=SPECTRUM_STEPS if nve else _stride(n_steps, step),
        elements=" ".join(elements),
        steps=n_steps,
    )
    deck = deck_head(model, elements, "dot.data", "s s s", step / 1000) + DECK.format(
        relaxed=RELAXED,
        elements=" ".join(elements),
        thermo=max(n_steps // 500, 1) if nve else 100,
        # a minimum turns half of its kinetic energy into potential energy
        start=2 * temperature,
        seed=seed,
        body=body,
    )
    (folder / f"in.{name}").write_text(deck)
    run_lammps(folder, name, ranks, lambda lines: follow(lines, n_first, n_steps, on_part))


def run_lammps(
    folder: Path, name: str, ranks: int, watch: Callable[[Iterable[str]], Iterable[str]]
) -> None:
    """Run deck in.NAME of a folder, log NAME.log; EngineError with LAMMPS' message if it fails.

    `watch` is handed the lines as LAMMPS prints them and hands them on.
    """
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
            printed = list(watch(process.stdout or ()))
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

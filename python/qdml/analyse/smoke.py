# SPDX-License-Identifier: MIT
"""A short NVE run of one frame through the engine: a low error is not yet a stable potential."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms, units
from ase.calculators.calculator import Calculator
from ase.data import chemical_symbols, covalent_radii
from ase.md.verlet import VelocityVerlet

from qdml.analyse.drift import MIN_POINTS, Drift, fit_line
from qdml.analyse.surface import bonded_labels, find_pairs
from qdml.errors import DataError, EngineError
from qdml.sample.dynamics import give_velocities

DRIFT_LIMIT = 1e-4
"""eV/atom/ps; 0.1 meV/atom/ps is what a run of a dot has to keep."""

CLOSEST = 0.75
"""Of the sum of covalent radii; atoms nearer than that have run into each other."""

LOOSE = 4.0
"""Of the largest covalent radius: how far the nearest pair is looked for, twice a bond."""

TEMPERATURE = 300.0
"""K, where the frame does not say at what temperature it was made."""

N_POINTS = 200
"""Energies that are recorded, evenly over the run."""


@dataclass
class Smoke:
    """A run of `n_atoms` atoms over `length_ps`: series and what was found.

    time_ps, energy (total per atom less the first, eV) and temperature (K) are lists over the
    recorded steps; closest is the shortest distance over the sum of covalent radii (None beyond
    LOOSE), pair the two elements; bonded parts are counted at both ends by BOND_FACTOR covalent
    radii. state is PASS or WARN, and `reasons` say why it is not PASS. stopped: step at which a
    number was no longer finite.
    """

    frame: str
    formula: str
    n_atoms: int
    timestep_fs: float
    length_ps: float
    start_temperature: float
    time_ps: list[float]
    energy: list[float]
    temperature: list[float]
    drift: float | None
    drift_error: float | None
    fluctuation: float | None
    closest: float | None
    pair: str
    parts_before: int
    parts_after: int
    stopped: int | None
    state: str
    reasons: list[str]

    def as_drift(self) -> Drift | None:
        """For `figures_md.draw_drift`; None where no line was fitted."""
        if self.drift is None:
            return None
        time, energy = np.array(self.time_ps), np.array(self.energy)
        slope, error, intercept, fluctuation, inefficiency = fit_line(time, energy)
        return Drift(time, energy, np.array(self.temperature), slope, error, intercept,
                     fluctuation, inefficiency, self.n_atoms, "NVE")  # fmt: skip


def time_step(atoms: Atoms) -> float:
    """fs; 0.5 with hydrogen, whose stretching period is 10 fs, else 1."""
    return 0.5 if "H" in atoms.symbols else 1.0


def run_nve(
    atoms: Atoms,
    calculator: Calculator,
    frame: str,
    length_ps: float = 2.0,
    temperature: float | None = None,
    seed: int = 1,
) -> Smoke:
    """Velocity Verlet from `atoms` with Maxwell-Boltzmann velocities, without thermostat.

    temperature in K, else info `temperature`, else 300. The run ends early where energies or
    positions are no longer finite. Raises DataError for a length that is not above 0.
    """
    if not length_ps > 0:
        raise DataError(f"an NVE run of {length_ps:g} ps: expected a length above 0")
    if temperature is None:
        temperature = float(atoms.info.get("temperature") or TEMPERATURE)
    step = time_step(atoms)
    start = Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
    start.calc = calculator
    give_velocities(start, temperature, np.random.default_rng(seed))
    start.set_momenta(start.get_momenta() - start.get_momenta().sum(axis=0) / len(start))
    n_steps = max(round(1000 * length_ps / step), 1)
    every = max(n_steps // N_POINTS, 1)
    dynamics = VelocityVerlet(start, timestep=step * units.fs)
    time, energy, temperatures, first = [], [], [], None
    closest, pair, before, stopped = np.inf, "", bonded_parts(start), None
    for done in range(0, n_steps + 1, every):
        total = _advance(dynamics, every if done else 0)
        if not (np.isfinite(total) and np.isfinite(start.positions).all()):
            stopped = done
            break
        first = total if first is None else first
        time.append(1e-3 * step * done)
        energy.append(total - first)
        temperatures.append(start.get_temperature())
        ratio, name = closest_pair(start)
        if ratio < closest:
            closest, pair = ratio, name
    after = before if stopped is not None else bonded_parts(start)
    slope = error = fluctuation = None
    if len(time) >= MIN_POINTS:
        slope, error, _, fluctuation, _ = fit_line(np.array(time), np.array(energy))
    reasons = _reasons(slope, error, closest, pair, before, after, stopped, len(time))
    return Smoke(
        frame=frame,
        formula=start.get_chemical_formula(),
        n_atoms=len(start),
        timestep_fs=step,
        length_ps=time[-1] if time else 0.0,
        start_temperature=temperature,
        time_ps=time,
        energy=energy,
        temperature=temperatures,
        drift=slope,
        drift_error=error,
        fluctuation=fluctuation,
        closest=float(closest) if np.isfinite(closest) else None,
        pair=pair,
        parts_before=before,
        parts_after=after,
        stopped=stopped,
        state="WARN" if reasons else "PASS",
        reasons=reasons,
    )


def _advance(dynamics: VelocityVerlet, n_steps: int) -> float:
    """Total energy per atom after n more steps, eV; NaN where the engine refused the positions."""
    try:
        if n_steps:
            dynamics.run(n_steps)
        return float(dynamics.atoms.get_total_energy() / len(dynamics.atoms))
    except EngineError:
        return float("nan")


def _reasons(
    slope: float | None,
    error: float | None,
    closest: float,
    pair: str,
    before: int,
    after: int,
    stopped: int | None,
    n_points: int,
) -> list[str]:
    """What is wrong with a run, in words; empty when nothing is."""
    reasons = []
    if stopped is not None:
        reasons.append(f"energy or positions not finite after {stopped} steps")
    if slope is None or error is None:
        reasons.append(f"{n_points} recorded energies are too few for a drift")
    elif abs(slope) - 2 * error >= DRIFT_LIMIT:  # two standard errors: 95 %
        reasons.append(f"energy drifts by {1e3 * slope:.3g} meV/atom/ps")
    elif abs(slope) + 2 * error >= DRIFT_LIMIT:
        reasons.append(
            f"too short to tell a drift: {1e3 * slope:.2g} ± {1e3 * error:.2g} meV/atom/ps"
        )
    if closest < CLOSEST:
        reasons.append(f"{pair} came within {closest:.2f} of the sum of covalent radii")
    if after > before:
        reasons.append(f"{after} bonded parts at the end, {before} at the start")
    return reasons


def closest_pair(atoms: Atoms) -> tuple[float, str]:
    """Shortest distance over the sum of covalent radii, and the elements; inf without pairs."""
    pairs = find_pairs(atoms, LOOSE * covalent_radii[atoms.numbers].max())
    if not len(pairs.i):
        return np.inf, ""
    radii = covalent_radii[atoms.numbers]
    ratio = pairs.distance / (radii[pairs.i] + radii[pairs.j])
    k = int(ratio.argmin())
    names = sorted(chemical_symbols[atoms.numbers[x]] for x in (pairs.i[k], pairs.j[k]))
    return float(ratio[k]), "-".join(names)


def bonded_parts(atoms: Atoms) -> int:
    """Number of parts held together by bonds of BOND_FACTOR covalent radii."""
    return int(bonded_labels(atoms).max()) + 1


def write_smoke(path: Path, smoke: Smoke) -> None:
    """Write `nve.json`."""
    path.write_text(json.dumps(asdict(smoke)) + "\n")


def read_smoke(content: Any, path: Path) -> Smoke:
    """From the parsed content of `nve.json`. Raises DataError when it is something else."""
    try:
        return Smoke(**content)
    except TypeError as error:
        raise DataError(f"{path}: not the record of an NVE run ({error})") from error

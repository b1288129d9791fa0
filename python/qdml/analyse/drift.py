# SPDX-License-Identifier: MIT
"""Energy conservation of an NVE run: a straight line through the total energy per atom."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qdml.analyse.logfile import ENERGY_UNIT_EV, TIME_UNIT_PS, LammpsLog, RunSection
from qdml.errors import DataError


class NotFiniteError(DataError):
    """The total energy of a run became infinite or not a number: the dynamics blew up."""


MIN_POINTS = 10
"""Fewer thermo lines than this give no usable standard error."""


@dataclass
class Drift:
    """Linear fit of the total energy of one run.

    time_ps [n]; energy [n] total energy per atom less its first value, eV; temperature [n] in K or
    None. slope and slope_error in eV/atom/ps, fluctuation (standard deviation about the line) in
    eV/atom, inefficiency: thermo lines per independent sample.
    """

    time_ps: np.ndarray
    energy: np.ndarray
    temperature: np.ndarray | None
    slope: float
    slope_error: float
    intercept: float
    fluctuation: float
    inefficiency: float
    n_atoms: int
    ensemble: str

    @property
    def length_ps(self) -> float:
        """Simulated time between the first and the last thermo line, ps."""
        return float(self.time_ps[-1] - self.time_ps[0])


def fit_line(x: np.ndarray, y: np.ndarray) -> tuple[float, float, float, float, float]:
    """Least squares line; returns slope, its standard error, intercept, residual sd, inefficiency.

    x [n], y [n]. Neighbouring thermo lines are correlated, which makes the textbook error too
    small: it is multiplied by sqrt(g), g the statistical inefficiency of the residuals,
    `1 + 2 sum_t (1 - t/n) c(t)` summed while the correlation c(t) is positive
    (Chodera et al. 2007, doi:10.1021/ct0502864).
    """
    n = len(x)
    centred = x - x.mean()
    spread = float(centred @ centred)
    slope = float(centred @ (y - y.mean())) / spread
    intercept = float(y.mean() - slope * x.mean())
    residual = y - intercept - slope * x
    variance = float(residual @ residual) / (n - 2)
    inefficiency = 1.0
    if variance > 0:
        power = float(residual @ residual) / n
        for lag in range(1, n - 1):
            correlation = float(residual[:-lag] @ residual[lag:]) / n / power
            if correlation <= 0:
                break
            inefficiency += 2 * correlation  # the 1/n norm already holds the factor (1 - t/n)
    error = float(np.sqrt(inefficiency * variance / spread))
    return slope, error, intercept, float(np.sqrt(variance)), inefficiency


def choose_section(log: LammpsLog) -> RunSection:
    """The longest NVE run of a log; without one, the longest run that is no minimisation.

    Raises DataError where the log has no run of two or more thermo lines.
    """
    runs = [s for s in log.sections if not s.minimisation and len(s.columns["Step"]) > 1]
    if not runs:
        raise DataError(f"{log.path}: no molecular dynamics run with two or more thermo lines")
    nve = [s for s in runs if s.ensemble == "NVE"]
    return max(nve or runs, key=lambda s: s.columns["Step"][-1] - s.columns["Step"][0])


def section_time(log: LammpsLog, section: RunSection) -> np.ndarray:
    """Simulated time of each thermo line in ps: column Time where printed, else Step x timestep."""
    if section.units not in TIME_UNIT_PS:
        found = "no 'units' command" if section.units is None else f"'units {section.units}'"
        raise DataError(
            f"{log.path}: {found} found; the drift needs 'units metal' or 'units real', and a log "
            "that echoes its commands (LAMMPS' default, '-echo log')"
        )
    unit = TIME_UNIT_PS[section.units]
    if "Time" in section.columns:
        return section.columns["Time"] * unit
    assert section.timestep is not None  # known unit styles have a default
    return section.columns["Step"] * section.timestep * unit


def measure_drift(log: LammpsLog, section: RunSection) -> Drift:
    """Fit the drift of one section. Raises DataError when energies or the atom count lack."""
    if len(section.columns["Step"]) < MIN_POINTS:
        raise DataError(
            f"{log.path}: {len(section.columns['Step'])} thermo lines in the run, the drift needs "
            f"{MIN_POINTS}; print more often ('thermo 10')"
        )
    columns = section.columns
    if "TotEng" in columns:
        total = columns["TotEng"]
    elif "PotEng" in columns and "KinEng" in columns:
        total = columns["PotEng"] + columns["KinEng"]
    else:
        raise DataError(
            f"{log.path}: no total energy among the thermo columns {', '.join(columns)}; use "
            "'thermo_style custom step time temp pe ke etotal'"
        )
    if not section.n_atoms:
        raise DataError(
            f"{log.path}: the number of atoms is not stated (the run has no 'Loop time' line); "
            "let the run finish or use its last complete log"
        )
    time = section_time(log, section)
    energy = total * ENERGY_UNIT_EV[section.units or ""]
    if not np.isfinite(energy).all():
        step = int(columns["Step"][~np.isfinite(energy)][0])
        raise NotFiniteError(
            f"{log.path}: the total energy is not finite at step {step}: it blew up"
        )
    if not section.normalised:
        energy = energy / section.n_atoms
    energy = energy - energy[0]
    slope, error, intercept, fluctuation, inefficiency = fit_line(time, energy)
    return Drift(
        time,
        energy,
        columns.get("Temp"),
        slope,
        error,
        intercept,
        fluctuation,
        inefficiency,
        section.n_atoms,
        section.ensemble,
    )

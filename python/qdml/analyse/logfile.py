# SPDX-License-Identifier: MIT
"""Read a LAMMPS log: thermo tables (one, multi, custom, yaml), loop times, ranks, run settings.

Source of the layouts: LAMMPS manual, `thermo_style`, `thermo_modify line`, `run` (screen output).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from qdml.errors import DataError

TIME_UNIT_PS = {"metal": 1.0, "real": 1e-3}
"""LAMMPS time unit in ps, for the unit styles whose energies are physical per particle."""

ENERGY_UNIT_EV = {"metal": 1.0, "real": 0.0433641153087705}
"""LAMMPS energy unit in eV; 1 kcal/mol = 4184 J/mol (CODATA 2018)."""

DEFAULT_TIMESTEP = {"metal": 0.001, "real": 1.0}
"""What LAMMPS takes without a `timestep` command (manual, `units`)."""

THERMOSTATS = ("nvt", "npt", "nph", "langevin", "temp/", "press/", "gjf", "nose", "viscous")
"""Parts of fix style names that exchange energy with the system."""

LOOP = re.compile(
    r"^Loop time of ([\d.eE+-]+) on (\d+) procs for (\d+) steps with (\d+) atoms", re.MULTILINE
)
USE = re.compile(r"([\d.]+)% CPU use with (\d+) MPI tasks x (\d+|no) OpenMP threads")
MULTI_HEAD = re.compile(r"-{3,} Step\s+(\d+) -+ CPU =\s*([\d.eE+-]+)")
MULTI_PAIR = re.compile(r"(\S+)\s+=\s+([-+\d.eE]+|nan|inf|-nan|-inf)(?=\s|$)")


@dataclass
class RunSection:
    """One `run` or `minimize` of a log.

    columns: thermo keyword -> values in LAMMPS units, all of the same length, as printed.
    loop_seconds, n_ranks, n_threads, n_steps and n_atoms are None where the log ends before the
    `Loop time` line (a run that was stopped). timestep in LAMMPS units. fixes: style of each fix
    active in this run, None when the log does not echo its commands. cpu_use: share of the loop
    time that the cores worked for LAMMPS, 1 = all the time (a thread of its own counts as one).
    """

    columns: dict[str, np.ndarray]
    units: str | None = None
    timestep: float | None = None
    timestep_is_default: bool = False
    normalised: bool = False
    minimisation: bool = False
    fixes: list[str] | None = None
    loop_seconds: float | None = None
    n_ranks: int | None = None
    n_threads: int | None = None
    cpu_use: float | None = None
    n_steps: int | None = None
    n_atoms: int | None = None

    @property
    def ensemble(self) -> str:
        """'NVE', 'thermostatted', 'minimisation' or 'not stated' (commands not echoed)."""
        if self.minimisation:
            return "minimisation"
        if self.fixes is None:
            return "not stated"
        if any(part in style for style in self.fixes for part in THERMOSTATS):
            return "thermostatted"
        return "NVE" if any(style.startswith("nve") for style in self.fixes) else "not stated"


@dataclass
class LammpsLog:
    """All sections of a log, in order, with what holds for the whole of it."""

    path: Path
    version: str | None
    pair_style: str | None
    sections: list[RunSection] = field(default_factory=list)
    complete: bool = False


@dataclass
class _Settings:
    """What the echoed commands have set so far."""

    units: str | None = None
    timestep: float | None = None
    normalised: bool | None = None
    minimisation: bool = False
    fixes: dict[str, str] = field(default_factory=dict)
    echoed: bool = False
    pair_style: str | None = None
    n_atoms: int | None = None

    def see(self, line: str) -> None:
        """Take in one line of the log that is not part of a table."""
        words = line.split("#")[0].split()
        if not words:
            return
        command, arguments = words[0], words[1:]
        if "$" in line:
            return  # the line follows once more with its variables filled in
        if command == "units" and len(arguments) == 1:
            self.units, self.timestep, self.echoed = arguments[0], None, True
        elif command == "timestep" and len(arguments) == 1:
            self.timestep = _number(arguments[0])
        elif command == "fix" and len(arguments) >= 3:
            self.fixes[arguments[0]] = arguments[2]
        elif command == "unfix" and arguments:
            self.fixes.pop(arguments[0], None)
        elif command == "pair_style" and arguments:
            self.pair_style = " ".join(arguments)
        elif command == "thermo_modify" and "norm" in arguments[:-1]:
            self.normalised = arguments[arguments.index("norm") + 1] == "yes"
        elif command in ("run", "minimize"):
            self.echoed, self.minimisation = True, command == "minimize"
        elif re.fullmatch(r"\s*(Created )?\d+ atoms\s*", line):
            self.n_atoms = int(words[-2])

    def section(self, columns: dict[str, np.ndarray]) -> RunSection:
        """A section with the settings of this moment."""
        default = DEFAULT_TIMESTEP.get(self.units or "")
        return RunSection(
            columns=columns,
            units=self.units,
            timestep=default if self.timestep is None else self.timestep,
            timestep_is_default=self.timestep is None and default is not None,
            normalised=self.units == "lj" if self.normalised is None else self.normalised,
            minimisation=self.minimisation,
            fixes=list(self.fixes.values()) if self.echoed else None,
            n_atoms=self.n_atoms,
        )


def read_log(path: str | Path) -> LammpsLog:
    """Read every thermo table of a LAMMPS log.

    Raises DataError when the file cannot be read, is no LAMMPS log, or holds no thermo output.
    """
    path = Path(path)
    try:
        text = path.read_text(errors="replace")
    except OSError as error:
        raise DataError(f"{path}: cannot read the LAMMPS log ({error.strerror})") from error
    lines = text.splitlines()
    if not lines or not any(line.startswith("LAMMPS (") for line in lines[:20]):
        raise DataError(
            f"{path}: not a LAMMPS log: no line 'LAMMPS (version)' at its head; give the file "
            "written by 'lmp -log FILE'"
        )
    version = next(line for line in lines if line.startswith("LAMMPS (")).strip()
    log = LammpsLog(path, version, None)
    settings = _Settings()
    position = 0
    while position < len(lines):
        line = lines[position]
        table, position = _table_at(path, lines, position)
        if table is None:
            settings.see(line)
            _close_section(log, line)
        elif len(table["Step"]):
            log.sections.append(settings.section(table))
    log.pair_style = settings.pair_style
    log.complete = any(line.startswith("Total wall time") for line in lines[-5:])
    if not log.sections:
        raise DataError(
            f"{path}: no thermo output found; the run stopped before its first step, or 'thermo' "
            "output was switched off (use 'thermo_style custom step time temp pe ke etotal')"
        )
    return log


def _table_at(
    path: Path, lines: list[str], position: int
) -> tuple[dict[str, np.ndarray] | None, int]:
    """The thermo table that starts at a line and the line behind it, or None and the next line."""
    line = lines[position]
    words = line.split()
    # the line after this one is the head of a one/custom table, whatever its columns are
    follows_setup = position > 0 and lines[position - 1].startswith("Per MPI rank memory")
    if follows_setup and words and words[0] != "---" and not MULTI_HEAD.match(line):
        if "Step" not in words:
            raise DataError(
                f"{path}:{position + 1}: thermo table without 'Step' ({' '.join(words)}); add "
                "'step' to thermo_style custom"
            )
        return _plain_table(words, lines, position + 1)
    if line.startswith("keywords: [") and lines[position - 1].strip() == "---":
        return _yaml_table(path, lines, position)
    if MULTI_HEAD.match(line):
        return _multi_table(lines, position)
    return None, position + 1


def _plain_table(names: list[str], lines: list[str], position: int) -> tuple[dict, int]:
    rows = []
    while position < len(lines):
        values = [_number(word) for word in lines[position].split()]
        if len(values) == len(names) and None not in values:
            rows.append(values)
        elif not lines[position].startswith("WARNING") and lines[position].strip():
            break
        position += 1
    return _columns(names, rows), position


def _yaml_table(path: Path, lines: list[str], position: int) -> tuple[dict, int]:
    def items(text: str) -> list[str]:
        inside = text[text.index("[") + 1 :].split("]")[0]
        return [item.strip().strip("'\"") for item in inside.split(",") if item.strip()]

    names, rows = items(lines[position]), []
    if "Step" not in names:
        raise DataError(
            f"{path}:{position + 1}: thermo table without 'Step'; add 'step' to thermo_style custom"
        )
    position += 1
    while position < len(lines) and lines[position].strip() != "...":
        if lines[position].startswith("Loop time"):
            break
        if lines[position].strip().startswith("- ["):
            values = [_number(item) for item in items(lines[position])]
            if len(values) == len(names) and None not in values:
                rows.append(values)
        position += 1
    return _columns(names, rows), position


def _multi_table(lines: list[str], position: int) -> tuple[dict, int]:
    names: list[str] = []
    rows: list[list[float]] = []
    while position < len(lines):
        head = MULTI_HEAD.match(lines[position])
        if head:
            rows.append([float(head[1]), float(head[2])])
            current = ["Step", "CPU"]
        else:
            pairs = MULTI_PAIR.findall(lines[position])
            if not pairs and not lines[position].startswith("WARNING"):
                break
            for name, value in pairs:
                current.append(name)
                rows[-1].append(float(value))
        if len(current) > len(names):
            names = current
        position += 1
    return _columns(names, [row for row in rows if len(row) == len(names)]), position


def _columns(names: list[str], rows: list[list[float]]) -> dict[str, np.ndarray]:
    table = np.array(rows, dtype=float).reshape(len(rows), len(names))
    return {name: table[:, k] for k, name in enumerate(names)}


def _close_section(log: LammpsLog, line: str) -> None:
    """Add loop time, ranks and threads to the section that a line belongs to."""
    if not log.sections:
        return
    section = log.sections[-1]
    loop, use = LOOP.match(line), USE.search(line)
    if loop and section.loop_seconds is None:
        section.loop_seconds = float(loop[1])
        section.n_steps, section.n_atoms = int(loop[3]), int(loop[4])
        section.n_ranks, section.n_threads = int(loop[2]), 1  # refined by the line on CPU use
    elif use:
        section.cpu_use = float(use[1]) / 100
        section.n_ranks = int(use[2])
        section.n_threads = 1 if use[3] == "no" else int(use[3])


def _number(word: str) -> float | None:
    try:
        return float(word)
    except ValueError:
        return None

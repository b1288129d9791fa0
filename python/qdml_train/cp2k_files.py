# SPDX-License-Identifier: MIT
"""What CP2K writes: trajectories of positions and forces, cells, and outputs of single points."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from qdml.errors import DataError, LabelError
from qdml.label.cp2k import parse_output
from qdml.xyz_scan import scan_xyz, text_lines

from qdml_train.source import Source

_COMMENT = re.compile(r"^\s*i\s*=\s*(\d+)(?:.*?time\s*=\s*([-\d.Ee+]+))?.*?E\s*=\s*([-\d.Ee+]+)")
_NUMBER = r"\s+([-\d.]+)"
_CELL = re.compile(rf"^ CELL\| Vector [abc] \[angstrom\]:{_NUMBER * 3}.*={_NUMBER}", re.M)
_PERIODIC = re.compile(r"^ CELL\| Periodicity\s+(\S+)", re.M)
_ATOM = re.compile(rf"^\s+\d+\s+\d+\s+([A-Z][a-z]?)\S*\s+\d+{_NUMBER * 3}", re.M)

OUTPUT_UNITS = "CP2K output: Hartree, Hartree/Bohr, GPa (compression positive) converted"


def is_position_file(path: Path) -> bool:
    """Whether a file is a CP2K trajectory of positions: `-pos-` in the name and ` i = ` inside."""
    if "-pos-" not in path.name or path.suffix != ".xyz" or not path.exists():
        return False
    lines = text_lines(path)
    next(lines, None)
    return _COMMENT.match(next(lines, "")) is not None


def is_output(path: Path) -> bool:
    """Whether a file is the printed output of CP2K."""
    if path.suffix not in (".out", ".log", ".txt") or not path.exists():
        return False
    with path.open("rb") as handle:
        return b"CP2K| version string" in handle.read(200_000)


def read_pair(source: Source, pos: Path) -> list[tuple[int, Atoms]]:
    """Frames of `NAME-pos-1.xyz` with the forces of `NAME-frc-1.xyz`, matched by step number.

    Numbers stay in the units of the files (energy of the comment line, forces). Frames are counted
    as in the position file. A step that occurs twice, as after a restart, counts with its last
    occurrence. Raises DataError when the files do not belong together.
    """
    frc = source.frc or pos.with_name(pos.name.replace("-pos-", "-frc-"))
    if not frc.exists():
        raise DataError(
            f"{pos}: the forces {frc.name} are not beside it; name them with 'frc', or let CP2K "
            "print them (MOTION/PRINT/FORCES with the same EACH as the trajectory)"
        )
    positions, forces = _read_trajectory(pos), _read_trajectory(frc)
    cells = _read_cells(source.cell) if isinstance(source.cell, Path) else None
    frames = []
    for step, (index, symbols, x, energy, time) in positions.items():
        if step not in forces:
            continue
        _, other, f, energy_of_forces, _ = forces[step]
        if other != symbols:
            raise DataError(
                f"frame {index} of {pos.name} (step {step}): its {len(symbols)} atoms are not "
                f"those of {frc.name} ({len(other)}, or another order); these files are of two runs"
            )
        if abs(energy - energy_of_forces) > 1e-6:
            raise DataError(
                f"frame {index} of {pos.name} (step {step}): E = {energy} but {frc.name} says "
                f"{energy_of_forces}; these files are of two runs"
            )
        atoms = Atoms(symbols, x, info={"step": step, "time": time})
        if cells is not None and step not in cells:
            raise DataError(f"{source.cell}: no cell of step {step} (frame {index} of {pos.name})")
        cell = cells[step] if cells is not None else source.cell
        if cell is not None:
            atoms.set_cell(np.array(cell, dtype=float))
            atoms.pbc = True
        atoms.calc = SinglePointCalculator(atoms, energy=energy, forces=f)
        frames.append((index, atoms))
    if not frames:
        raise DataError(
            f"{pos.name} and {frc.name} share no step: positions have "
            f"{min(positions)}..{max(positions)}, forces {min(forces)}..{max(forces)}"
        )
    return frames


Step = tuple[int, list[str], np.ndarray, float, float]


def _read_trajectory(path: Path) -> dict[int, Step]:
    """Step number -> frame index, symbols, numbers [n, 3], energy, time, in the order of steps."""
    scan_xyz(path)
    lines = text_lines(path)
    steps: dict[int, Step] = {}
    index = 0
    for line in lines:
        if not line.strip():
            continue
        n_atoms, comment = int(line), next(lines)
        match = _COMMENT.match(comment)
        if match is None:
            raise DataError(
                f"frame {index} of {path}: the comment line {comment.strip()[:60]!r} is not CP2K's "
                "' i = ..., time = ..., E = ...'"
            )
        rows = [next(lines).split() for _ in range(n_atoms)]
        try:
            numbers = np.array([row[1:4] for row in rows], dtype=float).reshape(-1, 3)
        except ValueError as error:
            raise DataError(f"frame {index} of {path}: not three numbers per atom") from error
        symbols = [row[0] for row in rows]
        steps.pop(int(match[1]), None)
        steps[int(match[1])] = (index, symbols, numbers, float(match[3]), float(match[2] or "nan"))
        index += 1
    return steps


def _read_cells(path: Path) -> dict[int, np.ndarray]:
    """Step number -> cell [3, 3] Å of a `NAME-1.cell` file."""
    cells = {}
    for line in text_lines(path):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if len(words) < 11:
            raise DataError(
                f"{path}: expected step, time and 9 numbers of the cell, found {line.strip()!r}"
            )
        cells[int(words[0])] = np.array(words[2:11], dtype=float).reshape(3, 3)
    return cells


def read_output(path: Path, source: Source) -> list[tuple[int, Atoms]]:
    """The frame of an ENERGY_FORCE output, in eV and Å.

    Cell and coordinates are what CP2K prints at PRINT_LEVEL MEDIUM: coordinates to 1e-6 Å, but the
    components of cell vectors only to 1e-3 Å; their lengths, printed to 1e-6 Å, correct this except
    for the angles. `cell` of the source replaces them. Raises DataError when something is not
    there, and for outputs of several steps.
    """
    text = "".join(text_lines(path))
    if text.count("ENERGY| Total FORCE_EVAL") > 1:
        raise DataError(
            f"{path}: the output of several steps; read the trajectory instead: pos: NAME-pos-1.xyz"
        )
    block = text.partition("ATOMIC COORDINATES IN ANGSTROM")[2].split("\n\n\n")[0]
    found = _ATOM.findall(block)
    if not found:
        raise DataError(f"{path}: no coordinates in Å in the output; set PRINT_LEVEL MEDIUM")
    atoms = Atoms([s for s, *_ in found], np.array([x for _, *x in found], dtype=float))
    vectors = _CELL.findall(text)
    if len(vectors) < 3:
        raise DataError(f"{path}: no cell vectors in the output; set PRINT_LEVEL MEDIUM")
    periodic = _PERIODIC.search(text)
    axes = periodic[1] if periodic else "XYZ"
    atoms.pbc = [axis in axes and axes != "NONE" for axis in "XYZ"]
    if atoms.pbc.any():
        printed = np.array(vectors[:3], dtype=float)
        directions = printed[:, :3] / np.linalg.norm(printed[:, :3], axis=1, keepdims=True)
        atoms.set_cell(directions * printed[:, 3:])
    if source.cell is not None:
        if isinstance(source.cell, Path):
            raise DataError(f"{path}: give 'cell' of an output as numbers, not as a file")
        atoms.set_cell(np.array(source.cell, dtype=float))
    stress = "STRESS| Analytical" in text
    try:
        result = parse_output(text, len(atoms), stress=stress)
    except LabelError as error:
        raise DataError(f"frame 0 of {path}: {error}; compute it again or leave it out") from error
    labels = {"energy": result.energy, "forces": result.forces}
    if stress and atoms.pbc.all():
        labels["stress"] = result.stress
    atoms.calc = SinglePointCalculator(atoms, **labels)
    return [(0, atoms)]

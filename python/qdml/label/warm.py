"""Warm starts: which finished wavefunction is nearest to a new frame."""
# SPDX-License-Identifier: MIT

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
from ase import Atoms

MAX_RMS = 0.8
"""Frames further apart than this (rms displacement in A) start from atomic densities."""

MAX_CELL_CHANGE = 0.15
"""Largest relative change of a cell vector for which orbitals are carried over."""


def rms_displacement(first: Atoms, second: Atoms) -> float:
    """Root-mean-square displacement in A between frames of equal atom order, after removal of
    their common translation and of whole lattice vectors; infinite when cells differ too much.
    """
    if len(first) != len(second) or (first.numbers != second.numbers).any():
        return float("inf")
    change = np.abs(first.cell.array - second.cell.array).max()
    if change > MAX_CELL_CHANGE * np.linalg.norm(first.cell.array, axis=1).min():
        return float("inf")
    difference = first.get_scaled_positions(wrap=False) - second.get_scaled_positions(wrap=False)
    # the atom order is the same, so the translation of the first atom fixes the images
    difference = difference - difference[0]
    difference -= np.round(difference)
    displacement = difference @ (0.5 * (first.cell.array + second.cell.array))
    displacement -= displacement.mean(axis=0)
    return float(np.sqrt((displacement**2).sum(axis=1).mean()))


class WavefunctionLibrary:
    """Wavefunction files of finished frames, kept in one folder with their geometries.

    At most `keep` files per system (same atoms, charge and spin) stay; the oldest go first.
    """

    def __init__(self, folder: Path, keep: int = 12) -> None:
        self.folder = Path(folder)
        self.keep = keep
        self.folder.mkdir(parents=True, exist_ok=True)
        self.entries: list[tuple[tuple, Atoms, Path]] = []
        for path in sorted(self.folder.glob("*.json"), key=lambda p: p.stat().st_mtime):
            record = json.loads(path.read_text())
            wavefunction = path.with_suffix(".wfn")
            if wavefunction.exists():
                atoms = Atoms(record["numbers"], record["positions"], cell=record["cell"], pbc=True)
                system = system_of(atoms, record["charge"], record["multiplicity"])
                self.entries.append((system, atoms, wavefunction))

    def add(self, key: str, atoms: Atoms, charge: int, multiplicity: int, source: str) -> None:
        """Move the wavefunction file `source` of a finished frame into the library."""
        target = self.folder / f"{key}.wfn"
        shutil.move(source, target)
        record = {
            "numbers": atoms.numbers.tolist(),
            "positions": atoms.positions.tolist(),
            "cell": atoms.cell.array.tolist(),
            "charge": charge,
            "multiplicity": multiplicity,
        }
        temporary = target.with_suffix(".tmp")
        temporary.write_text(json.dumps(record))
        os.replace(temporary, target.with_suffix(".json"))
        system = system_of(atoms, charge, multiplicity)
        self.entries.append((system, atoms.copy(), target))
        mine = [entry for entry in self.entries if entry[0] == system]
        for entry in mine[: -self.keep]:
            self.entries.remove(entry)
            entry[2].unlink(missing_ok=True)
            entry[2].with_suffix(".json").unlink(missing_ok=True)

    def nearest(self, atoms: Atoms, charge: int, multiplicity: int) -> tuple[str, float] | None:
        """Path and rms displacement (A) of the most similar finished frame, or None."""
        system = system_of(atoms, charge, multiplicity)
        distances = [
            (rms_displacement(atoms, other), str(path))
            for entry_system, other, path in self.entries
            if entry_system == system
        ]
        if not distances:
            return None
        distance, path = min(distances)
        return (path, distance) if distance <= MAX_RMS else None


def system_of(atoms: Atoms, charge: int, multiplicity: int) -> tuple:
    """What two frames must share so that one can start from the orbitals of the other."""
    return (tuple(atoms.numbers.tolist()), charge, multiplicity)

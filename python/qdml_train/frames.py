# SPDX-License-Identifier: MIT
"""Labelled structures: what is read from files, as numbers, with where it came from."""

from __future__ import annotations

import hashlib
import lzma
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
from ase import Atoms
from qdml.errors import DataError


@dataclass
class Frame:
    """One structure and its labels; float64, eV and Å. A label that is None is absent."""

    numbers: np.ndarray  # [n]
    positions: np.ndarray  # [n, 3] Å
    cell: np.ndarray  # [3, 3] Å, rows are vectors
    pbc: np.ndarray  # [3] bool
    energy: float | None
    forces: np.ndarray | None  # [n, 3] eV/Å
    stress: np.ndarray | None  # [6] eV/Å³, xx yy zz yz xz xy, positive under tension
    file: str
    index: int
    origin: str = "unknown"
    split: str | None = None
    temperature: float | None = None
    level_of_theory: str = ""
    info: dict[str, Any] = field(default_factory=dict)

    @property
    def n_atoms(self) -> int:
        return len(self.numbers)

    @property
    def where(self) -> str:
        """How messages name this frame."""
        return f"frame {self.index} of {self.file}"

    @property
    def volume(self) -> float:
        """Å³; 0 for a frame that is not periodic in three directions."""
        return float(abs(np.linalg.det(self.cell))) if self.pbc.all() else 0.0

    def atoms(self) -> Atoms:
        """Without labels."""
        return Atoms(self.numbers, self.positions, cell=self.cell, pbc=self.pbc)


def read_frames(path: str | Path, need_labels: bool = True) -> list[Frame]:
    """All frames of a file ASE can read (extended xyz, also `.xz`, is the usual one).

    Energy, forces and stress come from the labels ASE attaches (`energy`, `forces`, `stress`) and,
    failing these, from arrays and info of the names `REF_*` and `dft_*`; no other name is guessed.
    Raises DataError for an unreadable or empty file and, with `need_labels`, for frames without
    any label.
    """
    path = Path(path)
    if not path.exists():
        raise DataError(f"{path}: no such file; check data.train in the configuration")
    try:
        atoms_list = ase.io.read(path, index=":")
    except (ValueError, KeyError, OSError, lzma.LZMAError, IndexError, StopIteration) as error:
        raise DataError(f"{path}: cannot be read as structures ({error})") from error
    except ase.io.formats.UnknownFileTypeError as error:
        raise DataError(
            f"{path}: ASE does not know this file type ({error}); write extended xyz"
        ) from error
    if not atoms_list:
        raise DataError(f"{path}: holds no frames")
    frames = [frame_from_atoms(atoms, path.name, i) for i, atoms in enumerate(atoms_list)]
    if need_labels:
        for frame, atoms in zip(frames, atoms_list, strict=True):
            if frame.energy is None and frame.forces is None:
                found = sorted(set(atoms.info) | (set(atoms.arrays) - {"numbers", "positions"}))
                raise DataError(
                    f"{frame.where} has neither energy nor forces; found {found}. Name them "
                    "'energy' and 'forces' (or REF_energy, REF_forces), in eV and eV/Å"
                )
    return frames


def frame_from_atoms(atoms: Atoms, file: str, index: int) -> Frame:
    """A frame from ASE's structure, labels from its calculator or its arrays."""
    results = dict(atoms.calc.results) if atoms.calc is not None else {}

    def label(name: str, table: dict[str, Any]) -> Any:
        for key in (name, f"REF_{name}", f"dft_{name}"):
            if results.get(key) is not None:
                return results[key]
            if table.get(key) is not None:
                return table[key]
        return None

    energy = label("energy", atoms.info)
    forces = label("forces", atoms.arrays)
    stress = label("stress", atoms.info)
    if stress is not None:
        stress = np.asarray(stress, dtype=float)
        if stress.size == 9:
            s = stress.reshape(3, 3)
            stress = np.array([s[0, 0], s[1, 1], s[2, 2], s[1, 2], s[0, 2], s[0, 1]])
    temperature = atoms.info.get("temperature")
    split = atoms.info.get("split")
    return Frame(
        numbers=np.array(atoms.numbers),
        positions=np.array(atoms.positions, dtype=float),
        cell=np.array(atoms.cell.array, dtype=float),
        pbc=np.array(atoms.pbc, dtype=bool),
        energy=None if energy is None else float(energy),
        forces=None if forces is None else np.array(forces, dtype=float),
        stress=stress,
        file=file,
        index=index,
        origin=str(atoms.info.get("origin", atoms.info.get("config_type", "unknown"))),
        split=None if split is None else str(split),
        temperature=_temperature(temperature),
        level_of_theory=str(atoms.info.get("level_of_theory", "")),
        info={k: v for k, v in atoms.info.items() if isinstance(v, str | int | float)},
    )


def _temperature(value: Any) -> float | None:
    try:
        return None if value is None else float(value)
    except (TypeError, ValueError):
        return None


def data_hash(frames: list[Frame]) -> str:
    """SHA-256 over species, coordinates and labels of all frames in order; 16 hex digits."""
    digest = hashlib.sha256()
    for frame in frames:
        for values in (frame.numbers, frame.positions, frame.cell, frame.pbc):
            digest.update(np.ascontiguousarray(values, dtype="<f8").tobytes())
        for label in (frame.energy, frame.forces, frame.stress):
            if label is not None:
                digest.update(np.ascontiguousarray(label, dtype="<f8").tobytes())
        digest.update((frame.split or "").encode())
    return digest.hexdigest()[:16]

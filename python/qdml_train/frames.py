# SPDX-License-Identifier: MIT
"""Labelled structures: what is read from files, as numbers, with where it came from."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from qdml.errors import DataError

from qdml_train.source import Source


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
    weights: tuple[float, float, float] = (1.0, 1.0, 1.0)  # of energy, forces, stress
    free_energy: float | None = None  # eV, where the file has one beside the energy
    provenance: str = ""  # how the numbers of the file became eV and Å
    part: str = ""  # train, valid, test: what the configuration makes of the frame
    level: str = ""  # source with an E0 of its own, else empty
    e0: Any = "shared"  # that E0 as the source says it
    level_index: int = 0  # among the levels of a fit
    unused: tuple[str, ...] = ()  # names of arrays and numbers that were not read

    @property
    def n_atoms(self) -> int:
        return len(self.numbers)

    @property
    def where(self) -> str:
        """How messages name this frame."""
        return f"frame {self.index} of {self.file}"

    @property
    def role(self) -> str:
        """Part of the fit: as divided, else as the frame says, else training."""
        return self.part or self.split or "train"

    @property
    def volume(self) -> float:
        """Å³; 0 for a frame that is not periodic in three directions."""
        return float(abs(np.linalg.det(self.cell))) if self.pbc.all() else 0.0

    def atoms(self) -> Atoms:
        """Without labels."""
        return Atoms(self.numbers, self.positions, cell=self.cell, pbc=self.pbc)


def frame_from_atoms(
    atoms: Atoms,
    file: str,
    index: int,
    source: Source | None = None,
    force_consistent: bool = False,
) -> Frame:
    """A frame from ASE's structure, labels from its calculator or its arrays.

    `source` names keys, units, weights and level; without it the numbers are eV and Å under the
    names `X`, `REF_X` or `dft_X`. With `force_consistent` the free energy, of which the forces are
    the derivative, is taken where there is one (VASP). The forces of a single atom are zero by
    translation symmetry and need not be there. Raises DataError when two names give different
    numbers.
    """
    source = source or PLAIN
    results = dict(atoms.calc.results) if atoms.calc is not None else {}
    where = f"frame {index} of {file}"
    used: set[str] = set()

    def label(name: str, table: dict[str, Any]) -> Any:
        given = getattr(source.keys, name)
        names = (given,) if given else (name, f"REF_{name}", f"dft_{name}")
        if name == "energy" and not given and force_consistent:
            names = ("free_energy", *names)
        found = {}
        for key in names:
            value = results.get(key)
            value = table.get(key) if value is None else value
            if value is not None:
                found[key] = value
        used.update(found)
        if len(found) > 1 and "free_energy" not in found:
            (a, first), (b, second) = list(found.items())[:2]
            if not np.array_equal(np.asarray(first, float), np.asarray(second, float)):
                raise DataError(
                    f"{where} has two different labels '{a}' and '{b}'; say which one counts: "
                    f"keys: {{{name}: {a}}} or keys: {{{name}: {b}}}"
                )
        return next(iter(found.values()), None)

    factors = source.units.factors
    cell = np.array(atoms.cell.array, dtype=float) * factors["length"]
    pbc = np.array(atoms.pbc, dtype=bool)
    energy = label("energy", atoms.info)
    forces = label("forces", atoms.arrays)
    stress = label("stress", atoms.info)
    virial = label("virial", atoms.info) if source.keys.virial else None
    if virial is not None:
        volume = abs(np.linalg.det(cell))
        if not pbc.all() or volume == 0.0:
            raise DataError(f"{where} has a virial but no periodic cell; remove keys.virial")
        stress = -_six(virial, where) * factors["energy"] / volume
    elif stress is not None:
        stress = _six(stress, where) * factors["stress"]
    if forces is not None:
        forces = np.array(forces, dtype=float)
        if forces.shape != (len(atoms), 3):
            raise DataError(f"{where}: forces of shape {forces.shape}, expected {(len(atoms), 3)}")
        forces = forces * factors["force"]
    elif len(atoms) == 1:
        forces = np.zeros((1, 3))
    free = results.get("free_energy")
    split = atoms.info.get("split")
    origin = atoms.info.get("origin", atoms.info.get("config_type", "unknown"))
    weights = source.weights
    ignored = {"numbers", "positions", "initial_magmoms", "tags", *used}
    vectors = (k for k, v in atoms.arrays.items() if np.shape(v) == (len(atoms), 3))
    numbers = (k for k, v in {**atoms.info, **results}.items() if not isinstance(v, str))
    return Frame(
        numbers=np.array(atoms.numbers),
        positions=np.array(atoms.positions, dtype=float) * factors["length"],
        cell=cell,
        pbc=pbc,
        energy=None if energy is None else float(energy) * factors["energy"],
        forces=forces,
        stress=stress,
        file=file,
        index=index,
        origin=source.origin or str(origin),
        split=None if split is None else str(split),
        temperature=_temperature(atoms.info.get("temperature")),
        level_of_theory=str(atoms.info.get("level_of_theory", "") or source.level_of_theory),
        info={k: v for k, v in atoms.info.items() if isinstance(v, str | int | float)},
        weights=(weights.energy, weights.forces, weights.stress),
        level="" if source.e0 == "shared" else str(source),
        e0=source.e0,
        free_energy=None if free is None else float(free) * factors["energy"],
        unused=tuple(sorted({*vectors, *numbers} - ignored)),
    )


PLAIN = Source(file=Path("-"))
"""What a frame without a source of its own is read with: eV and Å, usual names."""


def _six(value: Any, where: str) -> np.ndarray:
    """xx yy zz yz xz xy of 6 numbers or of a 3x3 tensor."""
    tensor = np.asarray(value, dtype=float)
    if tensor.size == 9:
        s = tensor.reshape(3, 3)
        return np.array([s[0, 0], s[1, 1], s[2, 2], s[1, 2], s[0, 2], s[0, 1]])
    if tensor.size != 6:
        raise DataError(f"{where}: a stress or virial of {tensor.size} numbers; expected 6 or 9")
    return tensor.reshape(6)


def missing_labels(frames: list[Frame], kind: str, why: str) -> DataError | None:
    """The fault of the first frame without a label (`energy`, `forces`), or None.

    Names what was found instead: arrays of the right shape are the likely candidates.
    """
    lacking = [f for f in frames if getattr(f, kind) is None]
    if not lacking:
        return None
    frame = lacking[0]
    more = f" and {len(lacking) - 1} more have" if len(lacking) > 1 else " has"
    found = ", ".join(frame.unused) or "nothing else"
    guess = f"; if one of these is it, say keys: {{{kind}: NAME}}" if frame.unused else ""
    return DataError(
        f"{frame.where}{more} no {kind} under '{kind}', 'REF_{kind}' or 'dft_{kind}', {why}. "
        f"Found: {found}{guess}"
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
        if frame.weights != (1.0, 1.0, 1.0):
            digest.update(np.array(frame.weights, dtype="<f8").tobytes())
    return digest.hexdigest()[:16]

# SPDX-License-Identifier: MIT
"""Read `evaluation.json` (docs/training.md) and compute the errors it implies."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from ase.data import chemical_symbols

from qdml.errors import DataError

EVALUATION_FORMAT = 1
UNITS = {"energy": "eV", "length": "angstrom"}
SPLITS = ("train", "valid", "test")
HEAD = ("format", "model", "model_hash", "backend", "level_of_theory", "units", "frames")
FRAME_KEYS = ("split", "origin", "n_atoms", "numbers", "energy", "forces")


@dataclass
class Evaluation:
    """Frames of an evaluation; arrays per frame.

    energies: [n_frames, 2] reference and predicted per atom in eV (NaN without a reference).
    forces: per frame [2, n_atoms, 3] in eV/Å, or None without a reference.
    """

    head: dict[str, Any]
    split: list[str] = field(default_factory=list)
    origin: list[str] = field(default_factory=list)
    numbers: list[np.ndarray] = field(default_factory=list)
    energies: np.ndarray = field(default_factory=lambda: np.empty((0, 2)))
    forces: list[np.ndarray | None] = field(default_factory=list)

    def held_out(self) -> str | None:
        """The split that was never trained on: 'test', else 'valid', else None."""
        return next((s for s in ("test", "valid") if s in self.split), None)


def read_evaluation(path: str | Path) -> Evaluation:
    """Read and check an evaluation. Raises DataError naming the frame and key at fault."""
    path = Path(path)
    document = read_json(path)
    if not isinstance(document, dict):
        raise DataError(f"{path}: expected a JSON object, found {type(document).__name__}")
    for key in HEAD:
        if key not in document:
            raise DataError(f"{path}: key '{key}' is missing; write it with 'qdml_train eval'")
    if document["format"] != EVALUATION_FORMAT:
        raise DataError(
            f"{path}: format {document['format']!r}, this version reads {EVALUATION_FORMAT}"
        )
    if document["units"] != UNITS:
        raise DataError(f"{path}: units {document['units']}, expected {UNITS}")
    if not isinstance(document["frames"], list) or not document["frames"]:
        raise DataError(f"{path}: 'frames' is empty")
    evaluation = Evaluation({key: document[key] for key in HEAD if key != "frames"})
    energies = []
    for index, frame in enumerate(document["frames"]):
        where = f"{path}: frame {index}"
        energies.append(_add_frame(evaluation, frame, where))
    evaluation.energies = np.array(energies, dtype=float)
    return evaluation


def read_json(path: Path) -> Any:
    """Parse a JSON file; DataError with the line where it is damaged."""
    try:
        return json.loads(path.read_text())
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: damaged JSON ({error})") from error


def _add_frame(evaluation: Evaluation, frame: Any, where: str) -> tuple[float, float]:
    if not isinstance(frame, dict):
        raise DataError(f"{where}: expected an object")
    for key in FRAME_KEYS:
        if key not in frame:
            raise DataError(f"{where}: key '{key}' is missing")
    if frame["split"] not in SPLITS:
        raise DataError(f"{where}: split {frame['split']!r}, expected one of {', '.join(SPLITS)}")
    numbers = _array(frame["numbers"], where, "numbers").astype(int)
    if numbers.ndim != 1 or len(numbers) != frame["n_atoms"] or not len(numbers):
        raise DataError(f"{where}: {numbers.size} numbers for n_atoms {frame['n_atoms']}")
    if numbers.min() < 1 or numbers.max() >= len(chemical_symbols):
        raise DataError(f"{where}: atomic numbers from {numbers.min()} to {numbers.max()}")
    energy, force = frame["energy"], frame["forces"]
    for name, value in (("energy", energy), ("forces", force)):
        if not isinstance(value, dict) or not {"reference", "predicted"} <= set(value):
            raise DataError(f"{where}: '{name}' needs 'reference' and 'predicted'")
    predicted = _array(force["predicted"], where, "forces")
    reference = force["reference"]
    both = None
    if reference is not None:
        both = np.stack([_array(reference, where, "forces", predicted.shape), predicted])
    if predicted.shape != (len(numbers), 3):
        raise DataError(f"{where}: forces have shape {predicted.shape}, expected {len(numbers)}, 3")
    e_pred = float(_array(energy["predicted"], where, "energy", ()))
    e_ref = energy["reference"]
    e_ref = np.nan if e_ref is None else float(_array(e_ref, where, "energy", ()))
    evaluation.split.append(frame["split"])
    evaluation.origin.append(str(frame["origin"]))
    evaluation.numbers.append(numbers)
    evaluation.forces.append(both)
    return e_ref / len(numbers), e_pred / len(numbers)


def _array(value: Any, where: str, name: str, shape: tuple[int, ...] | None = None) -> np.ndarray:
    try:
        array = np.array(value, dtype=float)
    except (TypeError, ValueError) as error:
        raise DataError(f"{where}: '{name}' is not a regular array of numbers") from error
    if shape is not None and array.shape != shape:
        raise DataError(f"{where}: '{name}' has shape {array.shape}, expected {shape}")
    if not np.isfinite(array).all():
        raise DataError(f"{where}: '{name}' holds values that are not finite")
    return array


def errors(evaluation: Evaluation, split: str) -> dict[str, dict[str, dict[str, Any]]]:
    """Error rows of one split: {'all': {'all': row}, 'origin': {...}, 'element': {...}}.

    Rows hold n_frames, n_atoms, energy_rmse/mae in meV/atom over frames, force_rmse/mae in meV/Å
    over Cartesian components, force_rms of the reference (meV/Å, what predicting zero would give).
    None where no frame has the label.
    """
    chosen = [k for k, name in enumerate(evaluation.split) if name == split]
    origins = sorted({evaluation.origin[k] for k in chosen})
    elements = sorted({int(z) for k in chosen for z in evaluation.numbers[k]}, reverse=True)
    return {
        "all": {"all": _row(evaluation, chosen, None)},
        "origin": {
            o: _row(evaluation, [k for k in chosen if evaluation.origin[k] == o], None)
            for o in origins
        },
        "element": {chemical_symbols[z]: _row(evaluation, chosen, z) for z in elements},
    }


def _row(evaluation: Evaluation, chosen: list[int], number: int | None) -> dict[str, Any]:
    difference, size, n_atoms, n_frames = [], [], 0, 0
    for k in chosen:
        mask = evaluation.numbers[k] == number if number else np.ones(len(evaluation.numbers[k]))
        mask = mask.astype(bool)
        n_atoms += int(mask.sum())
        n_frames += bool(mask.any())
        both = evaluation.forces[k]
        if both is not None:
            difference.append((both[1] - both[0])[mask].ravel())
            size.append(both[0][mask].ravel())
    df = 1000 * np.concatenate(difference) if difference else np.empty(0)
    f = 1000 * np.concatenate(size) if size else np.empty(0)
    pairs = evaluation.energies[chosen]
    de = 1000 * (pairs[:, 1] - pairs[:, 0])
    de = de[np.isfinite(de)] if number is None else np.empty(0)
    return {
        "n_frames": n_frames,
        "n_atoms": n_atoms,
        "energy_rmse_mev_per_atom": _rms(de),
        "energy_mae_mev_per_atom": _mean_abs(de),
        "force_rmse_mev_per_angstrom": _rms(df),
        "force_mae_mev_per_angstrom": _mean_abs(df),
        "force_rms_reference": _rms(f),
    }


def _rms(values: np.ndarray) -> float | None:
    return float(np.sqrt(np.mean(values**2))) if len(values) else None


def _mean_abs(values: np.ndarray) -> float | None:
    return float(np.mean(np.abs(values))) if len(values) else None

# SPDX-License-Identifier: MIT
"""Read `evaluation.json` (docs/training.md) and compute the errors it implies."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from ase.data import chemical_symbols
from ase.formula import Formula

from qdml.analyse.angles import force_angles, mean_angle
from qdml.analyse.groups import REGION_LETTERS, region_names, size_class, size_order
from qdml.analyse.surface import REGIONS
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
    regions: per frame the letters of `groups.region_letters`, or None.
    spreads: per frame the spread of the forces of a committee [n_atoms] in eV/Å, or None;
    energy_spreads: [n_frames] of the energies per atom in eV (NaN without a committee).
    """

    head: dict[str, Any]
    split: list[str] = field(default_factory=list)
    origin: list[str] = field(default_factory=list)
    source: list[str] = field(default_factory=list)
    index: list[int | None] = field(default_factory=list)
    size: list[str | None] = field(default_factory=list)
    regions: list[str | None] = field(default_factory=list)
    spreads: list[np.ndarray | None] = field(default_factory=list)
    energy_spreads: np.ndarray = field(default_factory=lambda: np.empty(0))
    numbers: list[np.ndarray] = field(default_factory=list)
    energies: np.ndarray = field(default_factory=lambda: np.empty((0, 2)))
    forces: list[np.ndarray | None] = field(default_factory=list)

    def held_out(self) -> str | None:
        """The split that was never trained on: 'test', else 'valid', else None."""
        return next((s for s in ("test", "valid") if s in self.split), None)


def read_evaluation(path: str | Path) -> Evaluation:
    """Read and check an evaluation. Raises DataError naming the frame and key at fault."""
    path = Path(path)
    return parse_evaluation(read_json(path), str(path))


def parse_evaluation(document: Any, path: str = "evaluation") -> Evaluation:
    """The same from the parsed document; `path` is how messages name it."""
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
    evaluation = Evaluation({k: v for k, v in document.items() if k not in ("frames", "summary")})
    energies = []
    for index, frame in enumerate(document["frames"]):
        where = f"{path}: frame {index}"
        energies.append(_add_frame(evaluation, frame, where))
    per_atom = np.array(energies, dtype=float)
    evaluation.energies, evaluation.energy_spreads = per_atom[:, :2], per_atom[:, 2]
    return evaluation


def read_json(path: Path) -> Any:
    """Parse a JSON file; DataError with the line where it is damaged."""
    try:
        return json.loads(path.read_text())
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: damaged JSON ({error})") from error


def _add_frame(evaluation: Evaluation, frame: Any, where: str) -> tuple[float, float, float]:
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
    letters = frame.get("region")
    if letters is not None and (len(letters) != len(numbers) or set(letters) - {*REGION_LETTERS}):
        raise DataError(
            f"{where}: 'region' needs one of the letters {', '.join(REGION_LETTERS)} per atom"
        )
    spread = force.get("spread")
    spread = None if spread is None else _array(spread, where, "spread", numbers.shape)
    e_spread = energy.get("spread")
    e_spread = np.nan if e_spread is None else float(_array(e_spread, where, "spread", ()))
    evaluation.split.append(frame["split"])
    evaluation.origin.append(str(frame["origin"]))
    evaluation.source.append(str(frame.get("file", "unknown")))
    evaluation.index.append(frame.get("index"))
    evaluation.size.append(size_class(frame["kind"], len(numbers)) if "kind" in frame else None)
    evaluation.regions.append(letters)
    evaluation.spreads.append(spread)
    evaluation.numbers.append(numbers)
    evaluation.forces.append(both)
    return e_ref / len(numbers), e_pred / len(numbers), e_spread / len(numbers)


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
    """Error rows of one split by group: {'all': {'all': row}, 'element': {...}, ...}.

    Groups: all, element, region (core, surface, ligand), size (kind and number of atoms), origin,
    source (file). Rows hold n_frames, n_atoms, energy_rmse/mae in meV/atom over frames (None for
    parts of frames), force_rmse/mae in meV/Å over Cartesian components, force_rms of the reference
    (meV/Å, what predicting zero would give) and force_angle in degrees (`angles.mean_angle`).
    None where no frame has the label.
    """
    chosen = [k for k, name in enumerate(evaluation.split) if name == split]
    elements = sorted({int(z) for k in chosen for z in evaluation.numbers[k]}, reverse=True)
    regions = {k: region_names(evaluation.regions[k]) for k in chosen if evaluation.regions[k]}
    found_regions = {name for names in regions.values() for name in names}
    sizes = {evaluation.size[k] for k in chosen} - {None}
    return {
        "all": {"all": _row(evaluation, chosen)},
        "element": {
            chemical_symbols[z]: _row(evaluation, chosen, lambda k, z=z: evaluation.numbers[k] == z)
            for z in elements
        },
        "region": {
            name: _row(evaluation, [*regions], lambda k, name=name: regions[k] == name)
            for name in REGIONS
            if name in found_regions
        },
        "size": _by_frame(evaluation, chosen, evaluation.size, sorted(sizes, key=size_order)),
        "origin": _by_frame(evaluation, chosen, evaluation.origin),
        "source": _by_frame(evaluation, chosen, evaluation.source),
    }


def _by_frame(
    evaluation: Evaluation, chosen: list[int], names: list[Any], order: list[str] | None = None
) -> dict[str, dict[str, Any]]:
    """One row per name of a frame."""
    order = sorted({names[k] for k in chosen}) if order is None else order
    return {name: _row(evaluation, [k for k in chosen if names[k] == name]) for name in order}


def _row(
    evaluation: Evaluation,
    chosen: list[int],
    part: Callable[[int], np.ndarray] | None = None,
) -> dict[str, Any]:
    """Errors over frames, or over the atoms for which `part(frame)` [n_atoms] is true."""
    reference, predicted, n_atoms, n_frames = [np.empty((0, 3))], [np.empty((0, 3))], 0, 0
    for k in chosen:
        mask = np.ones(len(evaluation.numbers[k]), bool) if part is None else part(k)
        n_atoms += int(mask.sum())
        n_frames += bool(mask.any())
        both = evaluation.forces[k]
        if both is not None:
            reference.append(both[0][mask])
            predicted.append(both[1][mask])
    f, g = np.concatenate(reference), np.concatenate(predicted)
    pairs = evaluation.energies[chosen]
    de = 1000 * (pairs[:, 1] - pairs[:, 0])
    de = de[np.isfinite(de)] if part is None else np.empty(0)
    return {
        "n_frames": n_frames,
        "n_atoms": n_atoms,
        "energy_rmse_mev_per_atom": _rms(de),
        "energy_mae_mev_per_atom": _mean_abs(de),
        "force_rmse_mev_per_angstrom": _rms(1000 * (g - f)),
        "force_mae_mev_per_angstrom": _mean_abs(1000 * (g - f)),
        "force_rms_reference": _rms(1000 * f),
        "force_angle_degrees": mean_angle(*force_angles(f, g)),
    }


def _rms(values: np.ndarray) -> float | None:
    return float(np.sqrt(np.mean(values**2))) if len(values) else None


def _mean_abs(values: np.ndarray) -> float | None:
    return float(np.mean(np.abs(values))) if len(values) else None


def worst_frames(evaluation: Evaluation, split: str, n: int = 10) -> list[dict[str, Any]]:
    """The n frames of a split with the largest force RMSE, else energy error, worst first.

    Rows: number of the frame in the evaluation, file, index, origin, formula, force_rmse and
    largest force error of one atom in meV/Å, energy error in meV/atom.
    """
    rows = []
    for k, name in enumerate(evaluation.split):
        if name != split:
            continue
        row = _row(evaluation, [k])
        largest, energy = None, evaluation.energies[k]
        if evaluation.forces[k] is not None:
            difference = evaluation.forces[k][1] - evaluation.forces[k][0]
            largest = 1000 * float(np.linalg.norm(difference, axis=1).max())
        error = 1000 * float(energy[1] - energy[0])
        rows.append(
            {
                "number": k,
                "file": evaluation.source[k],
                "index": evaluation.index[k],
                "origin": evaluation.origin[k],
                "formula": Formula.from_list(
                    [chemical_symbols[z] for z in evaluation.numbers[k]]
                ).format("hill"),
                "force_rmse_mev_per_angstrom": row["force_rmse_mev_per_angstrom"],
                "largest_force_error_mev_per_angstrom": largest,
                "energy_error_mev_per_atom": error if np.isfinite(error) else None,
            }
        )
    rows.sort(
        key=lambda r: (
            r["force_rmse_mev_per_angstrom"] or 0.0,
            abs(r["energy_error_mev_per_atom"] or 0.0),
        ),
        reverse=True,
    )
    return rows[:n]

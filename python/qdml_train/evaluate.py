# SPDX-License-Identifier: MIT
"""A potential, or a committee, on labelled frames: the document of `evaluation.json`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
from ase import Atoms
from qdml.analyse.frames import frame_kind
from qdml.analyse.groups import region_letters
from qdml.analyse.parity import (
    EVALUATION_FORMAT,
    HEAD,
    SPLITS,
    UNITS,
    errors,
    parse_evaluation,
    worst_frames,
)
from qdml.modelfile import content_hash
from rich.table import Table

from qdml_train.frames import Frame, data_hash
from qdml_train.opened import open_potentials
from qdml_train.spread import Combined

DECIMALS = 6
GROUPS = {"split": "all", "origin": "origin", "element": "element", "region": "region",
          "size": "size", "source": "source"}  # fmt: skip
"""Tables of `summary` and the group of `qdml.analyse.parity.errors` each is made from."""


def evaluate_models(
    paths: Sequence[Path], frames: list[Frame], splits: list[str]
) -> dict[str, Any]:
    """The document of `evaluation.json` (docs/training.md); `splits` has one name per frame.

    Several files are a committee, and so is one file of several members: predictions are means over
    the members, with their spread.
    """
    opened = open_potentials(paths)
    members = opened.members
    head: dict[str, Any] = {"format": EVALUATION_FORMAT, **members[0]}
    if len(members) > 1:
        head["model"] = f"committee of {', '.join(m['model'] for m in members)}"
        head["members"] = members
        head["spread_factors"] = dict(opened.spread_factors)
    if len(members) > len(paths) == 1:
        head["model_hash"] = content_hash(paths[0])
    document = {
        **head,
        "backend": opened.potentials[0].name,
        "level_of_theory": opened.document["level_of_theory"],
        "units": UNITS,
        "data_hash": data_hash(frames),
        "frames": frame_records(frames, splits, opened.predict(frames)),
    }
    return document | {"summary": summarise(document)}


def frame_records(
    frames: list[Frame], splits: list[str], combined: Sequence[Combined]
) -> list[dict[str, Any]]:
    """The entries of `frames`."""
    structures = [f.atoms() for f in frames]
    for atoms, frame in zip(structures, frames, strict=True):
        atoms.info.update(frame.info)
    letters = region_letters(structures)
    parts = zip(frames, splits, structures, letters, combined, strict=True)
    return [_record(f, s, frame_kind(a), region, c) for f, s, a, region, c in parts]


def _record(
    frame: Frame, split: str, kind: str, region: str | None, found: Combined
) -> dict[str, Any]:
    def entry(reference: Any, predicted: Any, spread: Any = None) -> dict[str, Any]:
        content = {"reference": _rounded(reference), "predicted": _rounded(predicted)}
        return content if spread is None else content | {"spread": _rounded(spread)}

    result = found.mean
    return {
        "file": frame.file,
        "index": frame.index,
        "split": split,
        "origin": frame.origin,
        "kind": kind,
        "temperature": frame.temperature,
        "formula": frame.atoms().get_chemical_formula(),
        "n_atoms": frame.n_atoms,
        "numbers": frame.numbers.tolist(),
        "region": region,
        "energy": entry(frame.energy, result.energy, found.energy_spread),
        "forces": entry(frame.forces, result.forces, found.force_spread),
        "stress": None if result.stress is None else entry(frame.stress, result.stress),
    }


def _rounded(value: Any) -> Any:
    if value is None:
        return None
    return np.round(np.asarray(value, dtype=float), DECIMALS).tolist()


def summarise(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The tables of `summary`, keys split/name (split alone in `by_split`)."""
    evaluation = parse_evaluation(document)
    tables: dict[str, dict[str, Any]] = {f"by_{name}": {} for name in GROUPS}
    for split in (s for s in SPLITS if s in evaluation.split):
        found = errors(evaluation, split)
        for name, group in GROUPS.items():
            for key, row in found[group].items():
                rounded = {k: round(v, DECIMALS) if isinstance(v, float) else v
                           for k, v in row.items()}  # fmt: skip
                tables[f"by_{name}"][split if name == "split" else f"{split}/{key}"] = rounded
    return tables


def error_row(records: list[dict[str, Any]]) -> dict[str, Any]:
    """The row over all of these `frame_records`, which are of one split."""
    document = dict.fromkeys(HEAD, "") | {"format": EVALUATION_FORMAT, "units": UNITS}
    evaluation = parse_evaluation(document | {"frames": records})
    return errors(evaluation, evaluation.split[0])["all"]["all"]


def error_table(title: str, rows: dict[str, Any]) -> Table:
    """A summary as a table for the terminal."""
    table = Table(title=title, title_justify="left")
    table.add_column("")
    for name in ("frames", "atoms", "E RMSE", "E MAE", "F RMSE", "F MAE", "angle"):
        table.add_column(name, justify="right")
    for name, r in rows.items():
        numbers = [
            "-" if r[key] is None else f"{r[key]:.1f}"
            for key in (
                "energy_rmse_mev_per_atom",
                "energy_mae_mev_per_atom",
                "force_rmse_mev_per_angstrom",
                "force_mae_mev_per_angstrom",
                "force_angle_degrees",
            )
        ]
        table.add_row(name, str(r["n_frames"]), str(r["n_atoms"]), *numbers)
    table.caption = "energies meV/atom, forces meV/Å, angle between forces in degrees"
    return table


def write_evaluation(path: Path, evaluation: dict[str, Any]) -> None:
    """Write `evaluation.json`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(evaluation) + "\n")


def write_worst(path: Path, document: dict[str, Any], frames: list[Frame], n: int = 10) -> int:
    """Write the n held-out frames with the largest force errors as extxyz, worst first.

    Reference labels are `REF_energy` and `REF_forces`, so that the file can be read as data again;
    beside them `predicted_energy`, `predicted_forces` and the length of the difference per atom,
    `force_error`. `frames` are those of the document in its order. Returns how many there were.
    """
    evaluation = parse_evaluation(document)
    split = evaluation.held_out() or evaluation.split[0]
    worst = [
        _worst_atoms(frames[row["number"]], document["frames"][row["number"]])
        for row in worst_frames(evaluation, split, n)
    ]
    ase.io.write(path, worst, format="extxyz")
    return len(worst)


def _worst_atoms(frame: Frame, record: dict[str, Any]) -> Atoms:
    atoms = frame.atoms()
    names = ("file", "index", "split", "origin", "temperature")
    atoms.info.update({k: record[k] for k in names if record[k] is not None})
    if frame.level_of_theory:
        atoms.info["level_of_theory"] = frame.level_of_theory
    predicted = np.array(record["forces"]["predicted"])
    atoms.info["predicted_energy"] = record["energy"]["predicted"]
    atoms.arrays["predicted_forces"] = predicted
    if frame.energy is not None:
        atoms.info["REF_energy"] = frame.energy
    if frame.forces is not None:
        atoms.arrays["REF_forces"] = frame.forces
        atoms.arrays["force_error"] = np.linalg.norm(predicted - frame.forces, axis=1)
    return atoms

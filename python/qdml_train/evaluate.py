# SPDX-License-Identifier: MIT
"""Errors of a potential on labelled frames: per split, origin and element, and the parity data."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from ase.data import chemical_symbols
from qdml.modelfile import content_hash, read_model
from rich.table import Table

from qdml_train.frames import Frame
from qdml_train.predictor import EnginePotential, JaxPotential, Result, best_potential

DECIMALS = 6


def evaluate_model(path: Path, frames: list[Frame], splits: list[str]) -> dict[str, Any]:
    """The document of `evaluation.json` (docs/training.md); `splits` has one name per frame."""
    potential: JaxPotential | EnginePotential = best_potential(path)
    results = potential.predict(frames)
    document, _ = read_model(path)
    return {
        "format": 1,
        "model": path.name,
        "model_hash": content_hash(path),
        "backend": potential.name,
        "level_of_theory": document["level_of_theory"],
        "units": {"energy": "eV", "length": "angstrom"},
        "frames": [frame_record(f, s, r) for f, s, r in zip(frames, splits, results, strict=True)],
        "summary": summarise(frames, splits, results),
    }


def frame_record(frame: Frame, split: str, result: Result) -> dict[str, Any]:
    """One entry of `frames`."""

    def pair(reference: Any, predicted: Any) -> dict[str, Any]:
        return {"reference": _rounded(reference), "predicted": _rounded(predicted)}

    return {
        "file": frame.file,
        "index": frame.index,
        "split": split,
        "origin": frame.origin,
        "temperature": frame.temperature,
        "formula": frame.atoms().get_chemical_formula(),
        "n_atoms": frame.n_atoms,
        "numbers": frame.numbers.tolist(),
        "energy": pair(frame.energy, result.energy),
        "forces": pair(frame.forces, result.forces),
        "stress": None if result.stress is None else pair(frame.stress, result.stress),
    }


def _rounded(value: Any) -> Any:
    if value is None:
        return None
    return np.round(np.asarray(value, dtype=float), DECIMALS).tolist()


def summarise(
    frames: list[Frame], splits: list[str], results: list[Result]
) -> dict[str, dict[str, Any]]:
    """The three tables of `summary`."""
    triples = list(zip(frames, splits, results, strict=True))

    def table(key: Callable[[Frame, str], Iterable[str]]) -> dict[str, Any]:
        groups: dict[str, list[tuple[Frame, Result]]] = {}
        for frame, split, result in triples:
            for name in key(frame, split):
                groups.setdefault(name, []).append((frame, result))
        return {name: row(group) for name, group in sorted(groups.items())}

    by_element: dict[str, Any] = {}
    for split in sorted(set(splits)):
        part = [(f, r) for f, s, r in triples if s == split]
        for z in sorted({int(z) for f, _ in part for z in f.numbers}):
            by_element[f"{split}/{chemical_symbols[z]}"] = row(part, z)
    return {
        "by_split": table(lambda f, s: [s]),
        "by_origin": table(lambda f, s: [f"{s}/{f.origin}"]),
        "by_element": by_element,
    }


def row(group: list[tuple[Frame, Result]], element: int | None = None) -> dict[str, Any]:
    """Errors over a group of frames; of one element's forces when `element` is given."""
    energies, forces = [], []
    n_atoms = n_frames = 0
    for frame, result in group:
        chosen = np.ones(frame.n_atoms, bool) if element is None else frame.numbers == element
        n_atoms += int(chosen.sum())
        n_frames += bool(chosen.any())
        if frame.forces is not None:
            forces.append((result.forces - frame.forces)[chosen].ravel())
        if frame.energy is not None and element is None:
            energies.append((result.energy - frame.energy) / frame.n_atoms)
    e = np.array(energies)
    f = np.concatenate(forces) if forces else np.array([])
    return {
        "n_frames": n_frames,
        "n_atoms": n_atoms,
        "energy_rmse_mev_per_atom": _milli(np.sqrt((e**2).mean())) if e.size else None,
        "energy_mae_mev_per_atom": _milli(np.abs(e).mean()) if e.size else None,
        "force_rmse_mev_per_angstrom": _milli(np.sqrt((f**2).mean())) if f.size else None,
        "force_mae_mev_per_angstrom": _milli(np.abs(f).mean()) if f.size else None,
    }


def _milli(value: float) -> float:
    return round(1e3 * float(value), DECIMALS)


def error_table(title: str, rows: dict[str, Any]) -> Table:
    """A summary as a table for the terminal."""
    table = Table(title=title, title_justify="left")
    table.add_column("")
    for name in ("frames", "atoms", "E RMSE", "E MAE", "F RMSE", "F MAE"):
        table.add_column(name, justify="right")
    for name, r in rows.items():
        numbers = [
            "-" if r[key] is None else f"{r[key]:.1f}"
            for key in (
                "energy_rmse_mev_per_atom",
                "energy_mae_mev_per_atom",
                "force_rmse_mev_per_angstrom",
                "force_mae_mev_per_angstrom",
            )
        ]
        table.add_row(name, str(r["n_frames"]), str(r["n_atoms"]), *numbers)
    table.caption = "energies meV/atom, forces meV/Å"
    return table


def write_evaluation(path: Path, evaluation: dict[str, Any]) -> None:
    """Write `evaluation.json`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(evaluation) + "\n")

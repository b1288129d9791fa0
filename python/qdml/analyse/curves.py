# SPDX-License-Identifier: MIT
"""Read `metrics.jsonl` (docs/training.md) of a fit."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from qdml.errors import DataError

EPOCH_KEYS = ("epoch", "step", "elapsed_s", "learning_rate", "train", "valid", "gradient_norm")
MEASURES = ("loss", "energy_rmse_mev_per_atom", "force_rmse_mev_per_angstrom")


@dataclass
class Curves:
    """Epochs of a fit with its start and end lines; `end` is None while it runs or was killed."""

    starts: list[dict[str, Any]] = field(default_factory=list)
    epochs: list[dict[str, Any]] = field(default_factory=list)
    end: dict[str, Any] | None = None
    cut: bool = False

    def series(self, part: str, measure: str) -> tuple[np.ndarray, np.ndarray]:
        """Epoch numbers and values of one measure of 'train' or 'valid', where it was measured."""
        points = [
            (e["epoch"], e[part][measure])
            for e in self.epochs
            if e[part] is not None and e[part].get(measure) is not None
        ]
        array = np.array(points, dtype=float).reshape(-1, 2)
        return array[:, 0], array[:, 1]


def read_metrics(path: str | Path) -> Curves:
    """Read and check the metrics of a fit. Raises DataError naming the line at fault.

    A last line without a newline (a fit that was killed while writing) is left out.
    """
    path = Path(path)
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot read the metrics ({error})") from error
    curves = Curves()
    lines = text.split("\n")
    curves.cut = bool(lines.pop().strip())
    for number, line in enumerate(lines, start=1):
        if line.strip():
            _add_line(curves, line, f"{path}:{number}")
    if not curves.epochs:
        raise DataError(f"{path}: no finished epoch; let the fit run on")
    return curves


def _add_line(curves: Curves, line: str, where: str) -> None:
    try:
        record = json.loads(line)
    except json.JSONDecodeError as error:
        raise DataError(f"{where}: damaged JSON ({error.msg})") from error
    kind = record.get("kind") if isinstance(record, dict) else None
    if kind == "start":
        curves.starts.append(record)
        curves.end = None
    elif kind == "end":
        curves.end = record
    elif kind == "epoch":
        _check_epoch(record, where)
        curves.epochs.append(record)
    else:
        raise DataError(f"{where}: kind {kind!r}, expected 'start', 'epoch' or 'end'")


def _check_epoch(record: dict[str, Any], where: str) -> None:
    for key in EPOCH_KEYS:
        if key not in record:
            raise DataError(f"{where}: key '{key}' is missing")
    for part in ("train", "valid"):
        values = record[part]
        if values is None and part == "valid":
            continue
        if not isinstance(values, dict) or not set(MEASURES) <= set(values):
            raise DataError(f"{where}: '{part}' needs {', '.join(MEASURES)}")
        for measure in MEASURES:
            if not isinstance(values[measure], int | float | None):
                raise DataError(f"{where}: {part}.{measure} is {values[measure]!r}, not a number")

# SPDX-License-Identifier: MIT
"""What a fit and `eval` leave behind: evaluation, worst frames, NVE run, page and its numbers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from qdml.analyse.frames import Reference, frame_kind
from qdml.analyse.inputs import Paths
from qdml.analyse.parity import SPLITS
from qdml.analyse.report import make_report, write_report
from qdml.analyse.smoke import Smoke, run_nve, write_smoke
from qdml.errors import DataError
from rich.console import Console

from qdml_train.checks import run_checks
from qdml_train.doctor.finding import Finding
from qdml_train.evaluate import error_table, evaluate_models, write_evaluation, write_worst
from qdml_train.frames import Frame
from qdml_train.predictor import engine_available
from qdml_train.report_checks import findings_json
from qdml_train.sources import read_frames

NVE_LENGTH = 2.0
"""ps of the short run behind every fit and evaluation."""

MAX_NVE_ATOMS = 500
"""Larger frames are not run: 2 ps would take longer than the rest of the evaluation."""

FILES = ("evaluation.json", "worst.extxyz", "findings.json", "nve.json", "report.html",
         "metrics.json")  # fmt: skip
"""Everything `write_results` writes."""


def write_results(
    folder: Path,
    models: Sequence[Path],
    frames: list[Frame],
    splits: list[str],
    findings: list[Finding],
    console: Console,
    nve_length: float = NVE_LENGTH,
    title: str = "qdml fit",
) -> dict[str, Any]:
    """Evaluate, run the short dynamics and write FILES into `folder`; returns the evaluation.

    nve_length in ps, 0 for none. The page is made of what lies in the folder, so that
    `qdml analyse --fit` makes it again.
    """
    folder.mkdir(parents=True, exist_ok=True)
    evaluation = evaluate_models(models, frames, splits)
    write_evaluation(folder / "evaluation.json", evaluation)
    write_worst(folder / "worst.extxyz", evaluation, frames)
    (folder / "findings.json").write_text(findings_json(findings))
    (folder / "nve.json").unlink(missing_ok=True)
    if nve_length > 0:
        smoke = smoke_run(models[0], frames, splits, nve_length, console)
        if smoke is not None:
            write_smoke(folder / "nve.json", smoke)
    report = make_report(
        Paths(fit=folder, model=models[0]), title, reference_of(frames, splits), only_fit=True
    )
    write_report(report, folder / "report.html", folder / "metrics.json")
    console.print(f"report: {folder / 'report.html'}", highlight=False, soft_wrap=True)
    return evaluation


def smoke_run(
    model: Path, frames: list[Frame], splits: list[str], length: float, console: Console
) -> Smoke | None:
    """The short NVE run from a held-out frame, told on the console; None where it cannot be."""
    chosen = smoke_frame(frames, splits)
    if not engine_available():
        console.print("nve: not run, the native engine is not installed")
        return None
    if chosen is None:
        console.print(f"nve: not run, no frame has 2 to {MAX_NVE_ATOMS} atoms")
        return None
    from qdml import Calculator

    calculator = Calculator(str(model), precision="double")
    name = f"{chosen.origin}, {chosen.where}"
    smoke = run_nve(chosen.atoms(), calculator, name, length, chosen.temperature)
    reasons = f": {'; '.join(smoke.reasons)}" if smoke.reasons else ""
    drift = "" if smoke.drift is None else f", drift {1e3 * smoke.drift:.2g} meV/atom/ps"
    console.print(
        f"nve: {smoke.state}, {smoke.length_ps:.3g} ps of {smoke.formula} ({name}){drift}{reasons}",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
    return smoke


def smoke_frame(frames: list[Frame], splits: list[str]) -> Frame | None:
    """The largest held-out frame that is not too large; among equals the one of least force."""
    for part in reversed(SPLITS):
        fit = [
            f
            for f, split in zip(frames, splits, strict=True)
            if split == part and 2 <= f.n_atoms <= MAX_NVE_ATOMS
        ]
        if fit:
            return max(fit, key=lambda f: (f.n_atoms, -_largest_force(f)))
    return None


def _largest_force(frame: Frame) -> float:
    return 0.0 if frame.forces is None else float(np.abs(frame.forces).max())


def reference_of(frames: list[Frame], splits: list[str]) -> Reference:
    """The frames as the data section of the page takes them, split as the fit divided them."""
    reference = Reference(paths=[Path(name) for name in dict.fromkeys(f.file for f in frames)])
    for frame, split in zip(frames, splits, strict=True):
        atoms = frame.atoms()
        atoms.info.update(frame.info)
        atoms.info.update(origin=frame.origin, split=split)
        for key, value in (
            ("temperature", frame.temperature),
            ("level_of_theory", frame.level_of_theory or None),
        ):
            if value is not None:
                atoms.info[key] = value
        reference.frames.append(atoms)
        reference.kinds.append(frame_kind(atoms))
    return reference


def evaluate_files(
    models: list[Path],
    data: list[Path],
    output: Path | None,
    split: str | None,
    nve_length: float,
    console: Console,
) -> dict[str, Any]:
    """What `eval` does; `output` is a folder, or a .json file for the evaluation alone.

    Raises DataError when no frame is left, and for frames without labels.
    """
    frames = [frame for path in data for frame in read_frames(path)]
    if split is not None:
        frames = [f for f in frames if f.split == split]
        if not frames:
            names = ", ".join(str(path) for path in data)
            raise DataError(f"{names}: no frame has split={split}")
    splits = [f.split if f.split in SPLITS else "test" for f in frames]
    if output is None or output.suffix == ".json":
        evaluation = evaluate_models(models, frames, splits)
        if output is not None:
            write_evaluation(output, evaluation)
    else:
        title = f"Evaluation of {', '.join(path.name for path in models)}"
        evaluation = write_results(
            output, models, frames, splits, run_checks(frames), console, nve_length, title
        )
    for name, rows in evaluation["summary"].items():
        if rows:
            console.print(error_table(name.replace("_", " "), rows))
    console.print(f"evaluated by: {evaluation['backend']}")
    if output is not None:
        console.print(f"wrote {output}", highlight=False, soft_wrap=True)
    return evaluation

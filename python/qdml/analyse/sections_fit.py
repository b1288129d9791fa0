# SPDX-License-Identifier: MIT
"""Sections of the report on the fit: data, learning curves, parity."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from ase.data import chemical_symbols

from qdml.analyse import figures, figures_eval, html
from qdml.analyse.angles import FORCE_FLOOR
from qdml.analyse.frames import describe
from qdml.analyse.inputs import ENERGY_LIMIT, FORCE_LIMIT, Inputs
from qdml.analyse.parity import SPLITS, Evaluation, errors, worst_frames
from qdml.analyse.surface import find_roles

Section = tuple[str, dict[str, Any]]
"""HTML of a section and the numbers behind it."""

ROW_HEAD = [
    "", "frames", "atoms", "energy RMSE (meV/atom)", "energy MAE", "force RMSE (meV/Å)",
    "force MAE", "rms of the DFT force", "force angle (°)",
]  # fmt: skip
ROW_KEYS = (
    "n_frames", "n_atoms", "energy_rmse_mev_per_atom", "energy_mae_mev_per_atom",
    "force_rmse_mev_per_angstrom", "force_mae_mev_per_angstrom", "force_rms_reference",
    "force_angle_degrees",
)  # fmt: skip
GROUPS = {
    "element": "element",
    "region": "region",
    "size": "kind and number of atoms",
    "origin": "origin",
    "source": "file",
}
"""Groups of `parity.errors` in the order of the page, with the head of their first column."""
PARTS_OF_FRAMES = ("element", "region")
"""Groups of atoms: energies are not resolved by them."""


def missing(inputs: Inputs, key: str, what: str) -> str:
    """The sentence that stands where something was not given."""
    return html.paragraph(f"Missing: {what} ({inputs.missing[key]}).", "missing")


def data_section(inputs: Inputs) -> Section:
    """Counts of the reference frames and what the data check found."""
    checks, findings = findings_html(inputs)
    if inputs.reference is None:
        return missing(inputs, "reference", "the DFT frames") + checks, findings
    found = describe(inputs.reference) | findings
    kinds = ", ".join(f"{n} {kind}" for kind, n in found["kinds"].items() if n)
    parts = [
        html.paragraph(
            f"{found['n_frames']} frames with {found['n_atoms']:,} atoms in "
            f"{', '.join(found['files'])}: {kinds}."
        )
    ]
    levels = [[level, n] for level, n in found["level_of_theory"].items()]
    parts.append(html.table(["level of theory", "frames"], levels))
    if len(levels) > 1:
        parts.append(html.paragraph("More than one level of theory: energies of different levels "
                                    "must not be fitted together.", "missing"))  # fmt: skip
    total = found["label_seconds_total"]
    if total is not None:
        parts.append(
            html.paragraph(
                f"Labelling took {total / 3600:.1f} core hours for the "
                f"{found['n_with_label_seconds']} frames that record it."
            )
        )
    rows = [
        [
            row["origin"], row["split"], row["kind"], row["n_frames"], _span(row["n_atoms"]),
            " ".join(row["elements"]), _span(row["temperatures"]), row["median_label_seconds"],
        ]
        for row in found["rows"]
    ]  # fmt: skip
    head = ["origin", "split", "kind", "frames", "atoms", "elements", "temperature (K)",
            "median label time (core s)"]  # fmt: skip
    parts.append(html.table(head, rows))
    elements = [[symbol, n] for symbol, n in found["elements"].items()]
    parts.append(html.table(["element", "atoms in all frames"], elements))
    return "\n".join([*parts, checks]), found


def findings_html(inputs: Inputs) -> Section:
    """Findings of the data doctor (`findings.json` of a fit) and the hash of the data."""
    parts, numbers = [], {}
    data_hash = inputs.evaluation.head.get("data_hash") if inputs.evaluation else None
    if data_hash:
        numbers["data_hash"] = data_hash
        parts.append(html.paragraph(f"Hash of species, coordinates and labels: {data_hash}."))
    if inputs.findings is not None:
        numbers["findings"] = inputs.findings
        rows = [[f["level"], f["check"], f["message"], f["fix"]] for f in inputs.findings]
        head = ["", "check", "finding", "what to do"]
        parts.append(html.table(head, rows, "The data check (python -m qdml_train check)"))
    return "\n".join(parts), numbers


def _span(values: Sequence[float]) -> str | None:
    """'64' or '35–64' of sorted numbers, None of an empty list."""
    if not values:
        return None
    low, high = f"{values[0]:g}", f"{values[-1]:g}"
    return low if low == high else f"{low}–{high}"


def curves_section(inputs: Inputs) -> Section:
    """Learning curves of the fit."""
    curves = inputs.curves
    if curves is None:
        return missing(inputs, "metrics", "the learning curves"), {}
    last = curves.epochs[-1]
    start, end = (curves.starts or [{}])[-1], curves.end or {}
    hours = last["elapsed_s"] / 3600
    spent = f"{hours:.1f} h" if hours >= 1 else f"{last['elapsed_s'] / 60:.1f} min"
    reasons = {"epochs": "all epochs done", "time_budget": "time budget used up",
               "signal": "stopped by a signal", "patience": "no further gain"}  # fmt: skip
    state = reasons.get(end.get("reason", ""), "no end line: still running, or killed")
    plural = "" if last["epoch"] == 1 else "s"
    sentence = f"{last['epoch']} epoch{plural}, {last['step']:,} optimiser steps, {spent}; {state}."
    if end.get("best_epoch") is not None:
        sentence += f" Best validated epoch: {end['best_epoch']}."
    if "n_parameters" in start:
        sentence += f" {start['n_parameters']:,} parameters."
    if "n_train" in start:
        sentence += (
            f" {start['n_train']} training, {start.get('n_valid', 0)} validation and "
            f"{start.get('n_test', 0)} test frames."
        )
    if len(curves.starts) > 1:
        sentence += f" Times resumed: {len(curves.starts) - 1}."
    drawing = figures.draw_learning(curves, {"force": FORCE_LIMIT, "energy": ENERGY_LIMIT})
    caption = (
        "Loss and errors against the epoch; validation errors are of the averaged weights. "
        "Dashed: acceptance limit for held-out frames."
    )
    numbers = {"epochs": last["epoch"], "steps": last["step"], "elapsed_s": last["elapsed_s"],
               "last": last, "start": start, "end": curves.end}  # fmt: skip
    return html.paragraph(sentence) + html.figure(drawing, caption), numbers


def parity_section(inputs: Inputs) -> Section:
    """Parity plots and error tables."""
    evaluation = inputs.evaluation
    if evaluation is None:
        return missing(inputs, "evaluation", "the evaluation of the fit"), {}
    splits = [s for s in SPLITS if s in evaluation.split]
    numbers: dict[str, Any] = {split: errors(evaluation, split) for split in splits}
    held_out = evaluation.held_out()
    rows = [_row(figures.SPLIT_NAMES[s], numbers[s]["all"]["all"]) for s in splits]
    parts = [
        html.paragraph(
            f"Predicted by {evaluation.head['model']} ({evaluation.head['backend']}), reference "
            f"{evaluation.head['level_of_theory']}. RMSE of energies over frames, of forces over "
            "Cartesian components. The rms of the DFT force is the error of predicting zero. The "
            "force angle is that between predicted and reference force, weighted by the latter, "
            f"over forces above {FORCE_FLOOR:g} eV/Å."
        ),
        html.table(["split", *ROW_HEAD[1:]], rows),
        html.figure(
            figures.draw_forces(evaluation, splits),
            "Force components, predicted against DFT, coloured by element.",
        ),
    ]
    if np.isfinite(evaluation.energies[:, 0]).any():
        drawing = figures.draw_energies(evaluation, splits, composition_energies(evaluation))
        caption = (
            "Energy per atom, predicted against DFT, coloured by origin. From both the same sum "
            "over elements is subtracted (least squares on the DFT energies of all frames), which "
            "removes the large atomic energies and no error."
        )
        parts.append(html.figure(drawing, caption))
    else:
        parts.append(html.paragraph("The frames have no reference energies.", "missing"))
    shown = held_out or splits[-1]
    label = figures.SPLIT_NAMES[shown]
    for kind, what in GROUPS.items():
        rows = [_row(name, row) for name, row in numbers[shown][kind].items()]
        if not rows or (kind == "source" and len(rows) < 2):
            continue
        keep = [0, 1, 2, 5, 6, 7, 8] if kind in PARTS_OF_FRAMES else range(len(ROW_HEAD))
        head, table = [what, *ROW_HEAD[1:]], [[row[k] for k in keep] for row in rows]
        caption = f"{label.capitalize()} frames by {what}"
        parts.append(html.table([head[k] for k in keep], table, caption))
        if kind == "region":
            parts.append(html.paragraph(region_definition(evaluation), "note"))
    if _has_forces(evaluation, shown):
        drawing = figures_eval.draw_angles(evaluation, shown)
        caption = (
            f"Angle between predicted and reference force of the {label} frames: medians in "
            f"classes of equal numbers of atoms ({figures_eval.MIN_ATOMS} or more) by the force."
        )
        parts.append(html.figure(drawing, caption))
    parts.append(worst_table(evaluation, shown, label))
    numbers["worst"] = worst_frames(evaluation, shown)
    numbers["held_out_split"] = held_out
    return "\n".join(parts), numbers


def _row(name: str, row: dict[str, Any]) -> list[Any]:
    return [name, *(row[key] for key in ROW_KEYS)]


def _has_forces(evaluation: Evaluation, split: str) -> bool:
    pairs = zip(evaluation.split, evaluation.forces, strict=True)
    return any(name == split and both is not None for name, both in pairs)


def region_definition(evaluation: Evaluation) -> str:
    """What core, surface and ligand mean for the elements of these frames."""
    roles = find_roles({chemical_symbols[z] for n in evaluation.numbers for z in n})
    return roles.definition if roles else ""


def worst_table(evaluation: Evaluation, split: str, label: str) -> str:
    """Table of the frames with the largest errors of forces."""
    rows = [
        [
            row["file"], row["index"], row["origin"], row["formula"],
            row["force_rmse_mev_per_angstrom"], row["largest_force_error_mev_per_angstrom"],
            row["energy_error_mev_per_atom"],
        ]
        for row in worst_frames(evaluation, split)
    ]  # fmt: skip
    head = ["file", "frame", "origin", "formula", "force RMSE (meV/Å)", "largest error of one atom",
            "energy error (meV/atom)"]  # fmt: skip
    return html.table(head, rows, f"The {len(rows)} {label} frames with the largest force errors")


def composition_energies(evaluation: Evaluation) -> np.ndarray:
    """Energy per atom of each frame from its composition alone, eV, [n_frames].

    Least squares of the reference energies per atom on the shares of the elements (minimum norm
    where the frames do not determine it).
    """
    elements = np.unique(np.concatenate(evaluation.numbers))
    shares = np.array([[np.mean(z == e) for e in elements] for z in evaluation.numbers])
    reference = evaluation.energies[:, 0]
    known = np.isfinite(reference)
    solution = np.linalg.lstsq(shares[known], reference[known], rcond=None)[0]
    return shares @ solution

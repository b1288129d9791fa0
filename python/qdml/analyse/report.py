# SPDX-License-Identifier: MIT
"""The report: read what exists, measure, and write one HTML page and one JSON file."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import qdml
from qdml.analyse import html, sections_fit, sections_md, sections_structure
from qdml.analyse.drift import Drift
from qdml.analyse.inputs import (
    DRIFT_LIMIT,
    ENERGY_LIMIT,
    FORCE_LIMIT,
    Inputs,
    Paths,
    read_inputs,
)
from qdml.errors import DataError

REPORT_FORMAT = 1


@dataclass
class Verdict:
    """One acceptance number: PASS, FAIL, UNSURE (too short to tell) or MISSING."""

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


def make_report(paths: Paths, title: str = "qdml report") -> Report:
    """Read the inputs and build the report. Raises DataError as `read_inputs` does."""
    inputs = read_inputs(paths)
    data_html, data = sections_fit.data_section(inputs)
    curves_html, curves = sections_fit.curves_section(inputs)
    parity_html, parity = sections_fit.parity_section(inputs)
    run_html, run, drift = sections_md.run_section(inputs)
    distances_html, distances = sections_structure.distance_section(inputs)
    cost_html, cost = sections_md.cost_section(inputs)
    versions_html, versions = sections_fit.versions_section(inputs)
    verdicts = [*error_verdicts(inputs, parity), drift_verdict(inputs, drift)]
    sections = [
        ("Reference data", data_html),
        ("Learning curves", curves_html),
        ("Energies and forces against DFT", parity_html),
        ("LAMMPS run", run_html),
        ("Distances and coordination, core and surface", distances_html),
        ("Cost of a step", cost_html),
        ("Configuration, versions, files", versions_html),
    ]
    footer = html.text(f"Written by qdml {qdml.__version__}; all numbers are in the JSON file.")
    page = html.page(title, summary_html(verdicts, inputs.missing), sections, footer)
    numbers = {
        "format": REPORT_FORMAT,
        "summary": [vars(verdict) for verdict in verdicts],
        "missing": inputs.missing,
        "data": data,
        "learning": curves,
        "parity": parity,
        "run": run,
        "distances": distances,
        "cost": cost,
        "versions": versions,
    }
    return Report(page, plain(numbers), verdicts, inputs.missing)


def write_report(report: Report, output: Path) -> Path:
    """Write the page to `output` and the numbers beside it (.json); returns the JSON path."""
    numbers = output.with_suffix(".json")
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

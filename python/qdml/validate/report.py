# SPDX-License-Identifier: MIT
"""`qdml validate`: measure, judge, and write one HTML page and one JSON file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ase import Atoms

import qdml
from qdml.analyse import html
from qdml.analyse.report import plain
from qdml.build import build_dot, preset
from qdml.errors import ConfigError, DataError, EngineError
from qdml.validate import figures, figures_heating, heating, motion, rows, targets

HEAD = ["observable", "potential", "own DFT", "literature DFT", "experiment", "limit", ""]


@dataclass(frozen=True)
class Request:
    """What to validate. times in ps; no dynamics when `picoseconds` is 0, nor is the crystal heated
    when `heat_picoseconds` (at each temperature) is 0.
    """

    model: Path
    material: str
    frames: Sequence[Atoms]
    folder: Path
    dot: Atoms | None = None
    picoseconds: float = 100.0
    nve_picoseconds: float = 20.0
    temperatures: tuple[int, ...] = (300, 500)
    ranks: int = 1
    heat_picoseconds: float = 0.0


@dataclass
class Validation:
    """The page, the numbers and the rows."""

    page: str
    numbers: dict[str, Any]
    rows: list[rows.Row]


def standard_dot(material: str) -> Atoms:
    """The published dot of a material that is run by default."""
    name = str(targets.find_targets(material).dot["preset"])
    ligands = {} if material == "CsPbBr3" else {"ligands": "Cl"}
    return build_dot(**preset(name), **ligands).atoms


def validate(
    request: Request, on_progress: Callable[[str], None] = lambda text: None
) -> Validation:
    """Run everything. Raises QdmlError for bad input; a run that fails is a FAIL row."""
    calculator = qdml.Calculator(request.model, precision="double")
    missing = sorted(set(_symbols(request)) - set(calculator.engine.symbols))
    if missing:
        raise ConfigError(
            f"{request.model}: no {', '.join(missing)} in the potential, which {request.material} "
            f"needs; it knows {' '.join(calculator.engine.symbols)}"
        )
    static = rows.static_rows(request.material, calculator, request.frames, on_progress)
    sections = [("Held-out frames", _error_html(static)), ("Crystal", _crystal_html(static))]
    found = list(static.rows)
    numbers: dict[str, Any] = {"static": static.numbers}
    if request.picoseconds > 0:
        dot = standard_dot(request.material) if request.dot is None else request.dot
        run_rows, run_sections, numbers["dynamics"] = motion.dot_in_motion(
            request, dot, static.numbers.get("lattice"), on_progress
        )
        found += run_rows
        sections += run_sections
    if request.heat_picoseconds > 0:
        heat_rows, heat_sections, numbers["heating"] = _heated(request, on_progress)
        found += heat_rows
        sections += heat_sections
    sections.append(("What was run", _provenance(request, calculator)))
    table = html.table(
        HEAD,
        [[r.name, r.value, r.own, r.literature, r.experiment, r.limit, r.state] for r in found],
    )
    failed = sum(r.state == "FAIL" for r in found)
    passed = sum(r.state == "PASS" for r in found)
    note = (
        f"{passed} rows pass, {failed} fail; rows with '-' are shown beside literature only. The "
        "limits compare with the DFT level of the labelled frames, never with experiment."
    )
    numbers["rows"] = [vars(row) for row in found]
    page = html.page(
        f"{request.material}: validation of {request.model.name}",
        html.paragraph(note) + table,
        sections,
        html.text(f"Written by qdml {qdml.__version__}."),
    )
    return Validation(page, plain(numbers), found)


def _symbols(request: Request) -> list[str]:
    dot = request.dot.get_chemical_symbols() if request.dot is not None else []
    return [*Atoms(request.material).get_chemical_symbols(), *dot]


def _error_html(static: rows.Static) -> str:
    if static.errors is None:
        return html.paragraph("No held-out frames were given (--data).", "missing")
    caption = (
        "Force components of frames with split 'test', by region (core: full coordination and no "
        "ligand; every atom of a crystal is bulk, all atoms of a facet no fit has seen are facet)."
    )
    return html.figure(figures.draw_errors(static.errors), caption)


def _crystal_html(static: rows.Static) -> str:
    parts = []
    if static.curve is not None and static.model_curve is not None:
        caption = (
            "The cells of the DFT equation of state, evaluated by both. Lines: Birch-Murnaghan "
            "fits of the pressures."
        )
        drawing = figures.draw_curves(static.curve, static.model_curve)
        parts.append(html.figure(drawing, caption))
    else:
        parts.append(html.paragraph("No equation of state among the labelled frames.", "missing"))
    if static.phonons is not None:
        caption = "Phonons by finite displacements; a short-range potential has no LO-TO splitting."
        parts.append(html.figure(figures.draw_phonons(static.phonons), caption))
    return "\n".join(parts)


def _heated(
    request: Request, on_progress: Callable[[str], None]
) -> tuple[list[rows.Row], list[tuple[str, str]], dict[str, Any]]:
    """The crystal at rising temperatures."""
    try:
        found = heating.heat(
            request.material, request.model, request.folder / "heating",
            picoseconds=request.heat_picoseconds, ranks=request.ranks, on_progress=on_progress,
        )  # fmt: skip
    except (EngineError, DataError) as fault:
        return [rows.Row("crystal heated", str(fault), state="FAIL")], [], {}
    caption = (
        f"The crystal at zero pressure, {request.heat_picoseconds:g} ps at each temperature, "
        "heated from the phase that is stable at 0 K: means over the last two thirds."
    )
    drawing = html.figure(figures_heating.draw_heating(found), caption)
    made = list(figures_heating.heating_rows(request.material, found, request.heat_picoseconds))
    return made, [("The crystal heated", drawing)], vars(found)


def _provenance(request: Request, calculator: qdml.Calculator) -> str:
    info = calculator.engine.info
    table = [
        ["potential", request.model.name],
        ["hash", info["hash"]],
        ["architecture", info["architecture"]],
        ["labelled frames", len(request.frames)],
        ["dynamics", f"{request.picoseconds:g} ps each at "
         + ", ".join(f"{t} K" for t in request.temperatures)
         + f"; {request.nve_picoseconds:g} ps at constant energy"],
    ]  # fmt: skip
    return html.table(["", ""], table)

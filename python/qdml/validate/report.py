# SPDX-License-Identifier: MIT
"""`qdml validate`: measure, judge, and write one HTML page and one JSON file."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.data import atomic_masses

import qdml
from qdml.analyse import figures_md, html
from qdml.analyse.carboxylate import binding_modes
from qdml.analyse.rdf import collect
from qdml.analyse.report import plain
from qdml.analyse.sections_ligands import binding_table
from qdml.analyse.surface import REGIONS, coordination, find_pairs, find_roles
from qdml.build import build_dot, preset
from qdml.errors import ConfigError, DataError
from qdml.validate import dynamics, figures, observables, rows, targets

MIN_VELOCITIES = 64
"""Fewer stored velocities than this resolve nothing."""

PATTERN_FRAMES = 20
HEAD = ["observable", "potential", "own DFT", "literature DFT", "experiment", "limit", ""]


@dataclass(frozen=True)
class Request:
    """What to validate. times in ps; no dynamics when `picoseconds` is 0."""

    model: Path
    material: str
    frames: Sequence[Atoms]
    folder: Path
    dot: Atoms | None = None
    picoseconds: float = 100.0
    nve_picoseconds: float = 20.0
    temperatures: tuple[int, ...] = (300, 500)
    ranks: int = 1


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
        run_rows, run_sections, numbers["dynamics"] = _dynamics(request, static, on_progress)
        found += run_rows
        sections += run_sections
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
        "ligand; every atom of a crystal is bulk)."
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


def _dynamics(
    request: Request, static: rows.Static, on_progress: Callable[[str], None]
) -> tuple[list[rows.Row], list[tuple[str, str]], dict[str, Any]]:
    """Runs at each temperature and at constant energy."""
    dot = standard_dot(request.material) if request.dot is None else request.dot
    found: list[rows.Row] = []
    whole: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    coolest: list[Atoms] = []
    for temperature in request.temperatures:
        name = f"nvt-{temperature}"
        on_part = _told(on_progress, f"{request.picoseconds:g} ps at {temperature} K")
        label = f"{dot.get_chemical_formula()} at {temperature} K"
        try:
            dynamics.run(
                dot, request.model, request.folder, name, temperature=temperature,
                picoseconds=request.picoseconds, ranks=request.ranks, on_part=on_part,
            )  # fmt: skip
        except qdml.errors.EngineError as fault:
            found.append(rows.Row(label, str(fault), state="FAIL"))
            continue
        frames = dynamics.frames_of(request.folder, name).frames
        coolest = coolest or frames
        run = dynamics.intactness(frames)
        found += rows.intact_rows(label, run, request.picoseconds)
        times = np.linspace(0, request.picoseconds, len(frames))
        whole[f"{temperature} K"] = times, run.detached
    on_part = _told(on_progress, f"{request.nve_picoseconds:g} ps at constant energy")
    velocities: list[Atoms] = []
    try:
        dynamics.run(
            dot, request.model, request.folder, "nve", temperature=request.temperatures[0],
            picoseconds=request.nve_picoseconds, ranks=request.ranks, on_part=on_part,
        )  # fmt: skip
        found.append(rows.drift_row(dynamics.drift_of(request.folder)))
        velocities = dynamics.frames_of(request.folder, "nve").frames
    except (qdml.errors.EngineError, DataError) as fault:
        found.append(rows.Row("NVE drift", str(fault), state="FAIL"))
    sections = [("A dot in motion", _motion_html(dot, coolest, whole, static, velocities))]
    numbers: dict[str, Any] = {name: detached for name, (_, detached) in whole.items()}
    roles = find_roles(set(dot.symbols))
    if coolest and roles is not None:
        spacing = request.picoseconds / len(coolest)
        table, ligands = binding_table(binding_modes(coolest, roles.cations), spacing=spacing)
        numbers |= ligands
        sections += [("Carboxylates", table)] if table else []
    return found, sections, numbers


def _told(on_progress: Callable[[str], None], what: str) -> Callable[[float], None]:
    """Turns the finished part of a run into a line with the time left, every tenth."""
    began, told = time.monotonic(), -1
    on_progress(what)

    def on_part(part: float) -> None:
        nonlocal told
        if int(10 * part) > told and part > 0:
            told = int(10 * part)
            left = (time.monotonic() - began) * (1 - part) / part
            on_progress(f"{what}: {100 * part:.0f} %, {left / 60:.1f} min left")

    return on_part


def _motion_html(
    dot: Atoms,
    frames: list[Atoms],
    whole: dict[str, tuple[np.ndarray, np.ndarray]],
    static: rows.Static,
    velocities: list[Atoms],
) -> str:
    parts = []
    if whole:
        caption = "Atoms outside the largest piece held together by cation-anion and ligand bonds."
        parts.append(html.figure(figures.draw_wholeness(whole), caption))
    roles = find_roles(set(dot.symbols))
    if frames and roles is not None:
        pairs = [(c, a) for c in roles.cations for a in (*roles.anions, *roles.ligands)]
        drawing = figures_md.draw_distances(
            {"MD": collect(frames, roles)}, pairs, [("core", "core"), ("surface", "surface")]
        )
        parts.append(html.figure(drawing, "Neighbours per Å and their running number."))
        bond = static.numbers["lattice"] * (0.5 if roles.full == 6 else np.sqrt(3) / 4)
        radius, strain = observables.bond_strain(frames, roles, float(bond))
        symbols = np.array(frames[0].get_chemical_symbols())
        names = symbols[np.isin(symbols, (*roles.cations, *roles.anions))]
        caption = f"Mean bond of each lattice atom against the potential's bulk bond, {bond:.3f} Å."
        parts.append(html.figure(figures.draw_strain(radius, strain, names), caption))
    if len(velocities) >= MIN_VELOCITIES:
        spectrum = observables.vibrational_density(
            np.array([atoms.get_velocities() for atoms in velocities]),
            atomic_masses[velocities[0].numbers],
            _spacing(dot),
            _groups(velocities[0]),
        )
        upper = 3500.0 if "H" in dot.get_chemical_symbols() else 400.0
        drawing = figures.draw_spectrum(spectrum, upper)
        parts.append(html.figure(drawing, "Vibrational density of states."))
    if frames:
        try:
            step = max(len(frames) // PATTERN_FRAMES, 1)
            pattern = observables.debye_scattering(frames[::step])
            caption = "X-ray pattern (Debye sum) and pair distribution function, Q up to 20 1/Å."
            parts.append(html.figure(figures.draw_scattering(pattern), caption))
        except ConfigError as fault:
            parts.append(html.paragraph(str(fault), "missing"))
    return "\n".join(parts)


def _spacing(dot: Atoms) -> float:
    """fs between stored velocities."""
    return dynamics.SPECTRUM_STEPS * dynamics.time_step(dot)


def _groups(atoms: Atoms) -> dict[str, np.ndarray]:
    """Elements, and core and surface of the lattice, as masks over atoms."""
    names = np.array(atoms.get_chemical_symbols())
    groups = {symbol: names == symbol for symbol in sorted(set(names))}
    roles = find_roles(set(names.tolist()))
    if roles is not None:
        region = coordination(atoms, find_pairs(atoms, roles.reach), roles).region
        for index, region_name in enumerate(REGIONS[:2]):
            if (region == index).any():
                groups[region_name] = region == index
    return groups


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

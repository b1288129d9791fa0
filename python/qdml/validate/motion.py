# SPDX-License-Identifier: MIT
"""A dot in motion: runs at each temperature and at constant energy, their rows and figures."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms
from ase.data import atomic_masses

from qdml.analyse import figures_md, html
from qdml.analyse.carboxylate import binding_modes
from qdml.analyse.rdf import collect
from qdml.analyse.sections_ligands import binding_table
from qdml.analyse.surface import REGIONS, Roles, coordination, find_pairs, find_roles
from qdml.errors import ConfigError, DataError, EngineError
from qdml.validate import bonds, dynamics, figures, motion_rows, observables, order_table
from qdml.validate.local_order import LocalOrder, find_groups, local_order
from qdml.validate.rows import Row

if TYPE_CHECKING:
    from qdml.validate.report import Request

MIN_VELOCITIES = 64
"""Fewer stored velocities than this resolve nothing."""

PATTERN_FRAMES = 20
START = "relaxed start"


@dataclass
class Motion:
    """What the runs gave. runs, orders: by the name of the run, such as '300 K'."""

    dot: Atoms
    roles: Roles | None
    rows: list[Row] = field(default_factory=list)
    detached: dict[str, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)
    orders: dict[str, LocalOrder] = field(default_factory=dict)
    groups: dict[tuple[str, str], np.ndarray] = field(default_factory=dict)
    coolest: list[Atoms] = field(default_factory=list)
    velocities: list[Atoms] = field(default_factory=list)
    numbers: dict[str, Any] = field(default_factory=dict)


def dot_in_motion(
    request: Request,
    dot: Atoms,
    lattice: float | None,
    on_progress: Callable[[str], None] = lambda text: None,
) -> tuple[list[Row], list[tuple[str, str]], dict[str, Any]]:
    """Rows, sections of the page and numbers of all runs of a dot; a run that fails is a FAIL row.

    lattice: constant of the potential's crystal in A, for the strain of the bonds.
    """
    found = Motion(dot, find_roles(set(dot.symbols)))
    found.rows += motion_rows.charge_rows(dot)
    for temperature in request.temperatures:
        _constant_temperature(found, request, temperature, on_progress)
    _constant_energy(found, request, on_progress)
    sections = [("A dot in motion", _page(found, lattice))]
    if found.coolest and found.roles is not None:
        spacing = dynamics.frame_spacing(dot, request.picoseconds)
        modes = binding_modes(found.coolest, found.roles.cations)
        table, ligands = binding_table(modes, spacing=spacing)
        found.numbers |= ligands
        sections += [("Carboxylates", table)] if table else []
    return found.rows, sections, found.numbers


def _constant_temperature(
    found: Motion, request: Request, temperature: int, on_progress: Callable[[str], None]
) -> None:
    label = f"{found.dot.get_chemical_formula()} at {temperature} K"
    on_part = _told(on_progress, f"{request.picoseconds:g} ps at {temperature} K")
    try:
        dynamics.run(
            found.dot, request.model, request.folder, f"nvt-{temperature}",
            temperature=temperature, picoseconds=request.picoseconds, ranks=request.ranks,
            on_part=on_part,
        )  # fmt: skip
    except EngineError as fault:
        found.rows.append(Row(label, str(fault), state="FAIL"))
        return
    frames = dynamics.frames_of(request.folder, f"nvt-{temperature}").frames
    start = dynamics.frames_of(request.folder, dynamics.RELAXED).frames[0]
    history = bonds.follow(frames, start)
    spacing = dynamics.frame_spacing(found.dot, request.picoseconds)
    losses = bonds.find_losses(history.detached, spacing)
    found.rows += motion_rows.intact_rows(label, history, losses, request.picoseconds, found.roles)
    name, away = f"{temperature} K", history.detached.sum(axis=1)
    found.detached[name] = spacing * np.arange(len(frames)), away
    found.numbers[name] = away
    found.numbers.setdefault("losses", {})[name] = {
        "atoms": int(losses.lost.sum()), "since_ps": losses.since, "window_ps": losses.window,
    }  # fmt: skip
    found.coolest = found.coolest or frames
    if found.roles is None:
        return
    if not found.orders:
        # regions of the start: by the bonds of the moment every core atom has all of its bonds
        found.groups = find_groups(start, found.roles)
        still = bonds.follow([start])
        found.orders[START] = local_order([start], still, found.roles, found.groups)
    stride = _stride(frames)
    found.orders[name] = local_order(
        frames[::stride], history.every(stride), found.roles, found.groups
    )


def _constant_energy(found: Motion, request: Request, on_progress: Callable[[str], None]) -> None:
    on_part = _told(on_progress, f"{request.nve_picoseconds:g} ps at constant energy")
    try:
        dynamics.run(
            found.dot, request.model, request.folder, "nve",
            temperature=request.temperatures[0], picoseconds=request.nve_picoseconds,
            ranks=request.ranks, on_part=on_part,
        )  # fmt: skip
        found.rows.append(motion_rows.drift_row(dynamics.drift_of(request.folder)))
        found.velocities = dynamics.frames_of(request.folder, "nve").frames
    except (EngineError, DataError) as fault:
        found.rows.append(Row("NVE drift", str(fault), state="FAIL"))


def _stride(frames: list[Atoms]) -> int:
    """Averages need no more than dynamics.FRAMES frames."""
    return max(len(frames) // dynamics.FRAMES, 1)


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


def _page(found: Motion, lattice: float | None) -> str:
    """Figures and tables of the runs."""
    parts = []
    if found.detached:
        caption = (
            f"Atoms not held to the dot. A bond forms below {bonds.FORMS} and breaks above "
            f"{bonds.BREAKS} times the sum of the covalent radii; an atom away for {bonds.AWAY:g} "
            "ps is lost."
        )
        parts.append(html.figure(figures.draw_wholeness(found.detached), caption))
    if found.coolest and found.roles is not None:
        parts += _structure(found, found.roles, lattice)
    if len(found.velocities) >= MIN_VELOCITIES:
        spectrum = observables.vibrational_density(
            np.array([atoms.get_velocities() for atoms in found.velocities]),
            atomic_masses[found.velocities[0].numbers],
            dynamics.SPECTRUM_STEPS * dynamics.time_step(found.dot),
            _masks(found.velocities[0], found.roles),
        )
        upper = 3500.0 if "H" in found.dot.get_chemical_symbols() else 400.0
        drawing = figures.draw_spectrum(spectrum, upper)
        parts.append(html.figure(drawing, "Vibrational density of states."))
    if found.coolest:
        try:
            step = max(len(found.coolest) // PATTERN_FRAMES, 1)
            pattern = observables.debye_scattering(found.coolest[::step])
            caption = "X-ray pattern (Debye sum) and pair distribution function, Q up to 20 1/Å."
            parts.append(html.figure(figures.draw_scattering(pattern), caption))
        except ConfigError as fault:
            parts.append(html.paragraph(str(fault), "missing"))
    return "\n".join(parts)


def _structure(found: Motion, roles: Roles, lattice: float | None) -> list[str]:
    """Distances, coordination, angles and strain, core and surface."""
    frames = found.coolest[:: _stride(found.coolest)]
    pairs = [(c, a) for c in roles.cations for a in (*roles.anions, *roles.ligands)]
    drawing = figures_md.draw_distances(
        {"MD": collect(frames, roles)}, pairs, [(name, name) for name in REGIONS[:2]]
    )
    parts = [html.figure(drawing, "Neighbours per Å and their running number.")]
    table, found.numbers["local_order"] = order_table.order_table(found.orders, found.groups, roles)
    titles = order_table.coordination_titles(roles, found.groups)
    drawing = figures.draw_local_coordination(found.orders, titles, START)
    caption = "Coordination numbers; regions are those of the relaxed start."
    parts += [table, html.figure(drawing, caption)]
    titles = order_table.angle_titles(roles, found.groups)
    drawing = figures.draw_local_angles(found.orders, titles, START)
    caption = (
        "Angles between the bonds of cations and anions. The start has no thermal width; its peaks "
        "may leave the panel."
    )
    parts.append(html.figure(drawing, caption))
    if lattice is not None:
        bond = float(lattice * (0.5 if roles.full == 6 else np.sqrt(3) / 4))
        radius, strain = observables.bond_strain(frames, roles, bond)
        symbols = np.array(frames[0].get_chemical_symbols())
        names = symbols[np.isin(symbols, (*roles.cations, *roles.anions))]
        caption = f"Mean bond of each lattice atom against the potential's bulk bond, {bond:.3f} Å."
        parts.append(html.figure(figures.draw_strain(radius, strain, names), caption))
    return parts


def _masks(atoms: Atoms, roles: Roles | None) -> dict[str, np.ndarray]:
    """Elements, and core and surface of the lattice, as masks over atoms."""
    names = np.array(atoms.get_chemical_symbols())
    groups = {symbol: names == symbol for symbol in sorted(set(names))}
    if roles is not None:
        region = coordination(atoms, find_pairs(atoms, roles.reach), roles).region
        for index, region_name in enumerate(REGIONS[:2]):
            if (region == index).any():
                groups[region_name] = region == index
    return groups

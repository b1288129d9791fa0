# SPDX-License-Identifier: MIT
"""The table of a validation: one row per observable, measured and judged."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator

from qdml.build.materials import MATERIALS
from qdml.errors import ConfigError, DataError
from qdml.validate import crystal, phonons, reference, statics, targets


@dataclass(frozen=True)
class Row:
    """One observable. own: the same from the potential's DFT frames; state: PASS, FAIL or '-'.

    '-' marks what is shown only: there is no number of the same DFT level to judge it by.
    """

    name: str
    value: str
    own: str = "–"
    literature: str = "–"
    experiment: str = "–"
    limit: str = "–"
    state: str = "-"


@dataclass
class Static:
    """What was measured without dynamics, for the figures."""

    rows: list[Row] = field(default_factory=list)
    curve: reference.VolumeCurve | None = None
    model_curve: reference.VolumeCurve | None = None
    errors: reference.HeldOut | None = None
    phonons: phonons.Phonons | None = None
    bond: float | None = None
    numbers: dict[str, Any] = field(default_factory=dict)


def judged(good: bool) -> str:
    """PASS or FAIL."""
    return "PASS" if good else "FAIL"


def static_rows(
    material: str,
    calculator: Calculator,
    frames: Sequence[Atoms],
    on_progress: Callable[[str], None] = lambda text: None,
) -> Static:
    """Errors on held-out frames, crystal, phases, phonons."""
    found = Static()
    target = targets.find_targets(material)
    found.curve = reference.volume_curve(frames, material)
    cells = _static_cells(found, frames)
    on_progress("held-out frames")
    found.rows += _measured("errors on held-out frames", _error_rows(found, calculator, frames))
    on_progress("phases")
    energies = crystal.phase_energies(material, target.phases, calculator)
    found.numbers["phases"] = {name: float(energy) for name, (energy, _) in energies.items()}
    found.rows.append(_phase_row(energies))
    cell = energies[_crystal_phase(material)][1]
    on_progress("equation of state")
    found.rows += _measured("equation of state", _volume_rows(found, material, cell, calculator))
    on_progress("elastic constants")
    found.rows += _measured("elastic constants", _elastic_rows(found, target, cell, calculator))
    if cells is not None:
        found.rows += _measured("cells of DFT", cell_rows(found, cells, calculator))
    on_progress("phonons")
    found.rows += _measured("phonons", _phonon_rows(found, material, cell, calculator))
    return found


def _measured(name: str, measurement: Iterator[Row]) -> list[Row]:
    """The rows of a measurement; one that the potential or the data cannot give is a row too."""
    made = []
    try:
        for row in measurement:
            made.append(row)
    except ConfigError as missing:  # a package that is not installed
        made.append(Row(name, str(missing)))
    except DataError as fault:
        made.append(Row(name, str(fault), state="FAIL"))
    return made


def _crystal_phase(material: str) -> str:
    structure = MATERIALS[material].structure
    return "cubic" if structure == "perovskite" else structure


def _error_rows(found: Static, calculator: Calculator, frames: Sequence[Atoms]) -> Iterator[Row]:
    if not frames:
        yield Row("errors on held-out frames", "no labelled frames given")
        return
    errors = found.errors = reference.held_out_errors(frames, calculator)
    for region, (error, n_atoms) in errors.forces.items():
        limit = targets.FORCE_LIMITS[region]
        yield Row(
            f"force MAE, {region} ({n_atoms} atoms)",
            f"{1000 * error:.1f} meV/Å",
            limit=f"{1000 * limit:g}",
            state=judged(error <= limit),
        )
    for symbol, n_frames in errors.foreign.items():
        yield Row(f"held-out frames with {symbol}", f"{n_frames} left out: not an element of it")
    for kind, (error, n_frames) in errors.energy.items():
        yield Row(
            f"energy MAE, {kind} ({n_frames} frames)",
            f"{1000 * error:.2f} meV/atom",
            limit=f"{1000 * targets.ENERGY_LIMIT:g}",
            state=judged(error <= targets.ENERGY_LIMIT),
        )


def _volume_rows(
    found: Static, material: str, cell: Atoms, calculator: Calculator
) -> Iterator[Row]:
    n_atoms = len(cell)
    changes = np.linspace(-0.06, 0.06, 9)
    volume, _, pressure = crystal.equation_of_state(cell, calculator, changes)
    model = crystal.fit_pressures(volume, pressure)
    target = targets.find_targets(material)
    curve = found.curve
    own = None
    if curve is not None:
        found.model_curve = reference.model_curve(curve, calculator)
        own, model = curve.equation, found.model_curve.equation
    lattice = crystal.lattice_constant(model.volume, n_atoms)
    found.numbers["lattice"], found.numbers["bulk_modulus"] = lattice, model.bulk_modulus_gpa
    own_lattice = None if own is None else crystal.lattice_constant(own.volume, n_atoms)
    yield Row(
        "lattice constant",
        f"{lattice:.4f} Å",
        "–" if own_lattice is None else f"{own_lattice:.4f}",
        f"{target.lattice[0]:g}",
        f"{target.lattice[1]:g}",
        f"{targets.LATTICE_LIMIT:.1%}",
        "-" if own_lattice is None
        else judged(abs(lattice / own_lattice - 1) <= targets.LATTICE_LIMIT),
    )  # fmt: skip
    modulus = model.bulk_modulus_gpa
    yield Row(
        "bulk modulus",
        f"{modulus:.1f} GPa",
        "–" if own is None else f"{own.bulk_modulus_gpa:.1f}",
        *target.bulk_modulus,
        f"{targets.BULK_MODULUS_LIMIT:.0%}",
        "-" if own is None
        else judged(abs(modulus / own.bulk_modulus_gpa - 1) <= targets.BULK_MODULUS_LIMIT),
    )  # fmt: skip
    if curve is not None and found.model_curve is not None:
        error = reference.curve_error(curve, found.model_curve)
        yield Row(
            "energy over volume, ±6 %",
            f"{1000 * error:.2f} meV/atom",
            limit=f"{1000 * targets.CURVE_LIMIT:g}",
            state=judged(error <= targets.CURVE_LIMIT),
        )


def _phase_row(energies: dict[str, tuple[float, Atoms]]) -> Row:
    """Phases beside the order of the literature; a swap within `PHASE_TIE` is a draw."""
    lowest = min(energy for energy, _ in energies.values())
    order = sorted(energies, key=lambda name: energies[name][0])
    rising = [energy for energy, _ in energies.values()]
    good = all(after - before > -targets.PHASE_TIE for before, after in pairwise(rising))
    text = ", ".join(f"{name} +{1000 * (energies[name][0] - lowest):.1f}" for name in order)
    return Row("phases (meV/atom)", text, literature=" < ".join(energies), state=judged(good))


def _elastic_rows(
    found: Static, target: targets.Targets, cell: Atoms, calculator: Calculator
) -> Iterator[Row]:
    constants = crystal.cubic_averages(crystal.elastic_constants(cell, calculator))
    found.numbers["elastic"] = constants
    stable = (
        constants["C11"] > abs(constants["C12"])
        and constants["C44"] > 0
        and constants["C11"] + 2 * constants["C12"] > 0
    )
    for number, (name, value) in enumerate(constants.items()):
        experiment = target.elastic.get(name)
        yield Row(
            name,
            f"{value:.1f} GPa",
            experiment="–" if experiment is None else f"{experiment:g}",
            # Born's conditions of a cubic crystal, for the three together
            limit="stable (Born)" if number == 0 else "–",
            state=judged(stable) if number == 0 else "-",
        )


def _static_cells(found: Static, frames: Sequence[Atoms]) -> statics.StaticCells | None:
    """Labelled cells of the perfect crystal; none where other rows tell what is missing."""
    try:
        return None if found.curve is None else statics.find_static_cells(frames, found.curve)
    except (ConfigError, DataError):
        return None


def cell_rows(found: Static, cells: statics.StaticCells, calculator: Calculator) -> Iterator[Row]:
    """Elastic constants and zone-centre modes of DFT and of the potential on the same cells."""

    def again(frames: list[Atoms], quantity: Callable[[Atoms], np.ndarray]) -> list[np.ndarray]:
        results = []
        for frame in frames:
            frame = frame.copy()
            frame.calc = calculator
            results.append(quantity(frame))
        return results

    stresses = np.array([frame.get_stress() for frame in cells.strained])
    own = cells.elastic(stresses)
    if own is not None:
        model = cells.elastic(np.array(again(cells.strained, Atoms.get_stress))) or {}
        found.numbers["elastic_clamped"] = {"potential": model, "dft": own}
        relative, absolute = targets.ELASTIC_LIMIT
        for name, reference_value in own.items():
            limit = max(relative * abs(reference_value), absolute)
            yield Row(
                f"{name}, ions clamped",
                f"{model[name]:.1f} GPa",
                f"{reference_value:.1f}",
                limit=f"{relative:.0%} or {absolute:g} GPa",
                state=judged(abs(model[name] - reference_value) <= limit),
            )
    optic = cells.modes([frame.get_forces() for frame in cells.shifted])
    if optic is not None:
        modes = cells.modes(again(cells.shifted, Atoms.get_forces))
        found.numbers["optic_cells"] = {"potential": modes.tolist(), "dft": optic.tolist()}
        relative, absolute = targets.OPTIC_LIMIT
        off = np.abs(modes - optic) > np.maximum(relative * np.abs(optic), absolute)
        yield Row(
            "zone-centre TO",
            " ".join(f"{v:.0f}" for v in modes) + " cm⁻¹",
            " ".join(f"{v:.0f}" for v in optic),
            limit=f"{relative:.0%} or {absolute:g} cm⁻¹",
            state=judged(not off.any()),
        )


def _phonon_rows(
    found: Static, material: str, cell: Atoms, calculator: Calculator
) -> Iterator[Row]:
    # cubic halide perovskites are averages of tilts: their static cell has imaginary modes
    found.phonons = phonons.find_phonons(cell, calculator)
    optic = found.phonons.optic
    values = sorted({round(float(x)) for x in optic})
    found.numbers["optic"] = [float(x) for x in optic]
    found.numbers["softest"] = found.phonons.softest
    yield Row(
        "zone-centre optic modes",
        " ".join(str(v) for v in values) + " cm⁻¹",
        experiment=targets.find_targets(material).optic,
        limit="no LO-TO splitting",
    )
    may_be_soft = MATERIALS[material].structure == "perovskite"
    yield Row(
        "softest phonon",
        f"{found.phonons.softest:.1f} cm⁻¹",
        literature="unstable at 0 K" if may_be_soft else "stable",
        limit="–" if may_be_soft else f"{phonons.STABLE:g}",
        state="-" if may_be_soft else judged(found.phonons.softest >= phonons.STABLE),
    )

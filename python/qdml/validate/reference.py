# SPDX-License-Identifier: MIT
"""The potential's own DFT level, read from labelled frames: equation of state, held-out errors."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator

from qdml.analyse.surface import REGIONS, coordination, find_pairs, find_roles
from qdml.errors import DataError
from qdml.validate.crystal import EquationOfState, fit_pressures
from qdml.validate.targets import CURVE_RANGE

MIN_VOLUMES = 4
LATTICE_TOLERANCE = 1.0e-3
"""Relative: cells of an equation of state differ from each other by a scale only."""

VACUUM = "xyz"
HELD_OUT_KINDS = ("facet", "new ligand")
"""Values of a frame's info `held_out` that make a group of errors of their own."""


@dataclass(frozen=True)
class VolumeCurve:
    """Frames of one crystal at several volumes: A^3/atom, eV/atom, eV/A^3, and their cells."""

    volume: np.ndarray
    energy: np.ndarray
    pressure: np.ndarray
    frames: list[Atoms]

    @property
    def equation(self) -> EquationOfState:
        """Fit of the pressures."""
        return fit_pressures(self.volume, self.pressure)


def vacuum_axes(frame: Atoms) -> str:
    """Axes of a frame that end in vacuum, from info `vacuum_axes` ('none', 'z' ...), else pbc."""
    if "vacuum_axes" in frame.info:
        return "".join(axis for axis in str(frame.info["vacuum_axes"]) if axis in VACUUM)
    return "".join(axis for axis, periodic in zip(VACUUM, frame.pbc, strict=True) if not periodic)


def volume_curve(frames: Sequence[Atoms], composition: str) -> VolumeCurve | None:
    """The equation of state among frames: the largest family that differs by a scale only.

    composition: reduced formula of the crystal, such as 'CdSe'. Frames need energy and stress;
    None where fewer than `MIN_VOLUMES` volumes are found.
    """
    families: list[list[Atoms]] = []
    wanted = Atoms(composition).get_chemical_formula(empirical=True)
    for frame in frames:
        if vacuum_axes(frame) or frame.get_chemical_formula(empirical=True) != wanted:
            continue
        if frame.calc is None or "stress" not in frame.calc.results:
            continue
        for family in families:
            if _is_scaled(family[0], frame):
                family.append(frame)
                break
        else:
            families.append([frame])
    families = [f for f in families if len({round(a.get_volume(), 3) for a in f}) >= MIN_VOLUMES]
    if not families:
        return None
    family = sorted(max(families, key=len), key=lambda atoms: atoms.get_volume())
    n_atoms = len(family[0])
    return VolumeCurve(
        np.array([a.get_volume() / n_atoms for a in family]),
        np.array([a.get_potential_energy() / n_atoms for a in family]),
        np.array([-a.get_stress()[:3].mean() for a in family]),
        family,
    )


def _is_scaled(one: Atoms, two: Atoms) -> bool:
    if len(one) != len(two) or (one.numbers != two.numbers).any():
        return False
    scale = (two.get_volume() / one.get_volume()) ** (1 / 3)
    same_cell = np.allclose(one.cell.array * scale, two.cell.array, atol=LATTICE_TOLERANCE * scale)
    shift = one.get_scaled_positions() - two.get_scaled_positions()
    return same_cell and bool(np.abs(shift - np.round(shift)).max() < LATTICE_TOLERANCE)


def model_curve(curve: VolumeCurve, calculator: Calculator) -> VolumeCurve:
    """The potential on the cells of a curve."""
    energy, pressure, frames = [], [], []
    for atoms in curve.frames:
        frame = atoms.copy()
        frame.calc = calculator
        energy.append(frame.get_potential_energy() / len(frame))
        pressure.append(-frame.get_stress()[:3].mean())
        frames.append(frame)
    return VolumeCurve(curve.volume, np.array(energy), np.array(pressure), frames)


def curve_error(reference: VolumeCurve, model: VolumeCurve) -> float:
    """Root mean square difference in eV/atom within `CURVE_RANGE` of the DFT minimum.

    Energies are those of the two fits of the pressures, each from its own mean: total energies of
    cells on different plane-wave grids differ by several meV/atom of noise.
    """
    near = np.abs(reference.volume / reference.equation.volume - 1) < CURVE_RANGE
    if near.sum() < MIN_VOLUMES:
        raise DataError(f"only {near.sum()} volumes within {CURVE_RANGE:.0%} of the minimum")
    volume = reference.volume[near]
    difference = model.equation.energy(volume) - reference.equation.energy(volume)
    return float(np.sqrt(np.mean((difference - difference.mean()) ** 2)))


@dataclass(frozen=True)
class HeldOut:
    """Errors on held-out frames; forces eV/A per component, energies eV/atom.

    forces: region (bulk, core, surface, ligand; or the frame's info `held_out`, such as 'facet')
    -> (mean absolute error, atoms). energy: mean absolute error per kind (bulk, slab, dot; or
    likewise). pairs: region -> components [n, 2], reference and model. foreign: element the
    potential lacks -> held-out frames left out for it.
    """

    forces: dict[str, tuple[float, int]]
    energy: dict[str, tuple[float, int]]
    pairs: dict[str, np.ndarray]
    n_frames: int
    foreign: dict[str, int] = field(default_factory=dict)


def kind_of(frame: Atoms) -> str:
    """bulk (no vacuum), slab (one axis of vacuum) or dot; or what it is held out for."""
    held_out = str(frame.info.get("held_out", ""))
    if held_out in HELD_OUT_KINDS:
        return held_out
    n_vacuum = len(vacuum_axes(frame))
    return "bulk" if n_vacuum == 0 else "dot" if n_vacuum == 3 else "slab"


def held_out_errors(frames: Sequence[Atoms], calculator: Calculator) -> HeldOut:
    """Errors on frames with info split 'test'; DataError when there are none.

    Frames with elements the potential lacks (a ligand's, for one of bare dots) are counted only.
    """
    held_out = [f for f in frames if f.info.get("split") == "test"]
    if not held_out:
        raise DataError("no frame has info split 'test', so nothing was held out")
    chosen, foreign = [], Counter()
    for frame in held_out:
        unknown = _unknown_elements(frame, calculator)
        foreign.update(unknown)
        if not unknown:
            chosen.append(frame)
    if not chosen:
        raise DataError(f"every held-out frame has an element the potential lacks: {foreign}")
    pairs: dict[str, list[np.ndarray]] = {}
    energies: dict[str, list[float]] = {}
    for frame in chosen:
        model = frame.copy()
        model.calc = calculator
        both = np.stack([frame.get_forces(), model.get_forces()], axis=-1)  # [n, 3, 2]
        for name, mask in _regions(frame).items():
            pairs.setdefault(name, []).append(both[mask].reshape(-1, 2))
        error = (model.get_potential_energy() - frame.get_potential_energy()) / len(frame)
        energies.setdefault(kind_of(frame), []).append(abs(error))
    joined = {name: np.concatenate(rows) for name, rows in pairs.items()}
    return HeldOut(
        {n: (float(np.abs(p[:, 0] - p[:, 1]).mean()), len(p) // 3) for n, p in joined.items()},
        {kind: (float(np.mean(errors)), len(errors)) for kind, errors in energies.items()},
        joined,
        len(chosen),
        dict(foreign),
    )


def _unknown_elements(frame: Atoms, calculator: Calculator) -> set[str]:
    """Elements of a frame that a calculator of qdml has no weights for."""
    engine = getattr(calculator, "engine", None)
    return set() if engine is None else set(frame.symbols) - set(engine.symbols)


def _regions(frame: Atoms) -> dict[str, np.ndarray]:
    """Atoms of each region of a frame as masks [n].

    Every atom of a crystal is bulk; a frame held out for what it is, is a region of its own.
    """
    kind = kind_of(frame)
    if kind in ("bulk", *HELD_OUT_KINDS):
        return {kind: np.ones(len(frame), bool)}
    roles = find_roles(set(frame.symbols))
    if roles is None:  # no lattice, as in molecules of a salt: no atom is told apart
        return {"surface": np.ones(len(frame), bool)}
    atoms = frame.copy()
    atoms.pbc = [axis not in vacuum_axes(frame) for axis in VACUUM]
    region = coordination(atoms, find_pairs(atoms, roles.reach), roles).region
    masks = {name: region == index for index, name in enumerate(REGIONS)}
    return {name: mask for name, mask in masks.items() if mask.any()}

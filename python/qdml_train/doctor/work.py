# SPDX-License-Identifier: MIT
"""The work test: energies, forces and stresses of near frames belong together.

Between two near frames dE = -½ (F1 + F2)·(x2 - x1) + ½ (V1 σ1 + V2 σ2):ε (trapezoid along the
straight path; ε the strain, x2 without its affine part). The slope of the left on the right side is
1 for consistent units and signs, and another number for each usual mistake.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ase import units

from qdml_train.doctor.finding import Finding, finding
from qdml_train.frames import Frame

LONGEST_STEP = 0.4  # Å, largest displacement of an atom within a pair
LARGEST_STRAIN = 0.06
FEWEST = 5  # pairs
NEAR = 0.1  # Å, near enough not to look for a nearer frame
LOOK_BACK = 50  # frames among which the nearest is looked for
CLEAR = 0.8  # agreement of pairs that are near enough for the trapezoid rule
BEYOND_SCATTER = 2.5
OUTLIER = (12.0, 0.1)  # of the median residual, and eV: an energy that jumps

_EV = "energies in eV"
FORCE_SLOPES = {
    units.Hartree / units.Bohr: f"forces in Hartree/Bohr beside {_EV} (force: Hartree/Bohr)",
    units.Rydberg / units.Bohr: f"forces in Ry/Bohr beside {_EV} (force: Ry/Bohr)",
    units.kcal / units.mol: f"forces in kcal/mol/Å beside {_EV} (force: kcal/mol/Å)",
    units.kJ / units.mol: f"forces in kJ/mol/Å beside {_EV} (force: kJ/mol/Å)",
    1 / units.Hartree: "energies in Hartree beside forces in eV/Å (energy: Hartree)",
    1 / units.Rydberg: "energies in Ry beside forces in eV/Å (energy: Ry)",
    units.mol / units.kcal: "energies in kcal/mol beside forces in eV/Å (energy: kcal/mol)",
    units.mol / units.kJ: "energies in kJ/mol beside forces in eV/Å (energy: kJ/mol)",
    1 / units.Bohr: "energies and forces in atomic units beside positions in Å (units: cp2k), or "
    "forces in eV/Bohr (force: eV/Bohr)",
    units.Bohr: "positions in Bohr beside forces per Å (length: Bohr)",
}
"""Slope of dE on the work of the forces for the usual mistakes, and the key of `units` for it."""

STRESS_SLOPES = {
    units.GPa: "stresses in GPa beside eV and Å (stress: GPa)",
    0.1 * units.GPa: "stresses in kB beside eV and Å (stress: kB)",
    1e-4 * units.GPa: "stresses in bar beside eV and Å (stress: bar)",
}
"""Slope of dE on the work of the stresses."""


@dataclass
class Pair:
    """Two near frames, a before b; energies in eV."""

    a: Frame
    b: Frame
    d_energy: float
    force_work: float
    stress_work: float | None
    strain: float
    step: float  # Å, largest displacement

    @property
    def distance(self) -> float:
        """How far apart the frames are; strain counts by the shift of an atom at 5 Å."""
        return self.step + 5.0 * self.strain


def make_pair(a: Frame, b: Frame) -> Pair | None:
    """The pair of two frames of equal atoms, or None when they are too far apart or equal."""
    if not (a.pbc == b.pbc).all():
        return None
    step, strain = b.positions - a.positions, np.zeros((3, 3))
    forces = b.forces
    if not a.pbc.any() and np.abs(step).max() > LONGEST_STEP:
        turn, step = aligned(a.positions, b.positions)
        forces = b.forces @ turn
    elif a.pbc.all():
        if min(a.volume, b.volume) <= 0.0:
            return None
        deform = np.linalg.solve(a.cell, b.cell)  # rows: x -> x deform
        strain = 0.5 * (deform + deform.T) - np.eye(3)
        fractional = np.linalg.solve(b.cell.T, b.positions.T).T
        fractional -= np.linalg.solve(a.cell.T, a.positions.T).T
        # wrapped atoms that crossed the border did not move by a cell
        step = (fractional - np.round(fractional)) @ b.cell
    elif a.pbc.any() and not np.allclose(a.cell, b.cell):
        return None
    largest = float(np.abs(strain).max())
    far = float(np.abs(step).max())
    if far > LONGEST_STEP or largest > LARGEST_STRAIN or far + largest < 1e-5:
        return None
    force_work = -0.5 * float(((a.forces + forces) * step).sum())
    stress_work = 0.0 if largest < 1e-9 else None
    if stress_work is None and a.stress is not None and b.stress is not None:
        voigt = strain[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]] * [1, 1, 1, 2, 2, 2]
        stress_work = 0.5 * float((a.volume * a.stress + b.volume * b.stress) @ voigt)
    return Pair(a, b, b.energy - a.energy, force_work, stress_work, largest, far)


def aligned(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rotation [3, 3] that turns rows of b onto a, and the displacements [n, 3] that remain.

    Moving a cluster as a whole costs no energy. Kabsch, Acta Cryst. A 32, 922 (1976).
    """
    x, y = a - a.mean(axis=0), b - b.mean(axis=0)
    u, _, vt = np.linalg.svd(y.T @ x)
    flip = np.diag([1.0, 1.0, np.sign(np.linalg.det(u @ vt)) or 1.0])
    turn = u @ flip @ vt
    return turn, y @ turn - x


def near_pairs(frames: list[Frame]) -> list[Pair]:
    """Every frame with the nearest of the frames before it, within equal files and atoms.

    In a trajectory that is the frame before; in a rattled set the least different one.
    """
    groups: dict[tuple[str, bytes], list[Frame]] = {}
    for f in frames:
        if f.energy is not None and f.forces is not None and f.n_atoms > 1:
            groups.setdefault((f.file, f.numbers.tobytes()), []).append(f)
    pairs = []
    for group in groups.values():
        for k, frame in enumerate(group):
            best: Pair | None = None
            for other in group[max(0, k - LOOK_BACK) : k][::-1]:
                pair = make_pair(other, frame)
                if pair is not None and (best is None or pair.distance < best.distance):
                    best = pair
                if best is not None and best.distance < NEAR:
                    break
            if best is not None:
                pairs.append(best)
    return pairs


def robust_slope(d_energy: np.ndarray, work: np.ndarray) -> tuple[float, float]:
    """Slope of dE on the work, and how well they agree (1 perfect, 0 or less not at all).

    The median of dE/work weighted with |work| is untouched by a few wrong energies. Agreement
    compares the median residual with the median |dE|.
    """
    ratio = d_energy / np.where(work == 0.0, 1e-300, work)
    order = np.argsort(ratio)
    weight = np.cumsum(np.abs(work)[order])
    slope = float(ratio[order][np.searchsorted(weight, 0.5 * weight[-1])])
    scale = np.median(np.abs(d_energy)) + 1e-300
    return slope, float(1.0 - np.median(np.abs(d_energy - slope * work)) / scale)


def explain(slope: float, table: dict[float, str]) -> str:
    """The usual mistakes whose slope is within 10 % of the one found, the nearest first."""
    away = {text: abs(np.log(abs(slope) / key)) for key, text in table.items()}
    near = sorted((d, text) for text, d in away.items() if d < 0.1)
    return "; or ".join(text for _, text in near)


def is_certain(slope: float, agreement: float) -> bool:
    """Whether a slope other than 1 is no matter of the trapezoid rule over long steps.

    Long steps of stiff bonds scatter the slope by up to 2; a sign or a factor beyond that is not
    explained by them.
    """
    return agreement > CLEAR or not 1 / BEYOND_SCATTER < slope < BEYOND_SCATTER


def check_work(frames: list[Frame]) -> list[Finding]:
    """Energies and forces belong together, per file."""
    by_file: dict[str, list[Pair]] = {}
    for pair in near_pairs(frames):
        if pair.strain < 1e-9:
            by_file.setdefault(pair.a.file, []).append(pair)
    findings = []
    for file, pairs in by_file.items():
        if len(pairs) >= FEWEST:
            findings += judge_work(file, pairs)
    if not findings:
        n = sum(len(p) for p in by_file.values())
        text = f"not applicable: {n} pairs of near frames of one composition"
        return [Finding("PASS", "work", text)]
    return findings


def judge_work(file: str, pairs: list[Pair]) -> list[Finding]:
    """The findings of the force part for the pairs of one file."""
    d_energy = np.array([p.d_energy for p in pairs])
    work = np.array([p.force_work for p in pairs])
    if not work.any():
        return []  # zero forces are reported by themselves
    slope, agreement = robust_slope(d_energy, work)
    text = f"{file}: dE = {slope:.3g} of the work of the forces, agreement {agreement:.2f}, "
    text += f"{len(pairs)} pairs"
    involved = [p.b for p in pairs]
    if agreement < 0.5:
        level, remedy = "WARN", "frames are too far apart, or energies and forces of two methods"
        if agreement < 0.1 and np.median([p.distance for p in pairs]) < 0.1:
            level, remedy = "FAIL", "energies and forces of these frames do not belong together"
        return [finding(level, "work", text, involved, remedy)]
    if not 0.8 < slope < 1.25:
        sign = "gradients instead of forces (change their sign)" if slope < 0 else ""
        unit = explain(slope, FORCE_SLOPES) if not 0.8 < abs(slope) < 1.25 else ""
        remedy = " and ".join(x for x in (sign, unit) if x)
        remedy = f"looks like {remedy}" if remedy else "units of energies and forces do not match"
        level = "FAIL" if is_certain(slope, agreement) else "WARN"
        if level == "WARN":
            remedy = f"frames may be too far apart to tell; {remedy}"
        return [finding(level, "work", f"{text}, expected 1", involved, remedy)]
    residual = np.abs(d_energy - slope * work)
    limit = max(OUTLIER[0] * float(np.median(residual)), OUTLIER[1])
    jumps: dict[int, list[bool]] = {}
    by_id = {}
    for pair, size in zip(pairs, residual, strict=True):
        for f in (pair.a, pair.b):
            jumps.setdefault(id(f), []).append(bool(size > limit))
            by_id[id(f)] = f
    # a wrong energy spoils every pair of its frame, and a neighbour only one of its pairs
    bad = [by_id[key] for key, flags in jumps.items() if all(flags) and len(flags) > 1]
    if not bad:
        bad = [by_id[key] for key, flags in jumps.items() if all(flags)]
    if bad:
        return [
            finding(
                "WARN",
                "work",
                f"{text}; energies that jump against the forces by up to {residual.max():.2f} eV",
                bad,
                "the SCF of these frames converged elsewhere: recompute or remove them",
            )
        ]
    return [Finding("PASS", "work", text)]


def check_stress(frames: list[Frame]) -> list[Finding]:
    """Unit and sign of stresses by the work of strains where there are several cells; the size."""
    labelled = [f for f in frames if f.stress is not None]
    if not labelled:
        return []
    loose = [f for f in labelled if not f.pbc.all()]
    findings = []
    if loose:
        findings.append(
            finding(
                "WARN",
                "stress",
                "frames that are not periodic in three directions have a stress, which is unused",
                loose,
                "remove the stress, or set the cell",
            )
        )
    by_file: dict[str, list[Pair]] = {}
    for pair in strained_pairs([f for f in labelled if f.pbc.all()]):
        by_file.setdefault(pair.a.file, []).append(pair)
    judged = [f for file, pairs in by_file.items() for f in judge_stress(file, pairs)]
    findings += judged
    size = np.array([np.abs(f.stress).max() / units.GPa for f in labelled])
    huge = [f for f, x in zip(labelled, size, strict=True) if x > 100.0]
    if huge and not judged:  # strained pairs say more than the size
        findings.append(
            finding(
                "WARN",
                "stress",
                f"up to {size.max():.0f} GPa",
                huge,
                "is the file in GPa, kB or bar? then set units: {stress: ...}",
            )
        )
    text = f"largest {size.max():.2f} GPa"
    if not findings:
        findings.append(Finding("PASS", "stress", f"{text}; too few strained pairs to test signs"))
    return findings


def strained_pairs(frames: list[Frame]) -> list[Pair]:
    """Pairs of frames of equal atoms in order of volume (an equation of state), strained."""
    groups: dict[tuple[str, bytes], list[Frame]] = {}
    for f in frames:
        if f.energy is not None and f.forces is not None:
            groups.setdefault((f.file, f.numbers.tobytes()), []).append(f)
    pairs = []
    for group in groups.values():
        ordered = sorted(group, key=lambda f: f.volume)
        for k, frame in enumerate(ordered):
            found = (make_pair(other, frame) for other in ordered[max(0, k - LOOK_BACK) : k])
            pairs += [
                p
                for p in found
                if p is not None
                and p.strain > 1e-3
                and p.stress_work is not None
                # the strain must be what changes the energy
                and abs(p.force_work) < 0.5 * abs(p.d_energy)
            ]
    return pairs


def judge_stress(file: str, pairs: list[Pair]) -> list[Finding]:
    """The findings of the stress part for the pairs of one file; none when there are too few."""
    if len(pairs) < FEWEST:
        return []
    d_energy = np.array([p.d_energy - p.force_work for p in pairs])
    work = np.array([p.stress_work for p in pairs])
    if not work.any():
        involved = [p.b for p in pairs]
        return [finding("FAIL", "stress", f"{file}: all stresses are zero", involved, "compute it")]
    slope, agreement = robust_slope(d_energy, work)
    text = f"{file}: dE = {slope:.3g} of the work of the stresses, agreement {agreement:.2f}, "
    text += f"{len(pairs)} pairs"
    if agreement < 0.5:
        return [Finding("WARN", "stress", text, "cells too different, or Pulay stress: check it")]
    if 0.6 < slope < 1.6:  # plane waves of a fixed cutoff lose a few tenths to Pulay stress
        return [Finding("PASS", "stress", text)]
    involved = [p.b for p in pairs]
    if not is_certain(slope, agreement):
        remedy = "cells may be too different to tell, or Pulay stress: check it"
        return [finding("WARN", "stress", f"{text}, expected 1", involved, remedy)]
    sign = "the opposite sign (stress_sign: compression)" if slope < 0 else ""
    unit = explain(slope, STRESS_SLOPES) if not 0.6 < abs(slope) < 1.6 else ""
    remedy = " and ".join(x for x in (sign, unit) if x) or "another unit"
    return [finding("FAIL", "stress", f"{text}, expected 1", involved, f"looks like {remedy}")]

# SPDX-License-Identifier: MIT
"""Checks of the energies: outliers per composition, references, free energies."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from qdml_train.doctor.finding import Finding, finding
from qdml_train.frames import Frame
from qdml_train.statistics import reference_energies, species_of

ROBUST_Z = 15.0
"""Robust z-score beyond which an energy is an outlier; stretched frames of a set reach 5 to 10."""
SMALLEST = 0.02  # eV/atom, deviations that are never reported
TWO_METHODS = 15.0  # eV/atom, more than any structure of one composition can differ by


def check_energies(frames: list[Frame]) -> list[Finding]:
    """Energies per atom against the median of the same composition: failed calculations.

    z = 0.6745 (E - median) / median |E - median|, within a composition of five frames or more.
    """
    groups: dict[bytes, list[Frame]] = {}
    for f in frames:
        if f.energy is not None and f.n_atoms > 1:
            groups.setdefault(np.bincount(f.numbers, minlength=120).tobytes(), []).append(f)
    compared, worst = 0, 0.0
    outliers: list[Frame] = []
    findings = []
    for group in groups.values():
        energies = np.array([f.energy / f.n_atoms for f in group])
        away = energies - np.median(energies)
        if len(group) > 1 and np.ptp(energies) > TWO_METHODS:
            far = [f for f, x in zip(group, away, strict=True) if abs(x) > 0.5 * TWO_METHODS]
            findings.append(
                finding(
                    "FAIL",
                    "energies",
                    f"{np.ptp(energies):.1f} eV/atom between frames of one composition",
                    far or group,
                    "energies of two methods (all-electron and pseudopotential?), units, or a "
                    "failed calculation: keep one kind",
                )
            )
            continue
        if len(group) < 5:
            continue
        compared += len(group)
        z = 0.6745 * np.abs(away) / (np.median(np.abs(away)) + 1e-9)
        outliers += [
            f for f, x, d in zip(group, z, away, strict=True) if x > ROBUST_Z and abs(d) > SMALLEST
        ]
        worst = max(worst, float(np.abs(away).max()))
    text = f"largest deviation among equal compositions {worst:.2f} eV/atom"
    if outliers:
        findings.append(
            finding(
                "WARN",
                "energies",
                f"{text}; robust z-score beyond {ROBUST_Z:g}",
                outliers,
                "stretched structures, or an SCF that did not converge: look at these frames",
            )
        )
    if not findings and not compared:
        text = "not applicable: no composition has five frames"
    return findings or [Finding("PASS", "energies", text)]


def check_free_energy(frames: list[Frame]) -> list[Finding]:
    """With smearing, forces belong to the free energy, not to the energy extrapolated to zero."""
    both = [f for f in frames if f.energy is not None and f.free_energy is not None]
    other = [f for f in both if abs(f.energy - f.free_energy) > 1e-4 * f.n_atoms]
    if other:
        return [
            finding(
                "WARN",
                "free energy",
                "the energy differs from the free energy, of which the forces are the derivative",
                other,
                "keys: {energy: free_energy}",
            )
        ]
    return []


def check_reference_rank(
    frames: list[Frame], weight: Callable[[Frame], float] = lambda frame: frame.weights[0]
) -> list[Finding]:
    """Can least squares determine every E0?"""
    labelled = [f for f in frames if f.energy is not None and weight(f) > 0 and f.role == "train"]
    if not labelled:
        return [Finding("PASS", "E0", "not applicable: no energies")]
    species = species_of(labelled)
    e0 = reference_energies(labelled, species, "auto")
    values = ", ".join(f"{s} {v:.3f}" for s, v in zip(species, e0.values, strict=True))
    if e0.undetermined:
        return [
            Finding(
                "WARN",
                "E0",
                f"{e0.method}; undetermined combinations: {'; '.join(e0.undetermined)}",
                "add isolated atoms or other stoichiometries if absolute energies matter",
            )
        ]
    return [Finding("PASS", "E0", f"{e0.method}: {values} eV")]

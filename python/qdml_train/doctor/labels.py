# SPDX-License-Identifier: MIT
"""Checks of what the frames carry: labels, numbers, level of theory, parts, precision."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container

import numpy as np
from ase.data import chemical_symbols

from qdml_train.doctor.finding import Finding, finding
from qdml_train.frames import Frame

ENERGY_STEP = (0.5e-3, 5e-3)
"""Rounding of energies, eV/atom, from which a set is doubtful and useless."""


def check_labels(
    frames: list[Frame], needs: Container[str] = ("energy", "forces")
) -> list[Finding]:
    """Every frame has the labels that the loss (`needs`) and its own weights ask for."""
    no_forces = [f for f in frames if f.forces is None and f.weights[1] > 0 and "forces" in needs]
    no_energy = [f for f in frames if f.energy is None and f.weights[0] > 0 and "energy" in needs]
    counts = (
        f"{len(frames)} frames, {sum(f.n_atoms for f in frames)} atoms; energies "
        f"{sum(f.energy is not None for f in frames)}, forces "
        f"{sum(f.forces is not None for f in frames)}, stresses "
        f"{sum(f.stress is not None for f in frames)}"
    )
    findings = []
    for kind, lacking in (("forces", no_forces), ("energy", no_energy)):
        if not lacking:
            continue
        unused = ", ".join(lacking[0].unused)
        fix = (
            f"found {unused}; if one of these is it, say keys: {{{kind}: NAME}}"
            if unused
            else f"compute it, leave these frames out, or give their source weights: {{{kind}: 0}}"
        )
        if kind == "energy" and len(lacking) == len(frames):
            text = f"{counts}. No frame has an energy"
            findings.append(Finding("WARN", "labels", text, f"data.use_energy: false, or {fix}"))
        else:
            findings.append(finding("FAIL", "labels", f"{counts}. No {kind} in", lacking, fix))
    return findings or [Finding("PASS", "labels", counts)]


def check_finite(frames: list[Frame]) -> list[Finding]:
    """No NaN or infinity anywhere."""
    bad = [
        f
        for f in frames
        if not all(
            np.isfinite(x).all()
            for x in (f.positions, f.cell, f.energy, f.forces, f.stress)
            if x is not None
        )
    ]
    if bad:
        return [finding("FAIL", "finite", "NaN or infinity in", bad, "remove or recompute them")]
    return [Finding("PASS", "finite", "all numbers are finite")]


def check_level_of_theory(frames: list[Frame]) -> list[Finding]:
    """One level of theory for all frames."""
    levels = Counter(f.level_of_theory for f in frames)
    if len(levels) > 1:
        rare = min(levels, key=lambda level: levels[level])
        return [
            finding(
                "FAIL",
                "level of theory",
                f"mixed: {dict(levels)}; '{rare}' in",
                [f for f in frames if f.level_of_theory == rare],
                "fit one level at a time, or say in the source what these frames are",
            )
        ]
    (level,) = levels
    if not level:
        text = "not stated in the frames"
        return [Finding("WARN", "level of theory", text, "set level_of_theory")]
    return [Finding("PASS", "level of theory", level)]


def check_split(frames: list[Frame]) -> list[Finding]:
    """Counts per origin and part; every element that is tested was seen in training."""
    parts = Counter(f.part or f.split or "none" for f in frames)
    text = f"split {dict(parts)}; origins {dict(Counter(f.origin for f in frames))}"
    findings = []
    if "none" in parts and len(parts) > 1:
        bare = [f for f in frames if not (f.part or f.split)]
        findings.append(
            finding(
                "FAIL", "split", f"{text}: some frames have no split", bare, "give all one or none"
            )
        )
    trained = {int(z) for f in frames if f.role == "train" for z in f.numbers}
    unseen = [f for f in frames if trained and not {int(z) for z in f.numbers} <= trained]
    if unseen:
        elements = {int(z) for f in unseen for z in f.numbers} - trained
        names = ", ".join(chemical_symbols[z] for z in sorted(elements))
        findings.append(
            finding(
                "FAIL",
                "elements",
                f"{names} is in no training frame but in {unseen[0].role} frames",
                unseen,
                "move some of these frames to the training part or remove them",
            )
        )
    return findings or [Finding("PASS", "split", text)]


def check_precision(frames: list[Frame]) -> list[Finding]:
    """Positions and energies keep the digits the labels belong to."""
    findings = []
    single = [f for f in frames if _is_single(f.positions)]
    if single:
        findings.append(
            finding(
                "WARN",
                "precision",
                "positions are float32 numbers (rounded by up to 5e-7 Å at 10 Å)",
                single,
                "read the original file: differences of positions and energies lose digits",
            )
        )
    coarse = [f for f in frames if f.n_atoms > 1 and _decimals(f.positions) <= 3]
    if coarse:
        findings.append(
            finding(
                "WARN",
                "precision",
                "positions have 3 decimals or fewer: forces belong to points up to 1e-3 Å away",
                coarse,
                "write positions with 6 decimals or more",
            )
        )
    labelled = [f for f in frames if f.energy is not None and f.energy != 0.0]
    if len(labelled) >= 4 and all(_is_float32(np.array([f.energy])) for f in labelled):
        steps = [float(np.spacing(np.float32(abs(f.energy)))) / f.n_atoms for f in labelled]
        worst = int(np.argmax(steps))
        if steps[worst] > ENERGY_STEP[0]:
            findings.append(
                finding(
                    "FAIL" if steps[worst] > ENERGY_STEP[1] else "WARN",
                    "precision",
                    f"energies are float32 numbers, rounded to {1e3 * steps[worst]:.2g} meV/atom",
                    [labelled[worst]],
                    "read the original energies: subtract references in float64 before rounding",
                )
            )
    return findings or [Finding("PASS", "precision", "positions and energies keep their digits")]


def _is_float32(x: np.ndarray) -> bool:
    return bool((x.astype(np.float32).astype(float) == x).all())


def _is_single(positions: np.ndarray) -> bool:
    """Whether coordinates lie on float32 numbers, as stored or as printed with 8 decimals.

    float32 numbers beyond 4 Å are 4.8e-7 Å apart, so a printed float64 number is within the
    rounding of 8 decimals of one in 2 % of cases only; short decimals are no float32 numbers.
    """
    x = positions[np.abs(positions) > 4.0]
    x = x[np.abs(x - np.round(x, 5)) > 1e-9]  # short numbers say nothing
    if len(x) < 12:
        return False
    return bool((np.abs(x - x.astype(np.float32)) < 0.6e-8).mean() > 0.95)


def _decimals(positions: np.ndarray) -> int:
    """Decimals that all coordinates get by with; 9 when the positions are special (on a grid)."""
    if len(np.unique(np.round(positions, 6))) < 0.5 * positions.size:
        return 9
    for n in range(1, 9):
        if np.abs(positions - np.round(positions, n)).max() < 1e-9:
            return n
    return 9

# SPDX-License-Identifier: MIT
"""The data doctor: small checks of labelled frames, each PASS, WARN or FAIL with what to do."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from ase.data import chemical_symbols, covalent_radii

from qdml_train.frames import Frame
from qdml_train.neighbors import build_neighbors
from qdml_train.statistics import reference_energies, species_of

Level = Literal["PASS", "WARN", "FAIL"]

TOO_CLOSE = 0.4  # of the sum of covalent radii: inside any bond of any compound
NET_FORCE = 0.02  # eV/Å per atom: grid noise of a usual DFT setting stays below
LARGE_FORCE = 20.0  # eV/Å
UNIT_SLOPES = {
    51.42: "forces in Hartree/Bohr beside energies in eV (multiply forces by 51.422)",
    0.03675: "energies in Hartree beside forces in eV/Å (multiply energies by 27.2114)",
    1.8897: "energies and forces in atomic units, positions in Å (convert both)",
    -1.0: "gradients instead of forces (change their sign)",
    0.04336: "forces in kcal/mol/Å beside energies in eV (multiply forces by 0.04336)",
    23.06: "energies in kcal/mol beside forces in eV/Å (multiply energies by 0.04336)",
}
"""Slope of the energy difference on the work (see `check_work`) for the usual mistakes."""


@dataclass(frozen=True)
class Finding:
    """Result of one check."""

    level: Level
    check: str
    message: str


def run_checks(frames: list[Frame]) -> list[Finding]:
    """All checks, in the order a reader wants them."""
    findings = [check_labels(frames), check_finite(frames)]
    if findings[-1].level == "FAIL":
        return findings  # the numbers below would be meaningless
    checks: tuple[Callable[[list[Frame]], Finding], ...] = (
        check_level_of_theory,
        check_split,
        check_duplicates,
        check_distances,
        check_forces,
        check_net_force,
        check_work,
        check_energies,
        check_reference_rank,
    )
    return findings + [check(frames) for check in checks]


def _first(frames: list[Frame], n: int = 3) -> str:
    names = ", ".join(f"{f.where} ({f.origin})" for f in frames[:n])
    return names + (f" and {len(frames) - n} more" if len(frames) > n else "")


def check_labels(frames: list[Frame]) -> Finding:
    """Every frame has forces; energies are in all frames or in none."""
    no_forces = [f for f in frames if f.forces is None]
    no_energy = [f for f in frames if f.energy is None]
    counts = (
        f"{len(frames)} frames, {sum(f.n_atoms for f in frames)} atoms; energies "
        f"{len(frames) - len(no_energy)}, forces {len(frames) - len(no_forces)}, stresses "
        f"{sum(f.stress is not None for f in frames)}"
    )
    if no_forces:
        return Finding(
            "FAIL", "labels", f"{counts}. No forces in {_first(no_forces)}; name them 'forces'"
        )
    if no_energy and len(no_energy) < len(frames):
        return Finding("FAIL", "labels", f"{counts}. No energy in {_first(no_energy)}")
    if no_energy:
        return Finding("WARN", "labels", f"{counts}. Only a force-only fit is possible")
    return Finding("PASS", "labels", counts)


def check_finite(frames: list[Frame]) -> Finding:
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
        return Finding("FAIL", "finite", f"NaN or infinity in {_first(bad)}; remove or recompute")
    return Finding("PASS", "finite", "all numbers are finite")


def check_level_of_theory(frames: list[Frame]) -> Finding:
    """One level of theory for all frames."""
    levels = Counter(f.level_of_theory for f in frames)
    if len(levels) > 1:
        return Finding("FAIL", "level of theory", f"mixed: {dict(levels)}; fit one at a time")
    (level,) = levels
    if not level:
        return Finding("WARN", "level of theory", "not stated in the frames; set level_of_theory")
    return Finding("PASS", "level of theory", level)


def check_split(frames: list[Frame]) -> Finding:
    """Counts per origin and split."""
    splits = Counter(f.split or "none" for f in frames)
    origins = Counter(f.origin for f in frames)
    text = f"split {dict(splits)}; origins {dict(origins)}"
    if "none" in splits and len(splits) > 1:
        return Finding("FAIL", "split", f"{text}: some frames have no split; give all one or none")
    return Finding("PASS", "split", text)


def check_duplicates(frames: list[Frame]) -> Finding:
    """The same structure twice; worst when one is for training and one for testing."""
    seen: dict[bytes, Frame] = {}
    pairs = []
    for frame in frames:
        key = b"".join(
            np.round(np.asarray(x, float), 5).tobytes()
            for x in (frame.numbers, frame.positions, frame.cell * frame.pbc[:, None])
        )
        if key in seen:
            pairs.append((seen[key], frame))
        seen.setdefault(key, frame)
    if not pairs:
        return Finding("PASS", "duplicates", "none")
    leaks = [(a, b) for a, b in pairs if a.split != b.split]
    if leaks:
        a, b = leaks[0]
        return Finding(
            "FAIL",
            "duplicates",
            f"{a.where} ({a.split}) and {b.where} ({b.split}) are the same structure, as are "
            f"{len(pairs) - 1} other pairs: the split leaks; remove one of each",
        )
    a, b = pairs[0]
    return Finding("WARN", "duplicates", f"{len(pairs)} pairs, the first {a.where} and {b.where}")


def check_distances(frames: list[Frame]) -> Finding:
    """Shortest distance per pair of elements."""
    shortest: dict[tuple[int, int], tuple[float, Frame]] = {}
    for frame in frames:
        edges = build_neighbors(frame, 4.0)
        r = np.linalg.norm(edges.vector, axis=1)
        pairs = np.sort(
            np.column_stack([frame.numbers[edges.center], frame.numbers[edges.neighbor]]), axis=1
        )
        for pair in np.unique(pairs, axis=0):
            nearest = float(r[(pairs == pair).all(axis=1)].min())
            key = (int(pair[0]), int(pair[1]))
            if key not in shortest or nearest < shortest[key][0]:
                shortest[key] = (nearest, frame)
    text = ", ".join(
        f"{chemical_symbols[a]}-{chemical_symbols[b]} {r:.2f}"
        for (a, b), (r, _) in sorted(shortest.items())
    )
    bad = [
        (a, b, r, f)
        for (a, b), (r, f) in shortest.items()
        if r < TOO_CLOSE * (covalent_radii[a] + covalent_radii[b])
    ]
    if bad:
        a, b, r, frame = bad[0]
        return Finding(
            "FAIL",
            "distances",
            f"{chemical_symbols[a]}-{chemical_symbols[b]} {r:.2f} Å in {frame.where}: closer than "
            f"any bond; check the cell, the units of positions, and duplicated atoms. Shortest: "
            f"{text} Å",
        )
    return Finding("PASS", "distances", f"shortest {text} Å")


def check_forces(frames: list[Frame]) -> Finding:
    """Size of the forces."""
    labelled = [f for f in frames if f.forces is not None]
    if not labelled:
        return Finding("WARN", "forces", "no forces")
    largest = np.array([np.linalg.norm(f.forces, axis=1).max() for f in labelled])
    rms = float(np.sqrt(np.concatenate([(f.forces**2).ravel() for f in labelled]).mean()))
    text = f"rms {rms:.3f}, largest {largest.max():.2f} eV/Å"
    if rms == 0.0:
        return Finding("FAIL", "forces", f"{text}: all forces are zero; they were not computed")
    large = [f for f, x in zip(labelled, largest, strict=True) if x > LARGE_FORCE]
    if large:
        return Finding(
            "WARN",
            "forces",
            f"{text}; beyond {LARGE_FORCE:g} eV/Å in {_first(large)}: left out of training by "
            "data.max_force",
        )
    return Finding("PASS", "forces", text)


def check_net_force(frames: list[Frame]) -> Finding:
    """The forces of a frame add up to zero."""
    labelled = [f for f in frames if f.forces is not None and f.n_atoms > 1]
    if not labelled:
        return Finding("WARN", "net force", "no forces")
    net = np.array([np.abs(f.forces.sum(axis=0)).max() / f.n_atoms for f in labelled])
    bad = [f for f, x in zip(labelled, net, strict=True) if x > NET_FORCE]
    text = f"largest {net.max():.1e} eV/Å per atom"
    if bad:
        return Finding(
            "WARN",
            "net force",
            f"{text}, in {_first(bad)}: constraints or fixed atoms, an external field, or a coarse "
            "grid",
        )
    return Finding("PASS", "net force", text)


def check_work(frames: list[Frame]) -> Finding:
    """Energies and forces belong together: dE of similar frames equals the work of the forces.

    Frames of the same atoms and cell that are near each other are compared, dE against
    -(F1 + F2)/2 . (x2 - x1). The slope of dE on the work is 1 for consistent units and signs.
    """
    groups: dict[bytes, list[Frame]] = {}
    for f in frames:
        if f.energy is not None and f.forces is not None:
            groups.setdefault(f.numbers.tobytes() + np.round(f.cell, 6).tobytes(), []).append(f)
    d_energy, work = [], []
    for group in groups.values():
        for a, b in itertools.pairwise(group):
            step = b.positions - a.positions
            if 0 < np.abs(step).max() < 0.4:
                d_energy.append(b.energy - a.energy)
                work.append(-0.5 * float(((a.forces + b.forces) * step).sum()))
    if len(work) < 5:
        return Finding(
            "PASS", "work", f"not applicable: {len(work)} pairs of near frames of one composition"
        )
    e, w = np.array(d_energy), np.array(work)
    correlation = float(e @ w / np.sqrt((e @ e) * (w @ w) + 1e-300))
    # total least squares would need error bars; the ratio of norms is symmetric and enough here
    slope = float(np.sqrt((e @ e) / (w @ w + 1e-300)) * np.sign(correlation))
    text = f"slope {slope:.3g}, correlation {correlation:.3f} over {len(work)} pairs"
    if abs(correlation) < 0.8:
        return Finding(
            "WARN", "work", f"{text}: frames too far apart, or energies and forces do not match"
        )
    if 0.8 < slope < 1.25:
        return Finding("PASS", "work", text)
    nearest = min(UNIT_SLOPES, key=lambda s: _log_distance(slope, s))
    if _log_distance(slope, nearest) < 0.25:
        return Finding("FAIL", "work", f"{text}: looks like {UNIT_SLOPES[nearest]}")
    return Finding("FAIL", "work", f"{text}: units or signs of energies and forces do not match")


def _log_distance(a: float, b: float) -> float:
    return abs(np.log(a / b)) if a * b > 0 else np.inf


def check_energies(frames: list[Frame]) -> Finding:
    """Energies per atom against the median of the same composition: failed calculations."""
    groups: dict[bytes, list[Frame]] = {}
    for f in frames:
        if f.energy is not None and f.n_atoms > 1:
            groups.setdefault(np.bincount(f.numbers, minlength=120).tobytes(), []).append(f)
    compared, deviations = [], []
    for group in groups.values():
        if len(group) >= 3:
            energies = np.array([f.energy / f.n_atoms for f in group])
            compared += group
            deviations += list(energies - np.median(energies))
    if len(compared) < 8:
        return Finding("PASS", "energies", f"not applicable: {len(compared)} comparable frames")
    size = np.abs(deviations)
    limit = max(1.0, 20.0 * float(np.median(size)))
    bad = [f for f, x in zip(compared, size, strict=True) if x > limit]
    text = f"largest deviation among equal compositions {size.max():.2f} eV/atom"
    if bad:
        return Finding(
            "WARN", "energies", f"{text}; outliers {_first(bad)}: stretched, or SCF unconverged"
        )
    return Finding("PASS", "energies", text)


def check_reference_rank(frames: list[Frame]) -> Finding:
    """Can least squares determine every E0?"""
    labelled = [f for f in frames if f.energy is not None]
    if not labelled:
        return Finding("PASS", "E0", "not applicable: no energies")
    species = species_of(labelled)
    e0 = reference_energies(labelled, species, "auto")
    values = ", ".join(f"{s} {v:.3f}" for s, v in zip(species, e0.values, strict=True))
    if e0.undetermined:
        return Finding(
            "WARN",
            "E0",
            f"{e0.method}; undetermined combinations: {'; '.join(e0.undetermined)}. Add isolated "
            "atoms or other stoichiometries if absolute energies matter",
        )
    return Finding("PASS", "E0", f"{e0.method}: {values} eV")

# SPDX-License-Identifier: MIT
"""Numbers the model takes from the data: E0 (rank-checked, float64), force scale, neighbours."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from ase.data import atomic_numbers, chemical_symbols
from qdml.errors import DataError

from qdml_train.frames import Frame

RANK_TOLERANCE = 1e-6
"""Relative singular value below which a combination of species counts as undetermined."""


@dataclass
class ReferenceEnergies:
    """E0 per species, eV, and how it was found."""

    values: np.ndarray  # [S]
    method: str
    undetermined: list[str] = field(default_factory=list)
    rmse: float | None = None  # of the least squares, eV/atom


def species_of(frames: list[Frame]) -> tuple[str, ...]:
    """Chemical symbols present, by atomic number."""
    numbers = sorted({int(z) for frame in frames for z in np.unique(frame.numbers)})
    if 0 in numbers:
        where = next(f.where for f in frames if 0 in f.numbers)
        raise DataError(f"{where} has atoms of unknown element (X); name the elements")
    return tuple(chemical_symbols[z] for z in numbers)


def count_species(frames: list[Frame], species: tuple[str, ...]) -> np.ndarray:
    """[frames, S] number of atoms of each species."""
    numbers = np.array([atomic_numbers[s] for s in species])
    return np.array([(f.numbers[:, None] == numbers).sum(axis=0) for f in frames], dtype=float)


def reference_energies(
    frames: list[Frame],
    species: tuple[str, ...],
    method: str | dict[str, float],
    weight: Callable[[Frame], float] = lambda frame: 1.0,
) -> ReferenceEnergies:
    """E0 by numbers, by isolated-atom frames, or by least squares over energies.

    `auto` takes isolated atoms when there is one of every species, else least squares, in which
    every frame counts with its `weight`.
    Raises DataError when a species has no reference.
    """
    if isinstance(method, dict):
        missing = [s for s in species if s not in method]
        if missing:
            raise DataError(f"e0 has no value for {', '.join(missing)}; found {list(method)}")
        return ReferenceEnergies(np.array([float(method[s]) for s in species]), "given")
    isolated = {
        chemical_symbols[int(f.numbers[0])]: f.energy
        for f in frames
        if f.n_atoms == 1 and f.energy is not None
    }
    missing = [s for s in species if s not in isolated]
    if method == "isolated" and missing:
        raise DataError(
            f"data.e0: isolated, but there is no single-atom frame with an energy of "
            f"{', '.join(missing)}; compute it, or set data.e0: fit"
        )
    if method == "isolated" or (method == "auto" and not missing):
        return ReferenceEnergies(np.array([isolated[s] for s in species]), "isolated atoms")
    used = [f for f in frames if f.energy is not None and f.n_atoms > 1]
    if not used:
        return ReferenceEnergies(np.zeros(len(species)), "zero (no energies)")
    return least_squares(used, species, np.array([weight(f) for f in used]))


def least_squares(
    frames: list[Frame], species: tuple[str, ...], weights: np.ndarray
) -> ReferenceEnergies:
    """Weighted minimum-norm fit of E / n = Σ_s x_s E0_s with x the composition; float64.

    Combinations of species that the compositions do not determine are named.
    """
    counts = count_species(frames, species)
    n_atoms = counts.sum(axis=1, keepdims=True)
    root = np.sqrt(weights)
    composition = counts / n_atoms * root[:, None]
    target = np.array([f.energy for f in frames]) / n_atoms[:, 0] * root
    u, singular, vt = np.linalg.svd(composition, full_matrices=False)
    keep = singular > RANK_TOLERANCE * singular[0]
    values = vt[keep].T @ ((u[:, keep].T @ target) / singular[keep])
    rmse = float(np.sqrt(((composition @ values - target) ** 2).sum() / weights.sum()))
    rank = int(keep.sum())
    return ReferenceEnergies(
        values, "least squares", undetermined_combinations(composition, species, rank), rmse
    )


def undetermined_combinations(
    composition: np.ndarray, species: tuple[str, ...], rank: int
) -> list[str]:
    """Human-readable basis of the null space: what may be added to E0 without any effect.

    Reduced to echelon form so that each entry names few species.
    """
    if rank == len(species):
        return []
    _, _, vt = np.linalg.svd(composition, full_matrices=True)
    null = vt[rank:].copy()
    for row in range(len(null)):
        column = int(np.abs(null[row]).argmax())
        null[row] /= null[row, column]
        for other in range(len(null)):
            if other != row:
                null[other] -= null[other, column] * null[row]
    texts = []
    for row in null:
        parts = [f"{c:+.3g} {s}" for c, s in zip(row, species, strict=True) if abs(c) > 1e-6]
        texts.append(" ".join(parts))
    return texts


def force_scale(frames: list[Frame]) -> float:
    """Root mean square of the force components, eV/Å; 1 when there are none or all are zero."""
    squares = [f.forces**2 for f in frames if f.forces is not None and f.n_atoms > 1]
    if not squares:
        return 1.0
    rms = float(np.sqrt(np.concatenate([s.ravel() for s in squares]).mean()))
    return rms if rms > 1e-6 else 1.0

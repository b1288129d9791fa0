# SPDX-License-Identifier: MIT
"""How well the spread of a committee tells its error: reliability bins and single numbers.

With F_m the forces of M members on an atom and F their mean, the spread is
s = sqrt(sum_m |F_m - F|^2 / M), as `force_spread` of the pair style, and the error
e = |F - F_reference|; both in eV/Å.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import erf
from scipy.stats import spearmanr

from qdml.analyse.parity import Evaluation
from qdml.errors import DataError

MIN_PER_BIN = 20
"""Atoms a reliability bin must hold for a root mean square worth plotting."""

MAX_BINS = 15

MIN_FRAMES = 10
"""Frames whose energies tell more than the forces of their atoms do."""


def spread_and_error(evaluation: Evaluation, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Spread [n] and error vector [n, 3] in eV/Å of every atom of a split that has both."""
    spreads, errors = [np.empty(0)], [np.empty((0, 3))]
    for k, name in enumerate(evaluation.split):
        both, spread = evaluation.forces[k], evaluation.spreads[k]
        if name == split and both is not None and spread is not None:
            spreads.append(spread)
            errors.append(both[1] - both[0])
    return np.concatenate(spreads), np.concatenate(errors)


def spread_factors(evaluation: Evaluation, split: str) -> dict[str, float]:
    """What the spreads of a committee are to be multiplied by to be the expected errors.

    forces: `factor` of `calibration` over the atoms of the split; energy: the same over its frames,
    sqrt(sum e^2 / sum s^2) of energies per atom, or the factor of the forces where fewer than
    MIN_FRAMES have both. Factors that the evaluated committee had already are multiplied in.
    Raises DataError where the split says too little.
    """
    found = calibration(*spread_and_error(evaluation, split))
    if found is None or not found["factor"] > 0:
        raise DataError(
            f"too few {split} atoms with both a spread and a force error; at least "
            f"{2 * MIN_PER_BIN} are needed"
        )
    chosen = np.array([name == split for name in evaluation.split])
    error = np.diff(evaluation.energies[chosen], axis=1)[:, 0]
    spread = evaluation.energy_spreads[chosen]
    known = np.isfinite(error) & (spread > 0)
    energy = found["factor"]
    if known.sum() >= MIN_FRAMES and error[known].any():
        energy = float(np.sqrt((error[known] ** 2).sum() / (spread[known] ** 2).sum()))
    had = evaluation.head.get("spread_factors") or {}
    new = {"energy": energy, "forces": found["factor"]}
    return {key: factor * float(had.get(key, 1.0)) for key, factor in new.items()}


def calibration(spread: np.ndarray, error: np.ndarray) -> dict[str, Any] | None:
    """Numbers on spread [n] and error vectors [n, 3] in eV/Å; None for too few atoms.

    bins: equal numbers of atoms by spread, root mean squares of spread and error in each, eV/Å.
    factor: what the spread is to be multiplied by, sqrt(sum e^2 / sum s^2).
    ence: expected normalised calibration error, the mean over bins of |s - e| / s (Levi et al.
    2022, doi:10.3390/s22155540); ence_scaled: the same after multiplication by `factor`.
    area, area_scaled: miscalibration area, 0 (perfect) to 0.5 (Tran et al. 2020,
    doi:10.1088/2632-2153/ab7e1a), of the components as Gaussians of width s / sqrt(3).
    rank_correlation: Spearman's, of spread and error per atom.
    """
    known = spread > 0  # an atom without neighbours has neither spread nor error
    s, e = spread[known], error[known]
    n_bins = min(MAX_BINS, len(s) // MIN_PER_BIN)
    if n_bins < 2:
        return None
    size = np.linalg.norm(e, axis=1)
    factor = float(np.sqrt((size**2).sum() / (s**2).sum()))
    parts = np.array_split(np.argsort(s, kind="stable"), n_bins)
    binned_spread = np.array([np.sqrt((s[p] ** 2).mean()) for p in parts])
    binned_error = np.array([np.sqrt((size[p] ** 2).mean()) for p in parts])
    rank = spearmanr(s, size).statistic if s.std() > 0 and size.std() > 0 else np.nan
    return {
        "n_atoms": len(s),
        "bins": [
            {"spread": float(a), "error": float(b), "n_atoms": len(p)}
            for a, b, p in zip(binned_spread, binned_error, parts, strict=True)
        ],
        "factor": factor,
        "ence": _normalised_error(binned_spread, binned_error),
        "ence_scaled": _normalised_error(factor * binned_spread, binned_error),
        "area": miscalibration_area(s, e),
        "area_scaled": miscalibration_area(factor * s, e),
        "rank_correlation": float(rank) if np.isfinite(rank) else None,
    }


def _normalised_error(spread: np.ndarray, error: np.ndarray) -> float:
    return float((np.abs(spread - error) / spread).mean())


def interval_levels(spread: np.ndarray, error: np.ndarray) -> np.ndarray:
    """Probability [3 n] of the central interval that just holds each component of an error.

    spread [n] of the vectors, error [n, 3]; a component counts as Gaussian with width
    spread / sqrt(3). Atoms with spread 0 are left out.
    """
    known = spread > 0
    width = spread[known, None] / np.sqrt(3)
    return erf(np.abs(error[known]) / width / np.sqrt(2)).ravel()


def miscalibration_area(spread: np.ndarray, error: np.ndarray) -> float:
    """Area between the shares of components inside central intervals and those expected.

    With p_k the sorted `interval_levels`, the observed share between p_k and p_(k+1) is k/n; the
    area is the integral of |observed - expected| over the expected share from 0 to 1.
    """
    expected = np.sort(interval_levels(spread, error))
    n = len(expected)
    ends = np.concatenate([[0.0], expected, [1.0]])
    low, high, observed = ends[:-1], ends[1:], np.arange(n + 1) / n
    middle = np.clip(observed, low, high)  # on either side the integrand is a straight line
    left = 0.5 * (middle - low) * np.abs(2 * observed - low - middle)
    right = 0.5 * (high - middle) * np.abs(middle + high - 2 * observed)
    return float((left + right).sum())

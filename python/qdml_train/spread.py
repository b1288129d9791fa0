# SPDX-License-Identifier: MIT
"""Predictions of several potentials put together: their mean and how far they are apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from qdml.modelfile import SPREADS

from qdml_train.predictor import Result

UNSCALED: Mapping[str, float] = dict.fromkeys(SPREADS, 1.0)


@dataclass(frozen=True)
class Combined:
    """What a committee says about one frame; spreads are None for a single potential.

    energy_spread: standard deviation of the total energy over the members, eV. force_spread [n]:
    `force_spread` of this module, eV/Å. Both times the `spread_factors` of the committee's file.
    """

    mean: Result
    energy_spread: float | None = None
    force_spread: np.ndarray | None = None


def force_spread(forces: np.ndarray) -> np.ndarray:
    """sqrt(sum_m |F_m - F|^2 / M) of every atom, [M, n, 3] -> [n], eV/Å.

    F is the mean over the M members; the same number as `force_spread` of the pair style.
    """
    return np.sqrt(((forces - forces.mean(axis=0)) ** 2).sum(axis=-1).mean(axis=0))


def combine(results: Sequence[Result], factors: Mapping[str, float] = UNSCALED) -> Combined:
    """Mean and spread of the results of all members for one frame."""
    if len(results) == 1:
        return Combined(results[0])
    energies = np.array([r.energy for r in results])
    forces = np.array([r.forces for r in results])
    stresses = [r.stress for r in results if r.stress is not None]
    mean = Result(
        float(energies.mean()),
        forces.mean(axis=0),
        np.mean(stresses, axis=0) if stresses else None,
    )
    spread = factors["forces"] * force_spread(forces)
    return Combined(mean, factors["energy"] * float(energies.std()), spread)

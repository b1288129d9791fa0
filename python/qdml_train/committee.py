# SPDX-License-Identifier: MIT
"""Mean and spread of a committee's predictions, and how well the spread tells the error."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from qdml_train.model.potential import Prediction
from qdml_train.packing import Labels

BINS = 5
"""Groups of equal size, by spread, of which errors are compared with spreads."""


class Spread(NamedTuple):
    """Error of the mean and spread of the members, per atom and per frame of a batch."""

    force_error: jax.Array  # [A] |ΔF| of the mean, eV/Å
    force_spread: jax.Array  # [A] (Σ_m |F_m - F̄|² / M)^½, eV/Å, as the engine's
    has_forces: jax.Array  # [A] 1 where there is a label
    energy_error: jax.Array  # [G] |ΔE| of the mean per atom, eV
    energy_spread: jax.Array  # [G] standard deviation per atom, eV
    has_energy: jax.Array  # [G]


def committee_prediction(members: Prediction, labels: Labels) -> tuple[Prediction, Spread]:
    """The mean of predictions with a first axis of members, and their spread."""
    mean = Prediction(*(x.mean(axis=0) for x in members))
    error = mean.forces - labels.forces
    spread = Spread(
        force_error=jnp.sqrt((error**2).sum(axis=-1)),
        force_spread=jnp.sqrt(members.forces.var(axis=0).sum(axis=-1)),
        has_forces=(labels.force_weight > 0).astype(error.dtype),
        energy_error=jnp.abs(mean.energy - labels.energy) / labels.n_atoms,
        energy_spread=members.energy.std(axis=0) / labels.n_atoms,
        has_energy=(labels.energy_weight > 0).astype(error.dtype),
    )
    return mean, spread


def calibration(spreads: Sequence[Spread]) -> dict[str, Any]:
    """Numbers of metrics.jsonl (docs/training.md): spread, error over spread, rank correlation.

    `force_error_over_spread` is the factor by which a spread must be multiplied to be the expected
    error (root mean squares of both); 1 is a calibrated committee, above 1 an over-confident one.
    """
    parts = zip(*spreads, strict=True)
    arrays = Spread(*(np.concatenate([np.asarray(x, float) for x in p]) for p in parts))
    forces, energies = arrays.has_forces > 0, arrays.has_energy > 0
    result: dict[str, Any] = {}
    for name, unit, chosen, error, spread in (
        ("force", "mev_per_angstrom", forces, arrays.force_error, arrays.force_spread),
        ("energy", "mev_per_atom", energies, arrays.energy_error, arrays.energy_spread),
    ):
        e, s = error[chosen], spread[chosen]
        # per component, as force errors are reported
        components = 3.0 if name == "force" else 1.0
        result[f"{name}_spread_{unit}"] = _milli_rms(s, components)
        result[f"{name}_error_over_spread"] = _ratio(e, s)
        result[f"{name}_correlation"] = rank_correlation(s, e)
    result["force_bins"] = reliability(arrays.force_spread[forces], arrays.force_error[forces])
    return result


def reliability(spread: np.ndarray, error: np.ndarray, bins: int = BINS) -> list[list[float]]:
    """Root mean squares [spread, error], per component in meV/Å, of groups of rising spread."""
    order = np.argsort(spread, kind="stable")
    groups = [g for g in np.array_split(order, bins) if len(g)]
    pairs = [[_milli_rms(spread[g], 3.0), _milli_rms(error[g], 3.0)] for g in groups]
    return [[float(a or 0.0), float(b or 0.0)] for a, b in pairs]


def rank_correlation(a: np.ndarray, b: np.ndarray) -> float | None:
    """Spearman's coefficient; None for fewer than three numbers or no variation."""
    if len(a) < 3 or not np.ptp(a) or not np.ptp(b):
        return None
    from scipy.stats import spearmanr

    return round(float(spearmanr(a, b).statistic), 4)


def describe_spread(found: dict[str, Any] | None) -> str:
    """'spread F 45 meV/Å, error/spread 1.8, rank correlation 0.62'; empty without a committee."""
    if not found or found.get("force_spread_mev_per_angstrom") is None:
        return ""
    text = f"spread F {found['force_spread_mev_per_angstrom']:.0f} meV/Å"
    if found["force_error_over_spread"] is not None:
        text += f", error/spread {found['force_error_over_spread']:.1f}"
    if found["force_correlation"] is not None:
        text += f", rank correlation {found['force_correlation']:.2f}"
    return text


def _milli_rms(values: np.ndarray, components: float) -> float | None:
    if not len(values):
        return None
    return round(1e3 * float(np.sqrt((values**2).mean() / components)), 4)


def _ratio(error: np.ndarray, spread: np.ndarray) -> float | None:
    if not len(error) or not spread.any():
        return None
    return round(float(np.sqrt((error**2).mean() / (spread**2).mean())), 4)

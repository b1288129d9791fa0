# SPDX-License-Identifier: MIT
"""Error sums over batches, in float64: squares are averaged before the root is taken."""

from __future__ import annotations

import numpy as np

from qdml_train.loss import Sums


class Accumulator:
    """Adds the `Sums` of batches and turns them into the numbers people read."""

    def __init__(self, totals: np.ndarray | None = None) -> None:
        self.totals = np.zeros(len(Sums._fields)) if totals is None else np.array(totals, float)

    def add(self, sums: Sums) -> None:
        """Add one batch, or one of every member of a committee."""
        self.totals += np.array([np.asarray(x, dtype=float).sum() for x in sums])

    def summary(self) -> dict[str, float | None]:
        """The `train`/`valid` object of metrics.jsonl (docs/training.md)."""
        s = Sums(*self.totals)

        def rmse(squares: float, count: float) -> float | None:
            return round(1e3 * float(np.sqrt(squares / count)), 4) if count else None

        return {
            "loss": float(s.loss / s.n_frames) if s.n_frames else None,
            "energy_rmse_mev_per_atom": rmse(s.energy_squares, s.n_energies),
            "force_rmse_mev_per_angstrom": rmse(s.force_squares, s.n_forces),
            "virial_rmse_mev_per_atom": rmse(s.virial_squares, s.n_virials),
        }

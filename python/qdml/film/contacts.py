# SPDX-License-Identifier: MIT
"""Do dots of a film overlap: pairs of atoms of different dots that are too close."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from qdml.build.distances import min_distance


def overlaps(
    kinds: np.ndarray,
    symbols: list[str],
    positions: np.ndarray,
    dots: np.ndarray,
    box: np.ndarray,
    periodic: np.ndarray,
) -> tuple[int, float]:
    """Number of pairs of different dots nearer than allowed, and the worst ratio to the limit.

    `kinds` [n] index `symbols`, `positions` [n, 3] and `box` [3] in Å, `dots` [n], `periodic` [3].
    """
    if len(positions) == 0:
        return 0, np.inf
    limits = np.array([[min_distance(a, b) for b in symbols] for a in symbols])
    low = positions.min(axis=0)
    # Not periodic: an edge so long that no image comes near.
    edges = np.where(periodic, box, np.ptp(positions, axis=0) + 2 * limits.max())
    tree = cKDTree(np.mod(positions - low, edges), boxsize=edges)
    pairs = tree.query_pairs(limits.max(), output_type="ndarray")
    i, j = pairs[:, 0], pairs[:, 1]
    other = dots[i] != dots[j]
    i, j = i[other], j[other]
    vector = positions[j] - positions[i]
    vector -= np.round(vector / edges) * edges
    ratio = np.linalg.norm(vector, axis=1) / limits[kinds[i], kinds[j]]
    return int((ratio < 1).sum()), float(ratio.min(initial=np.inf))

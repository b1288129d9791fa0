# SPDX-License-Identifier: MIT
"""Neighbour lists of frames: symmetric, in float64. The only user of vesin."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import vesin
from qdml.errors import DataError

from qdml_train.frames import Frame


@dataclass
class Neighbors:
    """Directed edges of one frame, grouped by center; rows are ordered by distance."""

    center: np.ndarray  # [E] int32
    neighbor: np.ndarray  # [E] int32
    slot: np.ndarray  # [E] int32, position in the row of the center
    reverse: np.ndarray  # [E] int32, index of the opposite edge
    vector: np.ndarray  # [E, 3] float64, r_ij = x_j - x_i, Å
    n_slots: int  # longest row


def build_neighbors(frame: Frame, cutoff: float) -> Neighbors:
    """All directed edges shorter than the cutoff, every periodic image its own edge.

    Raises DataError for atoms on top of each other.
    """
    builder = vesin.NeighborList(cutoff=cutoff, full_list=True, sorted=False)
    center, neighbor, shift, vector, distance = builder.compute(
        points=frame.positions,
        box=np.where(frame.pbc[:, None], frame.cell, 0.0),
        periodic=frame.pbc,
        quantities="ijSDd",
    )
    # distances of an edge and its reverse agree only to rounding: order by a rounded distance
    rounded = np.round(distance, 6)
    order = np.lexsort((shift[:, 2], shift[:, 1], shift[:, 0], neighbor, rounded, center))
    center, neighbor, shift = center[order], neighbor[order], shift[order].astype(np.int64)
    vector, distance = vector[order], distance[order]
    if len(distance) and distance.min() < 1e-3:
        e = int(distance.argmin())
        raise DataError(
            f"{frame.where}: atoms {center[e]} and {neighbor[e]} are {distance[e]:.1e} Å apart; "
            "remove the duplicate"
        )
    counts = np.bincount(center.astype(np.int64), minlength=frame.n_atoms)
    starts = np.concatenate([[0], np.cumsum(counts)])[:-1]
    slot = np.arange(len(center)) - np.repeat(starts, counts)
    return Neighbors(
        center=center.astype(np.int32),
        neighbor=neighbor.astype(np.int32),
        slot=slot.astype(np.int32),
        reverse=_reverse_edges(center, neighbor, shift),
        vector=vector,
        n_slots=int(counts.max()) if len(center) else 0,
    )


def _reverse_edges(center: np.ndarray, neighbor: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """Index of the edge (j, i, -S) for every edge (i, j, S)."""
    forward = np.column_stack([center, neighbor, shift]).astype(np.int64)
    backward = np.column_stack([neighbor, center, -shift]).astype(np.int64)
    a, b = np.lexsort(forward.T[::-1]), np.lexsort(backward.T[::-1])
    if not np.array_equal(forward[a], backward[b]):
        raise RuntimeError("the neighbour list is not symmetric: an edge lacks its reverse")
    reverse = np.empty(len(center), dtype=np.int32)
    reverse[b] = a
    return reverse

# SPDX-License-Identifier: MIT
"""Places of the dots in ordered arrays: square, hexagonal, fcc, bcc."""

from __future__ import annotations

import math

import numpy as np

ARRAYS = ("square", "hexagonal", "fcc", "bcc", "random")

# Rectangular cells: edges and places in units of the distance between neighbours. Layers of the
# square array lie on top of each other, hexagonal ones alternate (ABAB, hexagonal close packing).
_HEIGHT = math.sqrt(2 / 3)
_CELLS = {
    "square": ((1, 1, 1), [(0, 0, 0)]),
    "hexagonal": ((1, math.sqrt(3), 2 * _HEIGHT), [(0, 0, 0), (0.5, math.sqrt(0.75), 0)]),
    "fcc": (
        (math.sqrt(2),) * 3,
        [
            (0, 0, 0),
            *(tuple(math.sqrt(0.5) * x for x in p) for p in ((0, 1, 1), (1, 0, 1), (1, 1, 0))),
        ],
    ),
    "bcc": ((2 / math.sqrt(3),) * 3, [(0, 0, 0), (1 / math.sqrt(3),) * 3]),
}


def n_places(array: str, repeat: tuple[int, int, int]) -> int:
    """Number of dots of an ordered array."""
    return math.prod(repeat) * len(_CELLS[array][1])


def ordered_places(
    array: str, repeat: tuple[int, int, int], spacing: float
) -> tuple[np.ndarray, np.ndarray]:
    """Places [n, 3] of the dots and box lengths [3], both in Å.

    `repeat` counts cells along x and y; along z it counts layers of the square and hexagonal
    arrays and cells of fcc (4 dots) and bcc (2 dots). `spacing` is the distance of neighbours, Å.
    """
    edges, basis = _CELLS[array]
    nx, ny, nz = repeat
    cells = np.stack(np.meshgrid(np.arange(nx), np.arange(ny), np.arange(nz), indexing="ij"), -1)
    cells = cells.reshape(-1, 3).astype(float)
    edges = np.array(edges, dtype=float)
    if array == "hexagonal":
        edges[2] = _HEIGHT  # one layer
    places = (cells * edges)[:, None] + np.array(basis, dtype=float)[None]
    if array == "hexagonal":
        places[cells[:, 2] % 2 == 1] += (0.5, math.sqrt(1 / 12), 0.0)
    box = edges * (nx, ny, nz) * spacing
    places = places.reshape(-1, 3) * spacing
    # In the middle of the box, so that few dots are cut by its faces.
    return places + (box - places.max(axis=0)) / 2, box

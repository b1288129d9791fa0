# SPDX-License-Identifier: MIT
"""Random close packing of equal spheres in a periodic box, by growth and repulsion."""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize
from scipy.spatial import cKDTree

from qdml.errors import StructureError

# Random close packing of equal spheres fills 0.64 of space; a small periodic box reaches 0.58 to
# 0.63 this way. The packing fraction that came out is reported.
TARGET_FRACTION = 0.64
N_STEPS = 600


def random_places(n: int, spacing: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Places [n, 3] of `n` dots and the edges [3] of their periodic cube, Å.

    Spheres of random places with soft repulsion are relaxed at TARGET_FRACTION, in units of the
    cube's edge; the cube is then made as large as the nearest pair needs to be `spacing` apart.
    Raises: StructureError when two dots stay on one place.
    """
    rng = np.random.default_rng(seed)
    if n == 1:
        return np.zeros((1, 3)), np.full(3, spacing)
    start = rng.random((n, 3))
    diameter = (6 * TARGET_FRACTION / (np.pi * n)) ** (1 / 3)

    def energy_and_gradient(flat: np.ndarray) -> tuple[float, np.ndarray]:
        places = flat.reshape(n, 3)
        i, j, vector, distance = _neighbours(places, diameter)
        overlap = 1 - distance / diameter
        push = (overlap / (diameter * np.maximum(distance, 1e-12)))[:, None] * vector
        gradient = np.zeros_like(places)
        np.add.at(gradient, i, push)
        np.add.at(gradient, j, -push)
        return float(0.5 * (overlap**2).sum()), gradient.ravel()

    result = minimize(
        energy_and_gradient,
        start.ravel(),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": N_STEPS},
    )
    places = np.mod(result.x.reshape(n, 3), 1.0)
    *_, distance = _neighbours(places, 2 * diameter)
    nearest = min(float(distance.min(initial=1.0)), 1.0)  # 1.0: a dot and its own image
    if nearest < 0.5 * diameter:
        raise StructureError(f"random packing of {n} dots did not spread; choose another seed")
    edge = spacing / nearest
    return places * edge, np.full(3, edge)


def _neighbours(
    places: np.ndarray, cutoff: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Pairs i, j nearer than `cutoff` in the unit cube: vectors j - i to i's image, distances."""
    wrapped = np.mod(places, 1.0)
    tree = cKDTree(wrapped, boxsize=1.0)
    pairs = tree.query_pairs(min(cutoff, 0.5), output_type="ndarray")
    pairs = pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]
    i, j = pairs[:, 0], pairs[:, 1]
    vector = wrapped[j] - wrapped[i]
    vector -= np.round(vector)
    return i, j, vector, np.linalg.norm(vector, axis=1)


def packing_fraction(n: int, spacing: float, box: np.ndarray) -> float:
    """Fraction of the box that `n` spheres of diameter `spacing` fill."""
    return float(n * np.pi / 6 * spacing**3 / np.prod(box))

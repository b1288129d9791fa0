# SPDX-License-Identifier: MIT
"""Shapes of dots: the sphere and polyhedra bounded by lattice planes (Wulff construction)."""

from __future__ import annotations

import itertools
import math
import re

import numpy as np
from scipy.spatial import ConvexHull, HalfspaceIntersection

from qdml.build.materials import nearest_names
from qdml.errors import ConfigError

# Relative distance of each facet family from the center. Signs matter: zinc blende is polar, so
# {111} (cation face, one bond of each cation points out) and {-1-1-1} (anion face) differ.
SHAPES: dict[str, dict[tuple[int, int, int], float]] = {
    "sphere": {},
    "tetrahedron": {(1, 1, 1): 1.0},
    # A tetrahedron whose corners and edges are cut by {100} planes.
    "truncated-tetrahedron": {(1, 1, 1): 1.0, (1, 0, 0): 1.2},
    "octahedron": {(1, 1, 1): 1.0, (-1, -1, -1): 1.0},
    # Vertices (1,1,0): planes x = 1 and x+y+z = 2, the latter at 2/sqrt(3).
    "cuboctahedron": {(1, 0, 0): 1.0, (1, 1, 1): 2 / math.sqrt(3), (-1, -1, -1): 2 / math.sqrt(3)},
    "cube": {(1, 0, 0): 1.0},
}


def parse_facets(text: str) -> dict[tuple[int, int, int], float]:
    """Read `100=1,111=1.1,-1-1-1=1.3` into facet families and relative distances.

    Raises: ConfigError for indices that are not three digits or a distance that is not positive.
    """
    facets: dict[tuple[int, int, int], float] = {}
    for part in filter(None, re.split(r"[,\s]+", text.strip())):
        match = re.fullmatch(r"(-?\d)(-?\d)(-?\d)=([0-9.eE+-]+)", part)
        hkl = tuple(int(x) for x in match.groups()[:3]) if match else (0, 0, 0)
        try:
            distance = float(match.group(4)) if match else 0.0
        except ValueError:
            distance = 0.0
        if hkl == (0, 0, 0) or not 0 < distance < math.inf:
            raise ConfigError(
                f"facets {text!r}: cannot read {part!r}; write families as hkl=distance with a "
                "positive relative distance, for example 100=1,111=1.15,-1-1-1=1.3"
            )
        facets[hkl] = distance
    if not facets:
        raise ConfigError("facets are empty; write for example 100=1,111=1.15")
    return facets


def equivalent_normals(hkl: tuple[int, int, int]) -> np.ndarray:
    """Unit normals [n, 3] of all facets equivalent to `hkl` in point group -43m (zinc blende)."""
    signs = [s for s in itertools.product((1, -1), repeat=3) if math.prod(s) == 1]
    images = {
        tuple(s * p for s, p in zip(sign, perm, strict=True))
        for perm in itertools.permutations(hkl)
        for sign in signs
    }
    normals = np.array(sorted(images), dtype=float)
    return normals / np.linalg.norm(normals, axis=1, keepdims=True)


class Shape:
    """A convex body around the origin, scaled to the volume of a sphere of the given diameter.

    `diameter` in Å is thus the volume-equivalent diameter for every shape.
    """

    def __init__(self, facets: dict[tuple[int, int, int], float], diameter: float) -> None:
        self.radius = diameter / 2
        self.normals = np.zeros((0, 3))
        if facets:
            families = [(equivalent_normals(hkl), d) for hkl, d in facets.items()]
            self.normals = np.concatenate([normals for normals, _ in families])
            distances = np.concatenate([np.full(len(normals), d) for normals, d in families])
            halfspaces = np.column_stack([self.normals, -distances])
            corners = HalfspaceIntersection(halfspaces, np.zeros(3)).intersections
            volume = ConvexHull(corners).volume
            scale = (math.pi / 6 * diameter**3 / volume) ** (1 / 3)
            self.distances = distances * scale
            self.radius = float(np.linalg.norm(corners, axis=1).max() * scale)

    def contains(self, positions: np.ndarray) -> np.ndarray:
        """Mask [n] of the positions [n, 3] (Å) inside or, within 1e-6 Å, on the surface."""
        if len(self.normals):
            return (positions @ self.normals.T <= self.distances + 1e-6).all(axis=1)
        return np.linalg.norm(positions, axis=1) <= self.radius + 1e-6


def find_shape(name: str, facets: str | None, diameter: float) -> Shape:
    """Shape by name, or from a facet list when given.

    Raises: ConfigError for an unknown name (nearest valid one named) or unreadable facets.
    """
    if facets is not None:
        return Shape(parse_facets(facets), diameter)
    if name not in SHAPES:
        hint = nearest_names(name, SHAPES)
        raise ConfigError(f"unknown shape {name!r}{hint} (supported: {', '.join(SHAPES)})")
    return Shape(SHAPES[name], diameter)

# SPDX-License-Identifier: MIT
"""Shapes of dots: the sphere and polyhedra bounded by lattice planes (Wulff construction)."""

from __future__ import annotations

import copy
import itertools
import math
import re

import numpy as np
from scipy.spatial import ConvexHull, HalfspaceIntersection, QhullError

from qdml.build.lattices import Lattice
from qdml.build.materials import nearest_names
from qdml.errors import ConfigError

# Relative distance of each facet family from the center. Signs matter: zinc blende is polar, so
# {111} (cation face, one bond of each cation points out) and {-1-1-1} (anion face) differ.
# The polyhedra have the symmetry -43m, so that a tetrahedron is one in every cubic lattice.
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
# Wurtzite is polar too: (001) shows cations, (00-1) anions. Height about equal to the width.
HEXAGONAL_SHAPES: dict[str, dict[tuple[int, int, int], float]] = {
    "sphere": {},
    "hexagonal-prism": {(1, 0, 0): 1.0, (0, 0, 1): 1.0, (0, 0, -1): 1.0},
}
PLATELET = "platelet"
"""A square (wurtzite: hexagonal) plate whose thickness is given in monolayers."""


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


def equivalent_normals(
    hkl: tuple[int, int, int], group: str = "-43m", vectors: np.ndarray | None = None
) -> np.ndarray:
    """Unit normals [n, 3] of all facets equivalent to `hkl` in a point group.

    Groups: -43m (zinc blende), m-3m (rock salt, perovskite), 6mm (wurtzite, which needs the cell
    `vectors` [3, 3]).
    """
    if group == "6mm":
        return _hexagonal_normals(hkl, vectors)
    signs = itertools.product((1, -1), repeat=3)
    signs = [s for s in signs if group == "m-3m" or math.prod(s) == 1]
    images = {
        tuple(s * p for s, p in zip(sign, perm, strict=True))
        for perm in itertools.permutations(hkl)
        for sign in signs
    }
    normals = np.array(sorted(images), dtype=float)
    return normals / np.linalg.norm(normals, axis=1, keepdims=True)


def _hexagonal_normals(hkl: tuple[int, int, int], vectors: np.ndarray) -> np.ndarray:
    """Six turns about c and the mirror plane through a and c, applied to the normal of hkl."""
    normal = np.linalg.inv(vectors) @ np.asarray(hkl, dtype=float)
    normal /= np.linalg.norm(normal)
    images = []
    for turn in range(6):
        c, s = math.cos(turn * math.pi / 3), math.sin(turn * math.pi / 3)
        for mirror in (1, -1):
            x, y = normal[0], mirror * normal[1]
            images.append((c * x - s * y, s * x + c * y, normal[2]))
    # Adding 0.0 turns -0.0 into 0.0, so that equal normals round to equal numbers.
    return np.unique(np.round(images, 9) + 0.0, axis=0)


def parse_direction(text: str, lattice: Lattice) -> np.ndarray:
    """Unit normal [3] of the plane `100` or `-1-1-1`. Raises: ConfigError for other text."""
    match = re.fullmatch(r"(-?\d)(-?\d)(-?\d)", text.strip())
    hkl = np.array([float(x) for x in match.groups()]) if match else np.zeros(3)
    if not hkl.any():
        raise ConfigError(f"direction {text!r} must be three digits, for example 100 or -1-1-1")
    normal = np.linalg.inv(lattice.vectors) @ hkl
    return normal / np.linalg.norm(normal)


class Shape:
    """A convex body around the origin, scaled to the volume of a sphere of the given diameter.

    `diameter` in Å is thus the volume-equivalent diameter for every shape; a platelet is made by
    `Shape.platelet` instead.
    """

    def __init__(
        self,
        facets: dict[tuple[int, int, int], float],
        diameter: float,
        group: str = "-43m",
        vectors: np.ndarray | None = None,
    ) -> None:
        self.radius = diameter / 2  # reach of the whole shape from the origin
        self.sphere_radius = diameter / 2
        self.normals = np.zeros((0, 3))
        self.thickness: float | None = None
        self.shifts = np.zeros((1, 3))
        self.axis = np.zeros(3)
        self.neck_radius = 0.0
        if facets:
            families = [(equivalent_normals(h, group, vectors), d) for h, d in facets.items()]
            self.normals = np.concatenate([normals for normals, _ in families])
            distances = np.concatenate([np.full(len(normals), d) for normals, d in families])
            halfspaces = np.column_stack([self.normals, -distances])
            try:
                with np.errstate(divide="ignore", invalid="ignore"):  # corners at infinity
                    corners = HalfspaceIntersection(halfspaces, np.zeros(3)).intersections
                is_closed = bool(np.isfinite(corners).all())
            except QhullError:
                is_closed = False
            if not is_closed:
                names = ", ".join("".join(map(str, hkl)) for hkl in facets)
                raise ConfigError(
                    f"facets {names} do not close a body; add a family, for example 00-1 or 100"
                )
            volume = ConvexHull(corners).volume
            scale = (math.pi / 6 * diameter**3 / volume) ** (1 / 3)
            self.distances = distances * scale
            self.radius = float(np.linalg.norm(corners, axis=1).max() * scale)

    @classmethod
    def platelet(cls, lattice: Lattice, width: float, monolayers: int) -> Shape:
        """A plate with its normal along z: `width` Å between opposite sides.

        `thickness` of the result is the distance the outer cation planes must have.
        """
        shape = cls({}, width)
        n_sides = 6 if lattice.group == "6mm" else 4
        # Sides of the hexagon are the {100} faces of wurtzite, whose normals lie at 30 degrees.
        first = math.pi / 6 if n_sides == 6 else 0.0
        angles = first + 2 * math.pi * np.arange(n_sides) / n_sides
        sides = np.column_stack([np.cos(angles), np.sin(angles), np.zeros(n_sides)])
        shape.thickness = lattice.platelet_extent(monolayers)
        half = shape.thickness / 2
        shape.normals = np.concatenate([sides, [[0, 0, 1.0], [0, 0, -1.0]]])
        shape.distances = np.concatenate([np.full(n_sides, width / 2), [half, half]])
        corner = width / 2 / math.cos(math.pi / n_sides)
        shape.radius = math.hypot(corner, half)
        return shape

    def extent(self, axis: np.ndarray) -> float:
        """Distance in Å from the center to the surface along the unit vector `axis` [3]."""
        if not len(self.normals):
            return self.sphere_radius
        slope = self.normals @ axis
        return float((self.distances[slope > 1e-9] / slope[slope > 1e-9]).min())

    def paired(self, axis: np.ndarray, distance: float, neck: float = 0.0) -> Shape:
        """Two of this body, their centers `distance` Å apart along the unit vector `axis` [3].

        A cylinder of diameter `neck` Å joins the centers. The origin is half-way.
        """
        pair = copy.copy(self)
        pair.shifts = np.array([[-0.5], [0.5]]) * distance * axis
        pair.axis, pair.neck_radius = axis, neck / 2
        pair.radius = self.radius + distance / 2
        return pair

    def contains(self, positions: np.ndarray) -> np.ndarray:
        """Mask [n] of the positions [n, 3] (Å) inside or, within 1e-6 Å, on the surface."""
        inside = np.any([self._holds(positions - shift) for shift in self.shifts], axis=0)
        if self.neck_radius > 0:
            along = positions @ self.axis
            across = np.linalg.norm(positions - along[:, None] * self.axis, axis=1)
            half = float(np.linalg.norm(self.shifts[0]))
            inside |= (np.abs(along) <= half) & (across <= self.neck_radius + 1e-6)
        return inside

    def _holds(self, positions: np.ndarray) -> np.ndarray:
        """`contains` of one body around the origin."""
        if len(self.normals):
            return (positions @ self.normals.T <= self.distances + 1e-6).all(axis=1)
        return np.linalg.norm(positions, axis=1) <= self.sphere_radius + 1e-6


def find_shape(
    name: str,
    facets: str | None,
    diameter: float,
    lattice: Lattice,
    monolayers: int | None = None,
) -> Shape:
    """Shape by name, or from a facet list when given.

    Raises: ConfigError for an unknown name (nearest valid one named), unreadable facets, and a
    platelet without `monolayers` or another shape with them.
    """
    if (name == PLATELET and facets is None) != (monolayers is not None):
        raise ConfigError(
            "a platelet needs its thickness as --monolayers (1 or more)"
            if monolayers is None
            else "--monolayers is the thickness of --shape platelet; other shapes have none"
        )
    if facets is not None:
        return Shape(parse_facets(facets), diameter, lattice.group, lattice.vectors)
    if name == PLATELET:
        if not 1 <= monolayers <= 50:
            raise ConfigError(f"monolayers {monolayers} must lie between 1 and 50")
        return Shape.platelet(lattice, diameter, monolayers)
    is_hexagonal = lattice.group == "6mm"
    table = HEXAGONAL_SHAPES if is_hexagonal else SHAPES
    if name not in table:
        supported = [*table, PLATELET]
        hint = nearest_names(name, supported)
        kind = " of wurtzite" if is_hexagonal else ""
        raise ConfigError(f"unknown shape{kind} {name!r}{hint} (supported: {', '.join(supported)})")
    group = lattice.group if is_hexagonal else "-43m"
    return Shape(table[name], diameter, group, lattice.vectors)

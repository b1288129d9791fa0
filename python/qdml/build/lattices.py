# SPDX-License-Identifier: MIT
"""The lattices dots are cut from: sites, bonds, centers, and which surface atoms may stay."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np

from qdml.build.materials import Material


@dataclass(frozen=True)
class Lattice:
    """A lattice with one anion at a fixed offset from every cation; lengths in Å.

    `vectors` [3, 3] rows of the cell, `cations` [n, 3] fractional, `offsets` [k, 3] from a cation
    to its k partner anions (1; the 3 halides of a perovskite).
    `reach` is a distance between the first and the second cation-anion shell, `coordination` the
    anions around a cation inside, `anion_coordination` the cations around an anion.
    An atom stays in a dot with at least `min_cation` core anions, `min_anion` core cations.
    A cation with fewer than `poor` anions and ligands counts against a choice of center.
    `group` names the point group that makes facets equivalent.
    """

    structure: str
    vectors: np.ndarray
    cations: np.ndarray
    offsets: np.ndarray
    reach: float
    coordination: int
    anion_coordination: int
    min_cation: int
    min_anion: int
    poor: int
    group: str
    centers: dict[str, tuple[float, float, float]]
    volume_per_site: float
    monolayer: float

    def sites(self, center: str, radius: float) -> tuple[np.ndarray, np.ndarray]:
        """Cation and anion sites [n, 3], [m, 3] in Å around `center`, past `radius` by a cell."""
        heights = 1 / np.linalg.norm(np.linalg.inv(self.vectors), axis=0)
        ranges = [range(-n, n + 1) for n in np.ceil(radius / heights).astype(int) + 2]
        cells = np.array(list(itertools.product(*ranges)), dtype=float)
        fractional = (cells[:, None] + self.cations[None]).reshape(-1, 3)
        cations = (fractional - np.asarray(self.centers[center])) @ self.vectors
        anions = np.concatenate([cations + offset for offset in self.offsets])
        margin = radius + float(heights.max())
        return tuple(p[np.linalg.norm(p, axis=1) <= margin] for p in (cations, anions))

    def platelet_extent(self, monolayers: int) -> float:
        """Distance in Å between the outer cation planes of a platelet of so many monolayers.

        Zinc blende and wurtzite: a monolayer is one anion plane, and cations close both sides.
        Rock salt and perovskite: a monolayer is one plane of cations (of octahedra).
        """
        is_closed = self.structure in ("zincblende", "wurtzite")
        return (monolayers if is_closed else monolayers - 1) * self.monolayer

    def equivalent_diameter(self, n_sites: int) -> float:
        """Diameter in Å of the sphere with the volume of `n_sites` counted sites."""
        return (6 / math.pi * n_sites * self.volume_per_site) ** (1 / 3)


# Fractional position of the dot's center. Zinc blende and rock salt: cations at (0,0,0).
ZINC_BLENDE_CENTERS = {
    "anion": (0.25, 0.25, 0.25),
    "cation": (0.0, 0.0, 0.0),
    "bond": (0.125, 0.125, 0.125),
    "edge": (0.25, 0.25, 0.0),  # half-way between two neighbouring cations
    "hole": (0.5, 0.5, 0.5),  # empty tetrahedral site among four anions
}
ROCK_SALT_CENTERS = {
    "cation": (0.0, 0.0, 0.0),
    "anion": (0.5, 0.0, 0.0),
    "bond": (0.25, 0.0, 0.0),
    "edge": (0.25, 0.25, 0.0),
    "hole": (0.25, 0.25, 0.25),
}
PEROVSKITE_CENTERS = {
    "cation": (0.0, 0.0, 0.0),  # Pb: cubes of an odd number of cells
    "hole": (0.5, 0.5, 0.5),  # Cs: cubes of an even number of cells
    "bond": (0.5, 0.0, 0.0),
    "edge": (0.5, 0.5, 0.0),
}
WURTZITE_CENTERS = {
    "anion": (1 / 3, 2 / 3, 0.375),
    "cation": (1 / 3, 2 / 3, 0.0),
    "bond": (1 / 3, 2 / 3, 0.1875),
    "hole": (0.0, 0.0, 0.0),  # channel axis through three cations
}
CENTER_NAMES = ("anion", "cation", "bond", "edge", "hole")
"""All names of centers, in the order `auto` tries them: the most symmetric dot first."""

_FACE_CENTERED = np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])


def make_lattice(material: Material, a: float) -> Lattice:
    """The lattice of a material with lattice constant `a` in Å (wurtzite: a; c by `c_over_a`).

    Who may stay at the surface, by structure: zinc blende and wurtzite, a cation with one bond to
    the core is a desorbing MX2 unit, an anion with two is more basic than any that DFT-optimised
    dots keep. Rock salt: the optimised Pb19Se6Cl26 keeps cations with one anion (five ligands
    complete them) and none of the dots keeps an anion with fewer than five cations. Perovskite:
    complete PbX6 octahedra that share at least two corners.
    """
    if material.structure == "wurtzite":
        c = material.c_over_a * a
        return Lattice(
            structure="wurtzite",
            vectors=np.array([[a, 0, 0], [-a / 2, math.sqrt(0.75) * a, 0], [0, 0, c]]),
            cations=np.array([[1 / 3, 2 / 3, 0], [2 / 3, 1 / 3, 0.5]]),
            offsets=np.array([[0, 0, 0.375 * c]]),
            reach=0.45 * math.sqrt(2) * a,  # ideal bond sqrt(3/8) a = 0.612 a, next shell 1.0 a
            coordination=4,
            anion_coordination=4,
            min_cation=2,
            min_anion=3,
            poor=3,
            group="6mm",
            centers=WURTZITE_CENTERS,
            volume_per_site=math.sqrt(0.75) * a * a * c / 4,
            monolayer=c / 2,
        )
    is_zinc_blende = material.structure == "zincblende"
    if is_zinc_blende or material.structure == "rocksalt":
        return Lattice(
            structure=material.structure,
            vectors=a * np.eye(3),
            cations=_FACE_CENTERED,
            offsets=np.full((1, 3), a / 4) if is_zinc_blende else np.array([[a / 2, 0, 0]]),
            # Bonds are sqrt(3)/4 a = 0.433 a and a / 2; the next shells 0.83 a and 0.87 a.
            reach=0.45 * a if is_zinc_blende else 0.6 * a,
            coordination=4 if is_zinc_blende else 6,
            anion_coordination=4 if is_zinc_blende else 6,
            min_cation=2 if is_zinc_blende else 1,
            min_anion=3 if is_zinc_blende else 5,
            poor=3 if is_zinc_blende else 4,
            group="-43m" if is_zinc_blende else "m-3m",
            centers=ZINC_BLENDE_CENTERS if is_zinc_blende else ROCK_SALT_CENTERS,
            volume_per_site=a**3 / 8,
            monolayer=a / 2,
        )
    return Lattice(
        structure="perovskite",
        vectors=a * np.eye(3),
        cations=np.zeros((1, 3)),
        offsets=a / 2 * np.eye(3),
        reach=0.6 * a,  # bond a / 2, next shell 1.12 a
        coordination=6,
        anion_coordination=2,
        min_cation=2,
        min_anion=2,
        poor=6,
        group="m-3m",
        centers=PEROVSKITE_CENTERS,
        volume_per_site=a**3,  # counted by the cations
        monolayer=a,
    )

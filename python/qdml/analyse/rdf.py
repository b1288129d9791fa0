# SPDX-License-Identifier: MIT
"""Distances between elements: neighbours per Å around an atom, without a volume.

A finite dot has no density to divide by, so g(r) is not defined. What is shown is
`n(r) = <dN/dr>`, the mean number of neighbours per Å at distance r of one central atom; its
integral is the running coordination number, and `n(r) / (4 pi r^2)` is the local number density.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from ase import Atoms
from ase.data import chemical_symbols, covalent_radii
from scipy.ndimage import gaussian_filter1d

from qdml.analyse.surface import (
    BOND_FACTOR,
    REGIONS,
    Roles,
    bond_length,
    coordination,
    find_pairs,
)

R_MAX = 8.0
"""Å; not beyond the least vacuum of the reference boxes, so that images do not enter."""

BIN_WIDTH = 0.05
"""Å; a fifth of the width of a first shell at 300 K."""


SMOOTHING = 0.06
"""Å; half the thermal width of a first shell at 300 K, so that peaks keep their shape."""


@dataclass
class Distances:
    """Counts collected over frames; key of the dictionaries: (central, region, neighbour).

    n_centers: (central, region) -> central atoms summed over frames. histogram: counts per bin.
    first_shell: [n, sum, sum of squares] of bonded distances. shortest: 'A-B' -> Å, over all pairs.
    coordination: symbol -> counts of the total coordination number 0 .. 12 over all frames.
    per_frame: symbol -> list over frames of those counts.
    """

    r_max: float = R_MAX
    bin_width: float = BIN_WIDTH
    n_frames: int = 0
    n_centers: dict[tuple[str, str], int] = field(default_factory=dict)
    histogram: dict[tuple[str, str, str], np.ndarray] = field(default_factory=dict)
    first_shell: dict[tuple[str, str, str], np.ndarray] = field(default_factory=dict)
    shortest: dict[str, float] = field(default_factory=dict)
    per_frame: dict[str, list[np.ndarray]] = field(default_factory=dict)
    region_atoms: list[np.ndarray] = field(default_factory=list)

    @property
    def n_bins(self) -> int:
        """Number of distance bins."""
        return round(self.r_max / self.bin_width)

    @property
    def r(self) -> np.ndarray:
        """Bin centres in Å, [n_bins]."""
        return (np.arange(self.n_bins) + 0.5) * self.bin_width

    def density(self, central: str, region: str, neighbour: str) -> np.ndarray:
        """n(r), neighbours per Å of one central atom, [n_bins]; zeros without such atoms."""
        centers = self.n_centers.get((central, region), 0)
        counts = self.histogram.get((central, region, neighbour), np.zeros(self.n_bins))
        return counts / max(centers, 1) / self.bin_width

    def smooth_density(self, central: str, region: str, neighbour: str) -> np.ndarray:
        """n(r) folded with a Gaussian of SMOOTHING Å, for drawing; keeps areas, [n_bins]."""
        density = self.density(central, region, neighbour)
        return gaussian_filter1d(density, SMOOTHING / self.bin_width, mode="nearest")

    def running(self, central: str, region: str, neighbour: str) -> np.ndarray:
        """Neighbours within the upper edge of each bin, [n_bins]."""
        return np.cumsum(self.density(central, region, neighbour)) * self.bin_width

    def shell(self, central: str, region: str, neighbour: str) -> dict[str, float] | None:
        """Mean, standard deviation (Å) and number per atom of the bonded neighbours, or None."""
        moments = self.first_shell.get((central, region, neighbour))
        centers = self.n_centers.get((central, region), 0)
        if moments is None or not moments[0] or not centers:
            return None
        n, total, squares = moments
        mean = total / n
        sd = float(np.sqrt(max(squares / n - mean**2, 0.0)))
        return {"mean": float(mean), "sd": sd, "neighbours_per_atom": float(n / centers)}

    def coordination_shares(self, symbol: str) -> np.ndarray:
        """Share of each total coordination number 0 .. 12 of an element, [13]."""
        counts = np.sum(self.per_frame[symbol], axis=0)
        return counts / max(counts.sum(), 1)


def collect(frames: Iterable[Atoms], roles: Roles | None, r_max: float = R_MAX) -> Distances:
    """Collect distances of all frames; without roles every atom counts as region 'core'."""
    result = Distances(r_max=r_max)
    for atoms in frames:
        _add_frame(result, atoms, roles)
    return result


def _add_frame(result: Distances, atoms: Atoms, roles: Roles | None) -> None:
    pairs = find_pairs(atoms, result.r_max)
    symbols = sorted(set(atoms.symbols))
    if roles is None:
        region = np.zeros(len(atoms), dtype=int)
    else:
        found = coordination(atoms, pairs, roles)
        region = found.region
        total = np.minimum(found.lattice + found.ligand, 12)
        for symbol in (*roles.cations, *roles.anions):
            counts = np.bincount(total[atoms.symbols == symbol], minlength=13)
            result.per_frame.setdefault(symbol, []).append(counts)
    result.n_frames += 1
    result.region_atoms.append(np.bincount(region, minlength=len(REGIONS)))
    bins = np.minimum((pairs.distance / result.bin_width).astype(int), result.n_bins - 1)
    zi, zj, region_i = atoms.numbers[pairs.i], atoms.numbers[pairs.j], region[pairs.i]
    radii = covalent_radii
    for a in symbols:
        number_a = chemical_symbols.index(a)
        for index, name in enumerate(REGIONS):
            centers = int(np.sum((atoms.numbers == number_a) & (region == index)))
            if centers:
                key = (a, name)
                result.n_centers[key] = result.n_centers.get(key, 0) + centers
        for b in symbols:
            number_b = chemical_symbols.index(b)
            chosen = (zi == number_a) & (zj == number_b)
            if not chosen.any():
                continue
            reach = BOND_FACTOR * (radii[number_a] + radii[number_b])
            _add_pair(result, a, b, pairs.distance[chosen], bins[chosen], region_i[chosen], reach)


def _add_pair(
    result: Distances,
    a: str,
    b: str,
    distance: np.ndarray,
    bins: np.ndarray,
    region: np.ndarray,
    reach: float,
) -> None:
    if a <= b:
        name = f"{a}-{b}"
        result.shortest[name] = min(result.shortest.get(name, np.inf), float(distance.min()))
    for index in np.unique(region):
        key = (a, REGIONS[index], b)
        here = region == index
        counts = np.bincount(bins[here], minlength=result.n_bins)
        result.histogram[key] = result.histogram.get(key, 0) + counts
        bonded = distance[here & (distance < reach)]
        moments = np.array([len(bonded), bonded.sum(), (bonded**2).sum()])
        result.first_shell[key] = result.first_shell.get(key, 0) + moments


def overlap(one: np.ndarray, two: np.ndarray) -> float | None:
    """Shared area of two distributions on one grid after both are scaled to area 1, 0 .. 1.

    None where one of them is empty. It says how alike shapes are; compare numbers of neighbours
    with the running coordination numbers.
    """
    if not one.sum() or not two.sum():
        return None
    return float(np.minimum(one / one.sum(), two / two.sum()).sum())


def first_shell_limit(a: str, b: str) -> float:
    """Upper end in Å of the distances called bonded, the limit of `overlap` comparisons."""
    return bond_length(a, b)

# SPDX-License-Identifier: MIT
"""Which element sits on which site: pure materials, random alloys, core/shell dots."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from qdml.build.charges import OXIDATION
from qdml.build.core import Core
from qdml.build.ligands import share_out
from qdml.build.materials import Material


@dataclass(frozen=True)
class Elements:
    """Symbols of the core's cations, large cations and anions, in the order of `Core`."""

    cations: tuple[str, ...]
    a_sites: tuple[str, ...]
    anions: tuple[str, ...]

    @property
    def symbols(self) -> list[str]:
        """All symbols in the order of `Core.positions`."""
        return [*self.cations, *self.a_sites, *self.anions]

    @property
    def charge(self) -> int:
        """Sum of oxidation numbers, e."""
        return sum(OXIDATION[symbol] for symbol in self.symbols)


def deal(n: int, shares: tuple[tuple[str, float], ...], rng: np.random.Generator) -> list[str]:
    """`n` symbols in random order with exact counts (largest remainder)."""
    if len(shares) == 1:
        return [shares[0][0]] * n
    counts = share_out(n, [share for _, share in shares])
    symbols = [s for (s, _), count in zip(shares, counts, strict=True) for _ in range(count)]
    return [symbols[k] for k in rng.permutation(n)]


def assign_elements(
    core: Core,
    material: Material,
    rng: np.random.Generator,
    inner: Core | None = None,
    inner_material: Material | None = None,
) -> Elements:
    """Elements on the sites of a core; sites that `inner` occupies take `inner_material`.

    Where core and shell differ in valence (InP/ZnSe) the inner cations with the fewest inner
    anions become shell cations until the inner part is neutral by itself: an interface of mixed
    In-Se and Zn-P bonds instead of a charged core.
    """
    if inner is None or inner_material is None:
        return Elements(
            tuple(deal(len(core.cations), material.cations, rng)),
            (material.a_site or "",) * len(core.a_sites),
            tuple(deal(len(core.anions), material.anions, rng)),
        )
    in_cations = _occupied(core.cations, inner.cations)
    in_anions = _occupied(core.anions, inner.anions)
    if inner_material.cation_charge != material.cation_charge:
        n_kept = -inner_material.anion_charge * int(in_anions.sum()) // inner_material.cation_charge
        i, j = core.bonds.T
        bound = np.bincount(i[in_anions[j]], minlength=len(core.cations))
        inside = np.flatnonzero(in_cations)
        poorest = inside[np.lexsort((rng.permutation(len(inside)), bound[inside]))]
        in_cations[poorest[: max(0, len(inside) - n_kept)]] = False
    return Elements(
        tuple(_mixed(in_cations, inner_material.cations, material.cations, rng)),
        (),
        tuple(_mixed(in_anions, inner_material.anions, material.anions, rng)),
    )


def _mixed(
    is_inner: np.ndarray,
    inner: tuple[tuple[str, float], ...],
    outer: tuple[tuple[str, float], ...],
    rng: np.random.Generator,
) -> list[str]:
    result = np.empty(len(is_inner), dtype=object)
    result[is_inner] = deal(int(is_inner.sum()), inner, rng)
    result[~is_inner] = deal(int((~is_inner).sum()), outer, rng)
    return result.tolist()


def _occupied(sites: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Mask of the sites [n, 3] that coincide with one of `others` (same lattice, Å)."""
    if len(others) == 0 or len(sites) == 0:
        return np.zeros(len(sites), dtype=bool)
    distance, _ = cKDTree(others).query(sites)
    return distance < 0.01

# SPDX-License-Identifier: MIT
"""Tune the stoichiometry of a cut core: leave out surface cations (Z type) or surface anions."""

from __future__ import annotations

import numpy as np

from qdml.build.core import Core, Site, largest_fragment
from qdml.errors import StructureError


def remove_cations(core: Core, n: int, rng: np.random.Generator) -> Core:
    """Take `n` cations off the surface; with the X ligands they needed they are MX2 units.

    First those with the fewest core anions and, among these, those whose anions keep the most
    cations, so that the vacancies spread; equals are decided by `rng`. The balance counted
    afterwards asks for fewer ligands by the cation's charge, so each unit leaves neutrally
    (Z-type loss). Raises: StructureError when the core would fall apart.
    """
    return _remove(core, n, rng, side=0)


def remove_anions(core: Core, n: int, rng: np.random.Generator) -> Core:
    """Take `n` anions with missing neighbours off the surface, in the order of `remove_cations`.

    The balance then asks for more X ligands by the anion's charge: P becomes 3 Cl, as in the
    library dot In107P73Cl102, Se becomes 2.
    """
    return _remove(core, n, rng, side=1)


def _remove(core: Core, n: int, rng: np.random.Generator, side: int) -> Core:
    """Remove `n` cations (side 0) or anions (side 1) and their bonds."""
    if n == 0:
        return core
    sizes = len(core.cations), len(core.anions)
    full = core.coordination if side == 0 else core.anion_coordination
    keep = [np.ones(size, dtype=bool) for size in sizes]
    tie_break = rng.permutation(sizes[side])
    for _ in range(n):
        bonds = core.bonds[keep[0][core.bonds[:, 0]] & keep[1][core.bonds[:, 1]]]
        own = np.bincount(bonds[:, side], minlength=sizes[side])
        other = np.bincount(bonds[:, 1 - side], minlength=sizes[1 - side])
        partners = np.bincount(bonds[:, side], other[bonds[:, 1 - side]], sizes[side])
        candidates = np.flatnonzero(keep[side] & (own < full) & (own > 0))
        if len(candidates) == 0:
            kind = ("cation", "anion")[side]
            raise StructureError(
                f"cannot remove {n} {kind}s: only {int((~keep[side]).sum())} lie at the surface; "
                "ask for fewer"
            )
        order = np.lexsort(
            (
                tie_break[candidates],
                -partners[candidates] / own[candidates],
                own[candidates],
            )
        )
        keep[side][candidates[order[0]]] = False
    whole = largest_fragment(core.bonds[:, 0], core.bonds[:, 1], *keep)
    if any((a != b).any() for a, b in zip(whole, keep, strict=True)):
        raise StructureError(
            f"removing {n} {('cation', 'anion')[side]}s leaves atoms without a bond; ask for fewer"
        )
    return _subset(core, *keep)


def _subset(core: Core, keep_cation: np.ndarray, keep_anion: np.ndarray) -> Core:
    """The core of the kept atoms; anions left out become sites."""
    row_cation, row_anion = np.cumsum(keep_cation) - 1, np.cumsum(keep_anion) - 1
    i, j = core.bonds.T
    bonded = keep_cation[i] & keep_anion[j]
    sites = [
        Site(site.position, tuple(int(row_cation[c]) for c in site.cations if keep_cation[c]))
        for site in core.sites
    ]
    for anion in np.flatnonzero(~keep_anion):
        cations = [int(row_cation[c]) for c in i[j == anion] if keep_cation[c]]
        sites.append(Site(core.anions[anion], tuple(cations)))
    return Core(
        core.cations[keep_cation],
        core.anions[keep_anion],
        np.column_stack([row_cation[i[bonded]], row_anion[j[bonded]]]),
        tuple(site for site in sites if site.cations),
        core.coordination,
        core.anion_coordination,
        n_pruned=core.n_pruned,
    )

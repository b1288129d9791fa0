# SPDX-License-Identifier: MIT
"""Choose which surface sites the ligands take: exact charge balance, even coordination."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np

from qdml.build.core import Core
from qdml.build.elements import Elements
from qdml.build.ligands import Ligand, share_out
from qdml.errors import StructureError

# Weight of the repulsion between ligands (1/r, Å) against one missing bond: small, so that it only
# decides between choices that coordinate the cations equally well.
SPREAD = 0.05
# Random exchanges tried per ligand after the greedy choice.
SWAPS_PER_LIGAND = 40


@dataclass(frozen=True)
class Placement:
    """One ligand on one surface site, bound to `cations` (rows of Core.cations)."""

    ligand: Ligand
    site: int
    cations: tuple[int, ...]
    is_shared_site: bool = False  # another ligand points to the same empty anion site
    a_site: int | None = None  # row of Core.a_sites, later of Core.ligand_a_sites


def balance(core: Core, elements: Elements) -> int:
    """Number of X-type ligands (charge -1) that makes the dot neutral by oxidation numbers.

    Raises: StructureError when the core is anion-rich or has fewer dangling bonds than needed.
    """
    n = elements.charge
    counts = Counter(elements.symbols)
    formula = "".join(f"{symbol}{count}" for symbol, count in counts.items())
    dangling = sum(len(site.cations) for site in core.sites)
    if n < 0:
        raise StructureError(
            f"impossible charge balance: the core {formula} has formal charge {n:+d}, anion-rich, "
            "and anionic ligands cannot neutralise it; choose another center, shape or diameter "
            "(shapes with large {-1-1-1} faces are anion-rich)"
        )
    if n > dangling:
        raise StructureError(
            f"impossible charge balance: the core {formula} needs {n} anionic ligands but its "
            f"cations have {dangling} dangling bonds; choose another center, shape or diameter"
        )
    return n


def place_x_type(
    core: Core, n_ligands: int, amounts: list[tuple[Ligand, float]], rng: np.random.Generator
) -> list[Placement]:
    """Put `n_ligands` anions on empty anion sites.

    One ligand per site bridges all cations that point there. Sites are chosen to minimise
    sum over cations of (full - coordination)^2 (full as in the crystal) plus a weak ligand-ligand
    repulsion: greedily, then by random exchanges. If ligands outnumber the sites, sites shared by
    several cations take one ligand per cation. Ligand kinds are dealt out at random in the given
    shares.
    """
    taken = _choose_sites(core, min(n_ligands, len(core.sites)), rng)
    extra = n_ligands - len(taken)
    split = _split_sites(core, extra, rng) if extra else {}
    groups: list[tuple[int, tuple[int, ...], bool]] = []
    for k in taken:
        cations = core.sites[k].cations
        for part in _groups(cations, 1 + split.get(k, 0)):
            groups.append((k, part, k in split))
    counts = share_out(n_ligands, [amount for _, amount in amounts])
    kinds = [ligand for (ligand, _), n in zip(amounts, counts, strict=True) for _ in range(n)]
    order = rng.permutation(n_ligands)
    return [bind(kinds[o], *group) for o, group in zip(order, groups, strict=True)]


def bind(
    ligand: Ligand, site: int, cations: tuple[int, ...], is_shared_site: bool = False
) -> Placement:
    """A placement that binds no more cations than a ligand of two donors can bridge."""
    if ligand.n_donors == 2:
        cations = cations[: 1 if ligand.mode == "chelating" else 2]
    return Placement(ligand, site, cations, is_shared_site)


def place_l_type(
    core: Core,
    placements: list[Placement],
    amounts: list[tuple[Ligand, float]],
    rng: np.random.Generator,
) -> list[Placement]:
    """Put neutral donors on a fraction of the sites that stay empty, one cation each."""
    if not amounts:
        return []
    used = {p.site for p in placements}
    coordination = total_coordination(core, placements)
    added: list[Placement] = []
    for ligand, fraction in amounts:
        free = [k for k in range(len(core.sites)) if k not in used]
        n_wanted = round(fraction * len(free))
        for k in rng.permutation(free)[:n_wanted].tolist():
            cations = core.sites[k].cations
            poorest = min(cations, key=lambda c: (coordination[c], c))
            coordination[poorest] += 1
            added.append(Placement(ligand, k, (poorest,)))
            used.add(k)
    return added


def place_a_type(
    core: Core, amounts: list[tuple[Ligand, float]], rng: np.random.Generator
) -> list[Placement]:
    """Put ammonium ligands on a fraction of the surface sites of the large cations (Cs)."""
    surface = np.flatnonzero(core.a_neighbours < core.a_neighbours_inside)
    free = rng.permutation(surface)
    added: list[Placement] = []
    for ligand, fraction in amounts:
        n = min(round(fraction * len(surface)), len(free))
        added += [Placement(ligand, -1, (), a_site=int(k)) for k in free[:n]]
        free = free[n:]
    return added


def total_coordination(core: Core, placements: list[Placement]) -> np.ndarray:
    """Core anions plus bound ligands around each cation, [n_cations]."""
    coordination = core.cation_neighbours.copy()
    for placement in placements:
        for c in placement.cations:
            coordination[c] += 1
    return coordination


def _choose_sites(core: Core, n: int, rng: np.random.Generator) -> list[int]:
    """Rows of `core.sites`, `n` of them, sorted."""
    n_sites = len(core.sites)
    if n == n_sites:
        return list(range(n_sites))
    positions = np.array([site.position for site in core.sites])
    distance = np.linalg.norm(positions[:, None] - positions[None], axis=-1)
    np.fill_diagonal(distance, np.inf)
    repulsion = SPREAD / distance
    deficit = core.coordination - core.cation_neighbours
    chosen = np.zeros(n_sites, dtype=bool)
    field = np.zeros(n_sites)  # repulsion each site feels from the chosen ones

    def gain(k: int) -> float:
        """Drop of the cost when site k is filled now; (d)^2 - (d-1)^2 = 2d - 1."""
        return sum(2 * deficit[c] - 1 for c in core.sites[k].cations) - field[k]

    def change(k: int, sign: int) -> None:
        chosen[k] = sign > 0
        field[:] += sign * repulsion[k]
        for c in core.sites[k].cations:
            deficit[c] -= sign

    tie_break = rng.permutation(n_sites)
    for _ in range(n):
        gains = np.array([-np.inf if chosen[k] else gain(k) for k in range(n_sites)])
        best = np.flatnonzero(gains > gains.max() - 1e-9)
        change(best[np.argmin(tie_break[best])], +1)
    for _ in range(SWAPS_PER_LIGAND * n):
        out = rng.choice(np.flatnonzero(chosen))
        new = rng.choice(np.flatnonzero(~chosen))
        change(out, -1)
        if gain(new) > gain(out) + 1e-9:
            change(new, +1)
        else:
            change(out, +1)
    return np.flatnonzero(chosen).tolist()


def _split_sites(core: Core, extra: int, rng: np.random.Generator) -> dict[int, int]:
    """Sites that take more than one ligand: site -> number of extra ligands, `extra` in all.

    The cations that share already split sites come last, so that crowding spreads evenly.
    """
    crowding = np.zeros(len(core.cations))
    split: dict[int, int] = {}
    tie_break = rng.permutation(len(core.sites))
    for _ in range(extra):
        room = [k for k, s in enumerate(core.sites) if split.get(k, 0) + 1 < len(s.cations)]
        best = min(
            room,
            key=lambda k: (
                split.get(k, 0),
                crowding[list(core.sites[k].cations)].sum(),
                tie_break[k],
            ),
        )
        split[best] = split.get(best, 0) + 1
        crowding[list(core.sites[best].cations)] += 1
    return split


def _groups(cations: tuple[int, ...], n: int) -> list[tuple[int, ...]]:
    """Deal the cations of one site to `n` ligands, at least one each."""
    return [cations[k::n] for k in range(n)]

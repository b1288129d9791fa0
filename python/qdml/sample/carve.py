# SPDX-License-Identifier: MIT
"""Cut a small neutral cluster around one atom of a dot too large for DFT.

The cut follows the rules of the builder. Of a zinc-blende, wurtzite or rock-salt dot the cations
nearest to the center stay, with every anion that keeps most of its cations and every ligand bound
to a kept cation, as a whole. Anion sites that lose their anion are capped with a halide, as many as
make the oxidation numbers sum to zero (`qdml.build.charges`). Of a halide perovskite the octahedra
nearest to the center stay whole, with the A cations nearest to them that make the sum zero.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers, covalent_radii

from qdml.analyse.surface import BOND_FACTOR, Roles, bonded_labels, find_roles
from qdml.build.charges import HALIDES, OXIDATION
from qdml.build.distances import min_distance
from qdml.build.reading import molecule_charge, molecules_of
from qdml.errors import StructureError

KEPT_SHARE = 0.6
"""An anion stays when it keeps this part of its cations: 3 of 4, 4 of 6, or 2 of 2 at a surface."""

PEROVSKITE = Roles(("Pb", "Sn"), tuple(sorted(HALIDES)), (), 6)


@dataclass(frozen=True)
class Carved:
    """A cluster: `atoms` without cell, and the number in the parent of each atom, -1 for caps.

    center: the atom of the cluster the cut was made around. n_caps: halides that were added.
    """

    atoms: Atoms
    parent: np.ndarray
    center: int
    n_caps: int


def carve(parent: Atoms, center: int, max_atoms: int, cap: str | None = None) -> Carved:
    """The largest neutral cluster of at most `max_atoms` atoms around atom `center`.

    `cap` is the halide put where anions are cut off: by default the one the parent has most of,
    else Cl. Periodic parents are unwrapped about the center. info `charge` is 0 and array
    `parent_index` the number in the parent, -1 for caps. Raises StructureError where no such
    cluster exists: no lattice the rules know, or max_atoms too small for the nearest shell.
    """
    atoms = _unwrapped(parent, center)
    symbols = set(atoms.symbols)
    roles, is_perovskite = find_roles(symbols), False
    if (roles is None or roles.cage) and symbols & {*PEROVSKITE.cations} and symbols & HALIDES:
        roles, is_perovskite = PEROVSKITE, True
    if roles is None:
        raise StructureError(
            f"{parent.get_chemical_formula()} has no lattice of cations and anions to cut; label "
            "it whole (--max-atoms), or leave it out"
        )
    cap = cap or _usual_cap(atoms)
    if OXIDATION.get(cap) != -1:
        raise StructureError(f"cap '{cap}' is not a halide; choose F, Cl, Br or I")
    cut = _Cut(atoms, center, roles, is_perovskite, cap)
    best = None
    for n_cations in range(1, min(len(cut.cations), max_atoms) + 1):
        found = cut.cluster(n_cations, max_atoms)
        if found is not None and len(found[0]) <= max_atoms and center in found[1]:
            best = found
    if best is None:
        raise StructureError(
            f"no neutral cluster of at most {max_atoms} atoms around atom {center} "
            f"({atoms.symbols[center]}) of {parent.get_chemical_formula()}; raise --max-atoms"
        )
    cluster, rows = best
    cluster.arrays["parent_index"] = rows
    cluster.info["charge"] = 0
    return Carved(cluster, rows, int(np.flatnonzero(rows == center)[0]), int((rows < 0).sum()))


def _usual_cap(atoms: Atoms) -> str:
    counts = {s: int((atoms.symbols == s).sum()) for s in sorted(HALIDES)}
    most = max(counts, key=counts.__getitem__)
    return most if counts[most] else "Cl"


def _unwrapped(parent: Atoms, center: int) -> Atoms:
    """Every atom at its image nearest to the center, without cell."""
    vectors = parent.get_distances(
        center, np.arange(len(parent)), mic=bool(parent.pbc.any()), vector=True
    )
    return Atoms(parent.numbers, vectors)


class _Cut:
    """One parent, its bonds and what each number of cations makes of it."""

    def __init__(
        self, atoms: Atoms, center: int, roles: Roles, is_perovskite: bool, cap: str
    ) -> None:
        self.atoms, self.center, self.roles, self.cap = atoms, center, roles, cap
        self.is_perovskite = is_perovskite
        self.symbols = np.array(atoms.get_chemical_symbols())
        self.distance = np.linalg.norm(atoms.positions - atoms.positions[center], axis=1)
        molecule = molecules_of(atoms)
        is_cation = np.isin(self.symbols, roles.cations)
        is_anion = np.isin(self.symbols, roles.anions)
        if not is_perovskite:
            is_anion &= molecule < 0
        self.cations = _by_distance(np.flatnonzero(is_cation), self.distance)
        self.anions = np.flatnonzero(is_anion)
        self.partners = {int(a): self._bonded(int(a), self.cations) for a in self.anions}
        other = ~is_cation & ~is_anion
        groups = np.unique(molecule[other & (molecule >= 0)])
        self.molecules = [np.flatnonzero((molecule == k) & ~is_anion) for k in groups]
        self.molecules += [np.array([i]) for i in np.flatnonzero(other & (molecule < 0))]
        self.charges = [self._charge(m) for m in self.molecules]
        self.bound = [
            set().union(*(self._bonded(int(i), self.cations) for i in m)) for m in self.molecules
        ]

    def _charge(self, rows: np.ndarray) -> int:
        names = self.symbols[rows].tolist()
        return (
            OXIDATION[names[0]]
            if len(names) == 1 and names[0] in OXIDATION
            else (molecule_charge(names))
        )

    def _bonded(self, i: int, others: np.ndarray) -> set[int]:
        radii = covalent_radii[self.atoms.numbers]
        near = np.linalg.norm(self.atoms.positions[others] - self.atoms.positions[i], axis=1)
        return set(others[near < BOND_FACTOR * (radii[i] + radii[others])].tolist())

    def cluster(self, n_cations: int, max_atoms: int) -> tuple[Atoms, np.ndarray] | None:
        """The neutral cluster of the nearest cations and the parent row of each atom, or None."""
        kept = set(self.cations[:n_cations].tolist())
        share = 1.0 if self.is_perovskite else math.ceil(KEPT_SHARE * self.roles.full)
        anions = [
            a
            for a, cations in self.partners.items()
            if (cations & kept if self.is_perovskite else self._stays(cations, kept, share))
        ]
        rows = [*sorted(kept), *anions]
        charge = sum(OXIDATION[self.symbols[i]] for i in rows)
        chosen = (
            [] if self.is_perovskite else [k for k, bound in enumerate(self.bound) if bound & kept]
        )
        charge += sum(self.charges[k] for k in chosen)
        if self.is_perovskite:
            chosen = self._balance_cations(rows, -charge)
            if chosen is None:
                return None
            charge += sum(self.charges[k] for k in chosen)
        # too many anionic ligands for the cations that are left: the farthest ones stay behind
        far = sorted(chosen, key=lambda k: self.distance[self.molecules[k]].min(), reverse=True)
        while charge < 0 and any(self.charges[k] == -1 for k in far):
            gone = next(k for k in far if self.charges[k] == -1)
            far.remove(gone)
            chosen.remove(gone)
            charge += 1
        rows += [int(i) for k in chosen for i in self.molecules[k]]
        if charge < 0 or len(rows) + charge > max_atoms:
            return None
        caps = self._caps(kept, set(anions), rows, charge)
        if caps is None:
            return None
        positions = np.concatenate([self.atoms.positions[rows], np.reshape(caps, (-1, 3))])
        cluster = Atoms([*self.symbols[rows], *[self.cap] * len(caps)], positions)
        if bonded_labels(cluster).max() > 0 and not self.is_perovskite:
            return None
        return cluster, np.array([*rows, *[-1] * len(caps)])

    @staticmethod
    def _stays(cations: set[int], kept: set[int], share: float) -> bool:
        return len(cations & kept) >= share or (len(cations) > 1 and cations <= kept)

    def _balance_cations(self, rows: Sequence[int], needed: int) -> list[int] | None:
        """Numbers of the A cations nearest to the cluster whose charges sum to `needed`."""
        own = self.atoms.positions[list(rows)]
        candidates = [k for k, charge in enumerate(self.charges) if charge == 1]
        reach = {
            k: np.linalg.norm(own[:, None] - self.atoms.positions[self.molecules[k]], axis=-1).min()
            for k in candidates
        }
        candidates.sort(key=lambda k: (round(reach[k], 1), self.distance[self.molecules[k]].min()))
        return candidates[:needed] if 0 <= needed <= len(candidates) else None

    def _caps(
        self, kept: set[int], anions: set[int], rows: Sequence[int], n_caps: int
    ) -> list[np.ndarray] | None:
        """Positions of the halides at cut anion sites, bridging ones first, or None."""
        sites = [
            (sorted(cations & kept), a)
            for a, cations in self.partners.items()
            if a not in anions and cations & kept
        ]
        sites.sort(key=lambda site: (-len(site[0]), self.distance[site[1]]))
        names, places = self.symbols[list(rows)].tolist(), [*self.atoms.positions[list(rows)]]
        caps: list[np.ndarray] = []
        for cations, anion in sites:
            if len(caps) == n_caps:
                break
            place = self._cap_position(cations, anion)
            clear = [
                np.linalg.norm(np.array(places)[k] - place) >= min_distance(self.cap, name)
                for k, name in enumerate(names)
            ]
            if all(clear):
                caps.append(place)
                names.append(self.cap)
                places.append(place)
        return caps if len(caps) == n_caps else None

    def _cap_position(self, cations: list[int], anion: int) -> np.ndarray:
        """On the line from the middle of the cations to the cut anion, at bond length from them."""
        metal = self.atoms.positions[cations]
        middle = metal.mean(axis=0)
        outward = self.atoms.positions[anion] - middle
        outward /= np.linalg.norm(outward)
        numbers = self.atoms.numbers[cations]
        bond = float((covalent_radii[numbers] + covalent_radii[atomic_numbers[self.cap]]).mean())
        spread = float((np.linalg.norm(metal - middle, axis=1) ** 2).mean())
        return middle + math.sqrt(max(bond**2 - spread, 0.25 * bond**2)) * outward


def _by_distance(rows: np.ndarray, distance: np.ndarray) -> np.ndarray:
    return rows[np.argsort(distance[rows], kind="stable")]

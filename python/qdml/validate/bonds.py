# SPDX-License-Identifier: MIT
"""Bonds of a dot over a run: which hold, which atoms leave the dot, what is broken and made.

One cut makes a bond of every thermal vibration across it. As in the stable-states picture of Laage
and Hynes (2008, doi:10.1021/jp802033r) a bond forms below one distance and breaks above a longer
one; and as in the residence times of Impey, Madden and McDonald (1983, doi:10.1021/j150643a008) an
atom that comes back before a stated time has not left.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from ase import Atoms
from ase.data import covalent_radii
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from qdml.analyse.surface import BOND_FACTOR, Roles, find_pairs
from qdml.build.charges import OXIDATION

FORMS = BOND_FACTOR
"""A bond forms below this times the sum of the covalent radii, as everywhere in qdml."""

BREAKS = 1.5
"""A bond breaks above this times the sum of the covalent radii: Pb-Se 3.99 A, Cd-Se 3.96 A. At
500 K the bonds of rock salt PbSe (mean 1.17, tail to 1.5) stay whole, and the second shells (from
1.4 in zinc blende, 1.7 in rock salt) do not begin below FORMS."""

AWAY = 1.0
"""ps: an atom that is away from the dot for this long is lost. Some periods of its vibration
against the surface (100 cm-1 is 0.33 ps), and short against a run."""

PART = 0.2
"""Part of a run at its begin and at its end whose bonds are compared."""

HELD = 0.9
"""A bond is there in a part of a run when it holds in this share of its frames, and not there when
it holds in at most 1 - HELD; what comes and goes is neither."""

CONTACT = 4.0
"""A; pairs to look for the shortest distance in."""


class Contact(NamedTuple):
    """The closest two atoms: their distance over the sum of the covalent radii, their elements."""

    ratio: float = np.inf
    pair: str = ""


@dataclass(frozen=True)
class History:
    """Bonds of one run of the same atoms.

    numbers [n_atoms] atomic numbers; pairs [n_pairs, 2] atoms i < j that are bonded at any time;
    bonded [n_frames, n_pairs]; detached [n_frames, n_atoms]: not held to the dot by bonds, in that
    frame. shortest: the closest two atoms that bond, of any frame; shortest_like: of all others,
    two cations or two anions, whose covalent radii say little (Cs 2.44 A, Shannon's Cs+ 1.67 A).
    """

    numbers: np.ndarray
    pairs: np.ndarray
    bonded: np.ndarray
    detached: np.ndarray
    shortest: Contact
    shortest_like: Contact

    @property
    def symbols(self) -> np.ndarray:
        """Chemical symbols, [n_atoms]."""
        return np.array(Atoms(self.numbers).get_chemical_symbols())

    def every(self, stride: int) -> History:
        """Every `stride`-th frame; the shortest distance stays that of all."""
        return replace(self, bonded=self.bonded[::stride], detached=self.detached[::stride])


def follow(frames: Sequence[Atoms], start: Atoms | None = None) -> History:
    """Follow the bonds of a run; `start` is a structure of the same atoms before its first frame.

    Bonds are pairs of unlike formal charge and pairs of a ligand's own atoms (C, H, N, O, S): two
    cations or two anions do not hold a dot together. What is between both cuts in the very first
    structure is not bonded. The dot is the largest piece of the first frame, then in each frame
    the piece with most of its atoms.
    """
    n = len(frames[0])
    numbers = frames[0].numbers
    bonds: list[np.ndarray] = []
    detached = np.zeros((len(frames), n), dtype=bool)
    before = np.empty(0, dtype=np.int64) if start is None else _bonds(start)[0]
    dot = np.ones(n, dtype=bool)
    shortest, shortest_like = Contact(), Contact()
    for k, atoms in enumerate(frames):
        forms, holds, *contacts = _bonds(atoms)
        before = np.union1d(forms, np.intersect1d(before, holds, assume_unique=True))
        bonds.append(before)
        piece = _pieces(before // n, before % n, n)
        dot = piece == np.bincount(piece[dot]).argmax()
        detached[k] = ~dot
        shortest, shortest_like = map(min, (shortest, shortest_like), contacts)
    every = np.unique(np.concatenate(bonds))
    bonded = np.array([np.isin(every, one, assume_unique=True) for one in bonds])
    pairs = np.column_stack([every // n, every % n])
    return History(numbers, pairs, bonded, detached, shortest, shortest_like)


def _bonds(atoms: Atoms) -> tuple[np.ndarray, np.ndarray, Contact, Contact]:
    """Pairs i < j within FORMS and BREAKS as sorted i n + j; closest that bond, closest others."""
    radii, n = covalent_radii[atoms.numbers], len(atoms)
    found = find_pairs(atoms, max(2 * BREAKS * float(radii.max()), CONTACT))
    once = found.i < found.j
    i, j = found.i[once], found.j[once]
    ratio = found.distance[once] / (radii[i] + radii[j])
    charge = np.array([np.sign(OXIDATION.get(s, 0)) for s in atoms.get_chemical_symbols()])
    unlike = charge[i] * charge[j] <= 0
    key = i * n + j
    forms, holds = (np.unique(key[unlike & (ratio < cut)]) for cut in (FORMS, BREAKS))
    contacts = []
    for k in (np.flatnonzero(unlike), np.flatnonzero(~unlike)):
        if not len(k):
            contacts.append(Contact())
            continue
        least = k[ratio[k].argmin()]
        names = f"{atoms.symbols[i[least]]}-{atoms.symbols[j[least]]}"
        contacts.append(Contact(float(ratio[least]), names))
    return forms, holds, contacts[0], contacts[1]


def _pieces(i: np.ndarray, j: np.ndarray, n: int) -> np.ndarray:
    """Number of the connected piece of each atom, [n]."""
    return connected_components(coo_array((np.ones(len(i)), (i, j)), (n, n)), directed=False)[1]


@dataclass(frozen=True)
class Losses:
    """Atoms that left: lost [n_atoms], for at least `window` ps; `since` ps, None without any."""

    window: float
    lost: np.ndarray
    since: float | None


def find_losses(detached: np.ndarray, spacing: float) -> Losses:
    """Atoms detached in every frame of some stretch of AWAY ps.

    detached [n_frames, n_atoms]; spacing in ps between frames. In a run shorter than two such
    stretches half of the run counts.
    """
    n_frames = len(detached)
    window = min(AWAY, 0.5 * spacing * (n_frames - 1))
    # frames at both ends: k of them span k - 1 spacings; the rest absorbs rounding
    k = math.ceil(window / spacing - 1e-9) + 1 if window > 0 else 1
    whole = np.lib.stride_tricks.sliding_window_view(detached, k, axis=0).all(axis=2)
    when = np.flatnonzero(whole.any(axis=1))
    since = float(when[0] * spacing) if len(when) else None
    return Losses(window, whole.any(axis=0), since)


@dataclass(frozen=True)
class Changes:
    """Bonds in the first part of a run, and of all those broken and made until its last part."""

    first: int
    broken: int
    made: int


def find_changes(bonded: np.ndarray) -> Changes:
    """Bonds broken and made between the first and the last PART of a run.

    bonded [n_frames, n_pairs]. Broken: holds in HELD of the frames of the first part, and in at
    most 1 - HELD of those of the last; made: the other way round.
    """
    n = max(round(PART * len(bonded)), 1)
    first, last = bonded[:n].mean(axis=0), bonded[-n:].mean(axis=0)
    # 0.9 of ten frames and 1 - 0.9 of them are not whole numbers in binary
    there, gone = HELD - 1e-9, 1 - HELD + 1e-9
    return Changes(
        int((first >= there).sum()),
        int(((first >= there) & (last <= gone)).sum()),
        int(((first <= gone) & (last >= there)).sum()),
    )


def pair_kinds(history: History, roles: Roles) -> tuple[np.ndarray, np.ndarray]:
    """Which pairs join a cation and an anion, and which a cation and a ligand: masks [n_pairs].

    Of a ligand the atoms that bind count, `Roles.donors`.
    """
    symbols = history.symbols[history.pairs]
    cation, anion, donor = (
        np.isin(symbols, names) for names in (roles.cations, roles.anions, roles.donors)
    )

    def joins(other: np.ndarray) -> np.ndarray:
        return (cation[:, 0] & other[:, 1]) | (other[:, 0] & cation[:, 1])

    return joins(anion), joins(donor)

# SPDX-License-Identifier: MIT
"""How carboxylates hold on to a dot: binding modes, frame by frame, and how long each lasts.

A carboxylate is a carbon with two oxygens closer than CARBOXYL_REACH. An oxygen is bound to every
cation of the lattice closer than a cut. With the cations of the two oxygens as sets A and B:

    detached     A and B empty
    monodentate  one of them empty
    bridging     both bound, none shared
    chelating    the same single cation, A = B = {M}
    tilted       one cation shared, and at least one more bound ("chelating-bridging")
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from ase import Atoms

from qdml.analyse.surface import Pairs, find_pairs
from qdml.errors import DataError

MODES = ("detached", "monodentate", "bridging", "chelating", "tilted")

CARBOXYL_REACH = 1.7
"""A; C-O bonds at 300 K end at 1.40 A, and the next oxygen is beyond 2 A."""

BINDING_REACH = 2.9
"""A; the cut of the published analysis of Cd68Se55(HCOO)26: first Cd-O shell 2.40 +- 0.15 A."""


@dataclass(frozen=True)
class Binding:
    """Modes over a trajectory: [n_frames, n_carboxylates] indices into MODES."""

    modes: np.ndarray

    @property
    def shares(self) -> np.ndarray:
        """Share of each mode over frames and ligands, [5]; zeros without carboxylates."""
        counts = np.bincount(self.modes.ravel(), minlength=len(MODES))
        return counts / max(counts.sum(), 1)

    @property
    def frame_shares(self) -> np.ndarray:
        """Share of each mode in each frame, [n_frames, 5]."""
        each = [np.bincount(row, minlength=len(MODES)) for row in self.modes]
        return np.array(each) / max(self.modes.shape[1], 1)

    def lifetimes(self, spacing: float) -> np.ndarray:
        """Mean time in each mode before it is left, [5], in the unit of `spacing` between frames.

        Time spent in a mode over the number of exits seen, which does not bias against visits that
        the ends of the run cut. Infinite for a mode that is never left, NaN where it never occurs.
        An exit for a single frame counts, so the value depends on the spacing.
        """
        before, after = self.modes[:-1], self.modes[1:]
        left = np.bincount(before[before != after], minlength=len(MODES)).astype(float)
        spent = np.bincount(before.ravel(), minlength=len(MODES)) * spacing
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(spent > 0, spent / left, np.nan)


def carboxyl_groups(atoms: Atoms, pairs: Pairs) -> np.ndarray:
    """Carbon and its two oxygens of every carboxylate, [n, 3]; `pairs` reach CARBOXYL_REACH."""
    z = atoms.numbers
    bond = (z[pairs.i] == 6) & (z[pairs.j] == 8) & (pairs.distance < CARBOXYL_REACH)
    oxygens: dict[int, list[int]] = {}
    for i, j in zip(pairs.i[bond], pairs.j[bond], strict=True):
        oxygens.setdefault(int(i), []).append(int(j))
    return np.array(
        [[c, *sorted(o)] for c, o in sorted(oxygens.items()) if len(o) == 2], dtype=int
    ).reshape(-1, 3)


def bound_cations(
    atoms: Atoms, pairs: Pairs, cations: Sequence[str], reach: float
) -> dict[int, set[int]]:
    """Cations closer than `reach` to each oxygen that has any."""
    is_cation = np.isin(np.array(atoms.get_chemical_symbols()), list(cations))
    bond = (atoms.numbers[pairs.i] == 8) & is_cation[pairs.j] & (pairs.distance < reach)
    found: dict[int, set[int]] = {}
    for i, j in zip(pairs.i[bond], pairs.j[bond], strict=True):
        found.setdefault(int(i), set()).add(int(j))
    return found


def mode_of(first: set[int], second: set[int]) -> int:
    """Index into MODES from the cations of the two oxygens."""
    if not first and not second:
        return MODES.index("detached")
    if not first or not second:
        return MODES.index("monodentate")
    if not first & second:
        return MODES.index("bridging")
    return MODES.index("chelating" if len(first | second) == 1 else "tilted")


def binding_modes(
    frames: Sequence[Atoms], cations: Sequence[str], reach: float = BINDING_REACH
) -> Binding | None:
    """Modes of all carboxylates of the first frame through a trajectory of the same atoms.

    None where the first frame has none. DataError for a frame with other atoms.
    """
    groups = None
    modes = []
    for number, atoms in enumerate(frames):
        pairs = find_pairs(atoms, max(reach, CARBOXYL_REACH))
        if groups is None:
            groups = carboxyl_groups(atoms, pairs)
            if not len(groups):
                return None
            numbers = atoms.numbers
        elif not np.array_equal(atoms.numbers, numbers):
            raise DataError(
                f"frame {number} has other atoms or another order than the first; binding modes "
                "need one trajectory (`dump_modify ... sort id`)"
            )
        bound = bound_cations(atoms, pairs, cations, reach)
        none: set[int] = set()
        modes.append([mode_of(bound.get(a, none), bound.get(b, none)) for _, a, b in groups])
    return Binding(np.array(modes, dtype=int).reshape(len(modes), -1)) if modes else None


def mean_shares(frames: Sequence[Atoms], cations: Sequence[str]) -> np.ndarray | None:
    """Share of each mode over the carboxylates of unrelated frames, [5]; None without any."""
    found = [b for atoms in frames if (b := binding_modes([atoms], cations)) is not None]
    if not found:
        return None
    return Binding(np.concatenate([b.modes.ravel() for b in found])[None]).shares

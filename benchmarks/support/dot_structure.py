# SPDX-License-Identifier: MIT
"""Structure of Cd68Se55(HCOO)26 by the cuts of the published analysis, and what that found.

The cuts were found again on its DFT trajectory, where they give its means, widths and shares to the
last digit (but the widths of C-O and C-H, 0.001 Å less). Bonds by covalent radii, as `qdml analyse`
has them, give Cd more neighbours: the carbon of a formate with both oxygens on one Cd is within
2.86 Å of it, and counted there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from ase import Atoms
from qdml.analyse.carboxylate import MODES, binding_modes
from qdml.analyse.rdf import SMOOTHING, Distances, collect
from qdml.analyse.surface import Pairs, Roles, find_pairs
from qdml.validate.local_order import bond_angles
from scipy.ndimage import gaussian_filter1d

SHELLS = {  # upper end in Å of the first shell of each pair
    ("Cd", "Se"): 3.3, ("Cd", "O"): 3.0, ("Se", "Se"): 5.2, ("Cd", "Cd"): 5.2, ("C", "O"): 1.7,
    ("C", "H"): 1.5,
}  # fmt: skip
"""Cd-O of 3.0 gives the published mean and width (2.403, 0.152 Å); the shell has no gap, so both
depend on it. Cd-Cd and Se-Se end at the minimum before the next shell."""

NEIGHBOURS = {"Cd": {"Se": 3.3, "O": 2.9}, "Se": {"Cd": 3.3}}
"""Å; who counts as a neighbour of Cd and Se. Cd-O of 2.9 as for binding modes."""

PEAK_BIN = 0.02
"""Å. Bins alone, as published, place the flat top of Se-Se 0.1 Å apart in the halves of the DFT
run; smoothed by SMOOTHING the halves are 0.04 Å apart."""

PUBLISHED: dict[str, float | tuple[float, float]] = {
    "Cd-Se mean": 2.692, "Cd-Se width": 0.120, "Cd-Se peak": 2.65,
    "Cd-O mean": 2.403, "Cd-O width": 0.152, "Cd-O peak": 2.37,
    "Se-Se mean": 4.50, "Se-Se peak": 4.53, "Cd-Cd mean": 4.30, "Cd-Cd peak": 4.23,
    "C-O mean": 1.275, "C-O width": 0.027, "C-H mean": 1.107, "C-H width": 0.028,
    "Cd with 3 neighbours": 0.083, "Cd with 4 neighbours": 0.884, "Cd with 5 neighbours": 0.033,
    "Se with 3 neighbours": 0.44, "Se with 4 neighbours": 0.56,
    "Cd-Se-Cd angle": 106.6, "Cd-Se-Cd angle width": 9.6,
    "formate tilted": 0.79, "formate bridging": 0.20, "formate chelating": 0.002,
    "formate detached": 0.0,
    "peak, Cd (1/cm)": (41, 47), "peak, Se (1/cm)": (160, 170), "peak, O-C-O bend (1/cm)": 775,
    "peak, C-H wag (1/cm)": 1000, "peak, symmetric CO2 (1/cm)": (1292, 1320),
    "peak, asymmetric CO2 (1/cm)": (1545, 1551), "peak, C-H stretch (1/cm)": 3047,
}  # fmt: skip
"""What was found before on the same 491 frames of the DFT trajectory; ranges as given."""


def _of(atoms: Atoms, pairs: Pairs, a: str, b: str) -> np.ndarray:
    """Which directed pairs go from an atom of element a to one of b."""
    symbols = np.array(atoms.get_chemical_symbols())
    return (symbols[pairs.i] == a) & (symbols[pairs.j] == b)


def first_shells(
    frames: Sequence[Atoms], shells: Mapping[tuple[str, str], float] = SHELLS
) -> dict[str, float]:
    """Mean, standard deviation and peak (Å) of the distances below the end of each shell.

    The peak is the top of the histogram of the distances, so of 4 pi r² g(r). Pairs without any
    distance are left out.
    """
    found: dict[tuple[str, str], list[np.ndarray]] = {pair: [] for pair in shells}
    for atoms in frames:
        pairs = find_pairs(atoms, max(shells.values()))
        for (a, b), distances in found.items():
            inside = _of(atoms, pairs, a, b) & (pairs.distance < shells[a, b])
            distances.append(pairs.distance[inside])
    values = {}
    for (a, b), parts in found.items():
        distances = np.concatenate(parts)
        if len(distances):
            values[f"{a}-{b} mean"] = float(distances.mean())
            values[f"{a}-{b} width"] = float(distances.std())
            values[f"{a}-{b} peak"] = peak_of(distances)
    return values


def peak_of(distances: np.ndarray) -> float:
    """Where distances in Å are densest: top of their smoothed histogram, between its bins."""
    low = distances.min() - 5 * SMOOTHING
    edges = np.arange(low, distances.max() + 5 * SMOOTHING, PEAK_BIN)
    counts, edges = np.histogram(distances, edges)
    curve = gaussian_filter1d(counts.astype(float), SMOOTHING / PEAK_BIN)
    top = int(curve.argmax())
    before, here, after = curve[top - 1 : top + 2]
    shift = 0.5 * (before - after) / (before - 2 * here + after)
    return float(edges[top] + PEAK_BIN * (0.5 + shift))


def neighbour_shares(
    frames: Sequence[Atoms], symbol: str, reach: Mapping[str, float]
) -> np.ndarray:
    """Share of atoms of an element with 0, 1, ... 12 neighbours, [13]; `reach` in Å by element."""
    total = np.zeros(13)
    for atoms in frames:
        pairs = find_pairs(atoms, max(reach.values()))
        near = np.zeros(len(pairs.i), dtype=bool)
        for other, end in reach.items():
            near |= _of(atoms, pairs, symbol, other) & (pairs.distance < end)
        counts = np.bincount(pairs.i[near], minlength=len(atoms))[atoms.symbols == symbol]
        total += np.bincount(np.minimum(counts, 12), minlength=13)
    return total / total.sum()


def angle_between(frames: list[Atoms], ends: str, centre: str, reach: float) -> tuple[float, float]:
    """Mean and standard deviation in degrees of the angle of two bonds at every `centre` atom."""
    total = np.zeros(3)
    for atoms in frames:
        pairs = find_pairs(atoms, reach)
        bond = _of(atoms, pairs, centre, ends)
        _, angle = bond_angles(atoms.positions, pairs.i[bond], pairs.j[bond])
        total += [len(angle), angle.sum(), (angle**2).sum()]
    mean = total[1] / total[0]
    return float(mean), float(np.sqrt(total[2] / total[0] - mean**2))


def whole_density(found: Distances, a: str, b: str) -> np.ndarray:
    """n(r) of all atoms of element a, whatever their region."""
    counts = [h for (x, _, y), h in found.histogram.items() if (x, y) == (a, b)]
    centres = sum(n for (x, _), n in found.n_centers.items() if x == a)
    return np.sum(counts, axis=0) / centres / found.bin_width


def structure(frames: list[Atoms], roles: Roles) -> dict[str, Any]:
    """All structural numbers of a set of frames, and their radial distributions."""
    values = first_shells(frames)
    for symbol, reach in NEIGHBOURS.items():
        shares = neighbour_shares(frames, symbol, reach)
        values |= {f"{symbol} with {n} neighbours": float(shares[n]) for n in range(2, 6)}
    mean, width = angle_between(frames, "Cd", "Se", NEIGHBOURS["Se"]["Cd"])
    values |= {"Cd-Se-Cd angle": mean, "Cd-Se-Cd angle width": width}
    binding = binding_modes(frames, roles.cations)
    values |= {f"formate {mode}": float(s) for mode, s in zip(MODES, binding.shares, strict=True)}
    return {"values": values, "distances": collect(frames, roles)}

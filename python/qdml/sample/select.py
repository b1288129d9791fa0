"""Choose diverse frames: farthest-point sampling on histograms of pair distances."""
# SPDX-License-Identifier: MIT

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from ase import Atoms
from ase.neighborlist import neighbor_list

DESCRIPTOR_CUTOFF = 6.0
"""Pairs up to this distance (A) enter the descriptor: what a potential of this kind sees."""

N_BINS = 48
SMEARING = 0.15
"""Width in A of the Gaussian each pair is smeared by, so that small shifts count as small."""


def pair_histogram(atoms: Atoms, elements: Sequence[int]) -> np.ndarray:
    """Smeared histogram of pair distances per pair of elements, per atom, [n_pairs * N_BINS].

    elements are the atomic numbers of the whole set, sorted. Pairs are weighted by 1/d^2, so that
    the many far pairs do not drown the near ones.
    """
    centers = np.linspace(0.5, DESCRIPTOR_CUTOFF, N_BINS)
    first, second, distance = neighbor_list("ijd", atoms, DESCRIPTOR_CUTOFF)
    index = np.searchsorted(elements, atoms.numbers)
    low = np.minimum(index[first], index[second])
    high = np.maximum(index[first], index[second])
    n_elements = len(elements)
    pair = low * n_elements + high
    result = np.zeros((n_elements * n_elements, N_BINS))
    smeared = np.exp(-0.5 * ((distance[:, None] - centers) / SMEARING) ** 2)
    np.add.at(result, pair, smeared / (distance**2)[:, None])
    upper = [i * n_elements + j for i in range(n_elements) for j in range(i, n_elements)]
    return (result[upper] / len(atoms)).ravel()


def descriptors(frames: Sequence[Atoms]) -> np.ndarray:
    """`pair_histogram` of every frame over the elements of all of them, [n_frames, n_features]."""
    elements = sorted({int(z) for atoms in frames for z in atoms.numbers})
    return np.array([pair_histogram(atoms, elements) for atoms in frames])


def farthest_points(
    features: np.ndarray,
    n_select: int,
    first: int | None = None,
    known: np.ndarray | None = None,
    group: Sequence[object] | None = None,
    per_group: int | None = None,
) -> list[int]:
    """Indices of n_select rows [n, f], each the farthest (Euclidean) from those already chosen.

    Starts at `first`, or at the row farthest from the mean. Rows of `known` [m, f] count as chosen
    before the start. No more than `per_group` rows of equal `group` [n] are taken. Returns all rows
    that may be taken, in that order, when n_select is larger than their number.
    """
    features = np.asarray(features, dtype=float)
    distance = np.full(len(features), np.inf)
    for row in known if known is not None else ():
        distance = np.minimum(distance, ((features - row) ** 2).sum(axis=1))
    if first is None and known is not None and len(known):
        first = int(np.argmax(distance))
    elif first is None:
        first = int(np.argmax(((features - features.mean(axis=0)) ** 2).sum(axis=1)))
    chosen: list[int] = []
    taken: Counter[object] = Counter()
    following = first
    while len(chosen) < min(n_select, len(features)):
        chosen.append(following)
        distance = np.minimum(distance, ((features - features[following]) ** 2).sum(axis=1))
        distance[following] = -1.0
        if group is not None and per_group is not None:
            taken[group[following]] += 1
            if taken[group[following]] >= per_group:
                distance[[g == group[following] for g in group]] = -1.0
        following = int(np.argmax(distance))
        if distance[following] < 0:
            break
    return chosen


def select_diverse(frames: Sequence[Atoms], n_select: int) -> list[Atoms]:
    """n_select diverse frames, the most unlike the mean first."""
    if n_select >= len(frames):
        return list(frames)
    return [frames[i] for i in farthest_points(descriptors(frames), n_select)]

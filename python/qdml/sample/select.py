"""Choose diverse frames: farthest-point sampling on histograms of pair distances."""
# SPDX-License-Identifier: MIT

from __future__ import annotations

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


def farthest_points(features: np.ndarray, n_select: int, first: int | None = None) -> list[int]:
    """Indices of n_select rows [n, f], each the farthest (Euclidean) from those already chosen.

    Starts at `first`, or at the row farthest from the mean. Returns all rows, in that order, when
    n_select is larger than their number.
    """
    features = np.asarray(features, dtype=float)
    if first is None:
        first = int(np.argmax(((features - features.mean(axis=0)) ** 2).sum(axis=1)))
    chosen = [first]
    distance = ((features - features[first]) ** 2).sum(axis=1)
    while len(chosen) < min(n_select, len(features)):
        distance[chosen] = -1.0
        following = int(np.argmax(distance))
        chosen.append(following)
        to_new = ((features - features[following]) ** 2).sum(axis=1)
        distance = np.minimum(distance, to_new)
    return chosen


def select_diverse(frames: Sequence[Atoms], n_select: int) -> list[Atoms]:
    """n_select diverse frames, the most unlike the mean first."""
    if n_select >= len(frames):
        return list(frames)
    return [frames[i] for i in farthest_points(descriptors(frames), n_select)]

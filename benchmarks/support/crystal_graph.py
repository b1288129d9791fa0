# SPDX-License-Identifier: MIT
"""Crystals and their edges by numpy and scipy alone, in slots as the JAX network takes them.

The crystal is that of steps.cpp: cubic zinc blende in whole cells, displaced at random.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.spatial import cKDTree

DISPLACEMENT = 0.15  # Å, standard deviation of every coordinate
FCC = np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])


class Crystal(NamedTuple):
    """Periodic in a cube."""

    positions: np.ndarray  # [n, 3] Å
    is_anion: np.ndarray  # [n] bool
    length: float  # Å


class Slots(NamedTuple):
    """Edges within the cutoff: n atoms, as many slots as the longest row has.

    An empty slot is an edge of an atom to itself, longer than the cutoff.
    """

    neighbor: np.ndarray  # [n, slots] int32
    reverse: np.ndarray  # [n, slots] int32, flat slot of the opposite edge
    vector: np.ndarray  # [n, slots, 3] x_j - x_i, Å
    n_edges: int


def zinc_blende(least: int, lattice: float) -> Crystal:
    """At least so many atoms in a cube of whole cells."""
    repeat = 1
    while 8 * repeat**3 < least:
        repeat += 1
    cells = np.stack(np.meshgrid(*[np.arange(repeat)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    sites = np.concatenate([FCC, FCC + 0.25])
    positions = lattice * (cells[:, None] + sites).reshape(-1, 3)
    positions += np.random.default_rng(1).normal(0.0, DISPLACEMENT, positions.shape)
    is_anion = np.tile(np.arange(8) >= 4, len(cells))
    return Crystal(positions, is_anion, lattice * repeat)


def with_images(crystal: Crystal, cutoff: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Positions of atoms and of images that may be within the cutoff; atom and shift of each."""
    n, length = len(crystal.positions), crystal.length
    reach = cutoff + 6 * DISPLACEMENT
    images = int(reach / length) + 1
    x, atom, shift = [crystal.positions], [np.arange(n)], [np.zeros((n, 3), int)]
    steps = range(-images, images + 1)
    for cell in ((i, j, k) for i in steps for j in steps for k in steps if i or j or k):
        moved = crystal.positions + length * np.array(cell)
        near = ((moved > -reach) & (moved < length + reach)).all(axis=1)
        x.append(moved[near])
        atom.append(np.flatnonzero(near))
        shift.append(np.tile(cell, (near.sum(), 1)))
    return np.concatenate(x), np.concatenate(atom), np.concatenate(shift)


def make_slots(crystal: Crystal, cutoff: float) -> Slots:
    """All edges shorter than the cutoff, every periodic image its own edge."""
    n = len(crystal.positions)
    x, atom, shift = with_images(crystal, cutoff)
    tree, width = cKDTree(x), 32
    while True:  # the nearest first; a full row asks for more
        _, found = tree.query(crystal.positions, k=width, distance_upper_bound=cutoff, workers=-1)
        if (found[:, -1] == len(x)).all() or width > len(x):
            break
        width *= 2
    center, column = np.nonzero((found < len(x)) & (found != np.arange(n)[:, None]))
    edge = found[center, column]
    # number of an edge from its atoms and its cell; that of its opposite
    cells = 2 * np.abs(shift).max() + 1
    code = np.array([cells**2, cells, 1])
    middle = code.sum() * (cells // 2)
    move = shift[edge] @ code
    key = (center * n + atom[edge]) * cells**3 + middle + move
    opposite = (atom[edge] * n + center) * cells**3 + middle - move
    order = np.argsort(key)
    at = order[np.minimum(np.searchsorted(key, opposite, sorter=order), len(key) - 1)]
    if not np.array_equal(key[at], opposite):
        raise RuntimeError("the edges are not symmetric: a distance is the cutoff to rounding")
    count = np.bincount(center, minlength=n)
    slot = np.arange(len(center)) - np.repeat(np.cumsum(count) - count, count)
    slots = int(count.max())
    neighbor = np.repeat(np.arange(n, dtype=np.int32)[:, None], slots, axis=1)
    reverse = np.arange(n * slots, dtype=np.int32).reshape(n, slots)
    vector = np.zeros((n, slots, 3))
    vector[..., 0] = 1.5 * cutoff
    flat = center * slots + slot
    neighbor[center, slot] = atom[edge]
    reverse[center, slot] = flat[at]
    vector[center, slot] = x[edge] - crystal.positions[center]
    return Slots(neighbor, reverse, vector, len(center))

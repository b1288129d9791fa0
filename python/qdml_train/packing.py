# SPDX-License-Identifier: MIT
"""Frames to fixed-shape batches: few compiled shapes, little padding, order from (seed, epoch)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from qdml_train.model.potential import Graphs
from qdml_train.neighbors import Neighbors

MAX_SHAPES = 3
"""Compiled shapes a fit may have."""


class Labels(NamedTuple):
    """Targets of a batch, with the fixed part of the model (E0, ZBL) already taken off.

    Weights are 0 for padding and for absent labels.
    """

    energy: np.ndarray  # [G] eV
    forces: np.ndarray  # [A, 3] eV/Å
    virial: np.ndarray  # [G, 3, 3] V σ, eV
    n_atoms: np.ndarray  # [G], 1 for padding
    energy_weight: np.ndarray  # [G]
    force_weight: np.ndarray  # [A]
    virial_weight: np.ndarray  # [G]
    level: np.ndarray  # [G] int32, which E0 the energy was measured from


@dataclass
class Sample:
    """One frame ready to be packed; labels as in `Labels`, float64."""

    species: np.ndarray  # [n]
    neighbors: Neighbors
    energy: float | None
    forces: np.ndarray | None
    virial: np.ndarray | None
    energy_weight: float = 1.0
    force_weight: float | np.ndarray = 1.0  # or [n]
    virial_weight: float = 1.0
    level: int = 0

    @property
    def n_atoms(self) -> int:
        return len(self.species)


class Shape(NamedTuple):
    """A compiled shape: atom rows, neighbour slots per row, structures."""

    atoms: int
    slots: int
    graphs: int


@dataclass
class Bucket:
    """Samples that share one shape."""

    shape: Shape
    members: list[int]


def make_buckets(samples: list[Sample], batch_atoms: int, batch_graphs: int) -> list[Bucket]:
    """Group samples by their longest neighbour row into at most `MAX_SHAPES` shapes.

    `batch_atoms` is the wanted number of atom rows; it grows to the largest frame. The borders
    between groups are those of the smallest total number of slots (exhaustive over widths).
    """
    widths = np.array([max(8, -(-s.neighbors.n_slots // 4) * 4) for s in samples])
    atoms = np.array([s.n_atoms for s in samples])
    levels = np.unique(widths)
    load = np.array([atoms[widths == w].sum() for w in levels])
    best: tuple[float, tuple[int, ...]] = (np.inf, (int(levels[-1]),))
    for borders in _border_sets(len(levels), MAX_SHAPES):
        chosen = levels[list(borders)]
        cost = float(sum(load[i] * chosen[chosen >= w].min() for i, w in enumerate(levels)))
        # a further shape costs two compilations: it must save a tenth of the work
        cost *= 1.0 + 0.1 * (len(borders) - 1)
        if cost < best[0]:
            best = (cost, tuple(int(w) for w in chosen))
    buckets = []
    lower = 0
    for width in best[1]:
        members = [i for i, w in enumerate(widths) if lower < w <= width]
        lower = width
        if members:
            rows = max(batch_atoms, int(atoms[members].max()))
            rows = min(rows, int(atoms[members].sum()))
            buckets.append(Bucket(Shape(-(-rows // 8) * 8, width, batch_graphs), members))
    return buckets


def shared_buckets(
    train: list[Sample], valid: list[Sample], batch_atoms: int, batch_graphs: int
) -> tuple[list[Bucket], list[Bucket]]:
    """Buckets of training and validation samples with common shapes: fewer compilations."""
    together = make_buckets([*train, *valid], batch_atoms, batch_graphs)
    n = len(train)
    parts: tuple[list[Bucket], list[Bucket]] = ([], [])
    for bucket in together:
        for part, members in (
            (parts[0], [i for i in bucket.members if i < n]),
            (parts[1], [i - n for i in bucket.members if i >= n]),
        ):
            if members:
                part.append(Bucket(bucket.shape, members))
    return parts


def _border_sets(n_levels: int, n_max: int) -> list[tuple[int, ...]]:
    """All increasing choices of up to `n_max` levels that contain the last one."""
    last = n_levels - 1
    sets = [(last,)]
    sets += [(i, last) for i in range(last)]
    if n_max >= 3:
        sets += [(i, j, last) for i in range(last) for j in range(i + 1, last)]
    return sets


def epoch_batches(
    buckets: list[Bucket], samples: list[Sample], seed: int, epoch: int
) -> list[tuple[Shape, list[int]]]:
    """Batches of one epoch, every sample once; a function of (seed, epoch) alone.

    First-fit over a shuffled list, then batches are shuffled among the shapes.
    """
    rng = np.random.default_rng([seed, epoch])
    batches: list[tuple[Shape, list[int]]] = []
    for bucket in buckets:
        order = rng.permutation(bucket.members)
        batches += [(bucket.shape, b) for b in first_fit(order, samples, bucket.shape)]
    return [batches[i] for i in rng.permutation(len(batches))]


def epoch_steps(
    buckets: list[Bucket], samples: list[Sample], seed: int, epoch: int, accumulate: int
) -> list[tuple[Shape, list[list[int]]]]:
    """The batches of `epoch_batches` in steps of `accumulate` batches of one shape.

    The last step of a shape is filled up with empty batches, which weigh nothing.
    """
    batches = epoch_batches(buckets, samples, seed, epoch)
    if accumulate == 1:
        return [(shape, [members]) for shape, members in batches]
    steps: list[tuple[Shape, list[list[int]]]] = []
    waiting: dict[Shape, list[list[int]]] = {}
    for shape, members in batches:
        group = waiting.setdefault(shape, [])
        group.append(members)
        if len(group) == accumulate:
            steps.append((shape, waiting.pop(shape)))
    for shape, group in waiting.items():
        steps.append((shape, group + [[]] * (accumulate - len(group))))
    return steps


def committee_steps(
    members: list[list[tuple[Shape, list[list[int]]]]],
) -> list[tuple[Shape, list[list[list[int]]]]]:
    """Steps of several members side by side; the shapes come in the order of the first member's.

    Packing is greedy, so members may differ in the number of steps of a shape: those with fewer
    wait with empty batches at the end.
    """
    queues = [{s: [b for t, b in steps if t == s] for s, _ in steps} for steps in members]
    shapes = [shape for shape, _ in members[0]]
    for shape, own in queues[0].items():
        shapes += [shape] * (max(len(q[shape]) for q in queues) - len(own))
    rest = [{s: iter(batches) for s, batches in q.items()} for q in queues]
    empty: list[list[int]] = [[] for _ in members[0][0][1]]
    return [(s, [next(q[s], empty) for q in rest]) for s in shapes]


def first_fit(order: np.ndarray, samples: list[Sample], shape: Shape) -> list[list[int]]:
    """Pack samples in the given order into the first batch that has room."""
    batches: list[list[int]] = []
    rooms: list[int] = []
    for i in order:
        n = samples[i].n_atoms
        for b, room in enumerate(rooms):
            if n <= room and len(batches[b]) < shape.graphs:
                batches[b].append(int(i))
                rooms[b] -= n
                break
        else:
            batches.append([int(i)])
            rooms.append(shape.atoms - n)
    return batches


def assemble(
    samples: list[Sample], shape: Shape, cutoff: float, dtype: type = np.float32
) -> tuple[Graphs, Labels]:
    """Pad samples into one batch of the given shape. The caller made sure that they fit."""
    rows, slots, graphs = shape
    index = np.repeat(np.arange(rows, dtype=np.int32)[:, None], slots, axis=1)
    reverse = np.arange(rows * slots, dtype=np.int32).reshape(rows, slots)
    vector = np.zeros((rows, slots, 3))
    vector[..., 0] = 1.5 * cutoff
    species = np.zeros(rows, dtype=np.int32)
    graph = np.full(rows, -1, dtype=np.int32)
    labels = Labels(
        energy=np.zeros(graphs),
        forces=np.zeros((rows, 3)),
        virial=np.zeros((graphs, 3, 3)),
        n_atoms=np.ones(graphs),
        energy_weight=np.zeros(graphs),
        force_weight=np.zeros(rows),
        virial_weight=np.zeros(graphs),
        level=np.zeros(graphs, np.int32),
    )
    start = 0
    for g, sample in enumerate(samples):
        n, edges = sample.n_atoms, sample.neighbors
        atoms = slice(start, start + n)
        center = edges.center + start
        index[center, edges.slot] = edges.neighbor + start
        flat = center * slots + edges.slot
        reverse[center, edges.slot] = flat[edges.reverse]
        vector[center, edges.slot] = edges.vector
        species[atoms] = sample.species
        graph[atoms] = g
        labels.n_atoms[g], labels.level[g] = n, sample.level
        if sample.energy is not None:
            labels.energy[g], labels.energy_weight[g] = sample.energy, sample.energy_weight
        if sample.forces is not None:
            labels.forces[atoms], labels.force_weight[atoms] = sample.forces, sample.force_weight
        if sample.virial is not None:
            labels.virial[g], labels.virial_weight[g] = sample.virial, sample.virial_weight
        start += n
    batch = Graphs(species, index, reverse, vector.astype(dtype), graph)
    return batch, Labels(*(a.astype(dtype) if a.dtype.kind == "f" else a for a in labels))


def assemble_step(
    samples: list[Sample], shape: Shape, batches: list[list[int]], cutoff: float
) -> tuple[Graphs, Labels]:
    """The batches of one step, stacked along a new first axis."""
    parts = [assemble([samples[i] for i in members], shape, cutoff) for members in batches]
    graphs, labels = zip(*parts, strict=True)
    stacked_graphs = Graphs(*(np.stack(x) for x in zip(*graphs, strict=True)))
    return stacked_graphs, Labels(*(np.stack(x) for x in zip(*labels, strict=True)))


def fitting_shape(samples: list[Sample]) -> Shape:
    """The smallest shape that holds these samples in one batch."""
    slots = max(1, *(s.neighbors.n_slots for s in samples)) if samples else 1
    return Shape(sum(s.n_atoms for s in samples), slots, len(samples))

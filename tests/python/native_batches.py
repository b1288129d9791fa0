# SPDX-License-Identifier: MIT
"""What the tests of the engine's kernels in training share: batches, derivatives, comparisons."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from qdml_train.model.potential import Graphs, predict
from qdml_train.neighbors import build_neighbors
from qdml_train.packing import Sample, assemble, fitting_shape
from train_helpers import cluster, crystal, frame

CUTOFF = 4.0
TOLERANCE = {"float32": 1e-6, "float64": 1e-11}


def random_batch(n_atoms: int = 23, n_slots: int = 13) -> Graphs:
    """A random symmetric list with full, partly filled and empty rows. Opposite edges have vectors
    of their own: a derivative may move one of them alone."""
    rng = np.random.default_rng(1)
    positions = 2.2 * rng.normal(size=(n_atoms, 3))
    neighbor = np.repeat(np.arange(n_atoms)[:, None], n_slots, 1)
    reverse = np.arange(n_atoms * n_slots).reshape(n_atoms, n_slots)
    vector = np.zeros((n_atoms, n_slots, 3))
    vector[..., 0] = 1.5 * CUTOFF
    used = np.zeros(n_atoms, int)
    for i in range(n_atoms - 1):  # the last atom stays alone
        for j in range(i):
            d = positions[j] - positions[i]
            a, b = used[i], used[j]
            if np.linalg.norm(d) < CUTOFF and max(a, b) < n_slots:
                neighbor[i, a], neighbor[j, b] = j, i
                reverse[i, a], reverse[j, b] = j * n_slots + b, i * n_slots + a
                vector[i, a] = d + 0.01 * rng.normal(size=3)
                vector[j, b] = -d + 0.01 * rng.normal(size=3)
                used[i] += 1
                used[j] += 1
    assert used.min() == 0
    assert used.max() == n_slots
    species = rng.integers(2, size=n_atoms)
    index = (x.astype(np.int32) for x in (neighbor, reverse))
    return Graphs(species.astype(np.int32), *index, vector, np.zeros(n_atoms, np.int32))


BATCH = random_batch()


def derivatives(sums: Callable, arrays: list, valid: Callable = lambda table: table) -> dict:
    """Values of sums(sent, table, vector), gradient of s = <G, A>, and gradient of <u, that> in all
    but u. `arrays`: sent, table, vector, G, u; `valid`: the part of a table's gradient to see."""

    def functional(sent, table, vector, g):
        return (sums(sent, table, vector) * g).sum()

    def along(sent, table, vector, g, *u):
        found = jax.grad(functional, argnums=(0, 1, 2))(sent, table, vector, g)
        return sum((a * b).sum() for a, b in zip(found, u, strict=True))

    def force_like(sent, table, vector, g, *u):  # what a loss of forces needs, and no more
        return (jax.grad(functional, argnums=2)(sent, table, vector, g) * u[2]).sum()

    @jax.jit
    def everything(*arrays):
        found = {"A": sums(*arrays[:3])}
        for name, function, given, wanted in (
            ("first", functional, arrays[:4], (0, 1, 2)),
            ("second", along, arrays, (0, 1, 2, 3)),
            ("forces", force_like, arrays, (0, 1, 3)),
        ):
            values = jax.grad(function, argnums=wanted)(*given)
            for k, value in zip(wanted, values, strict=True):
                found[f"{name} {k}"] = valid(value) if k == 1 else value
        return found

    return everything(*arrays)


def check_equal(derivatives: Callable[[bool, list], dict], arrays: list) -> None:
    """The kernels in both precisions against JAX in float64."""
    reference = derivatives(False, arrays)
    for dtype, tolerance in TOLERANCE.items():
        found = derivatives(True, [x.astype(dtype) for x in arrays])
        for name, expected in reference.items():
            scale = float(jnp.abs(expected).max())
            error = float(jnp.abs(found[name].astype(jnp.float64) - expected).max())
            assert found[name].dtype == dtype
            assert error <= tolerance * scale, (dtype, name, error / scale)


def batch_of_frames(cutoff: float) -> tuple[Graphs, int]:
    """Clusters and a cell of H, C, O in one padded batch of float64, and the number of frames."""
    samples = []
    for atoms in (cluster(3), crystal(), cluster(5)):
        neighbors = build_neighbors(frame(atoms), cutoff)
        species = np.searchsorted([1, 6, 8], atoms.numbers)
        samples.append(Sample(species, neighbors, None, None, None))
    shape = fitting_shape(samples)
    shape = shape._replace(atoms=shape.atoms + 3, slots=shape.slots + 1)  # padding
    return assemble(samples, shape, cutoff, np.float64)[0], shape.graphs


def check_potential(tensors, architecture, graphs, n_graphs: int, remat: bool) -> None:
    """Energies, forces and virials, and the gradient of a loss of all three in every tensor: the
    kernels against JAX."""
    tensors = {k: jnp.asarray(v) for k, v in tensors.items()}

    def loss(tensors, use_native):
        found = predict(tensors, architecture, graphs, n_graphs, remat, use_native)
        return sum((jnp.sin(x) ** 2).sum() for x in found), found

    results = [
        jax.jit(jax.value_and_grad(loss, has_aux=True), static_argnums=1)(tensors, use)
        for use in (False, True)
    ]
    pairs = zip(*(jax.tree.leaves_with_path(r) for r in results), strict=True)
    for (path, expected), (_, found) in pairs:
        name = jax.tree_util.keystr(path)
        if "radial" in name:  # rows at and beyond the cutoff are zero by contract
            expected, found = expected[:-3], found[:-3]
        scale = np.abs(expected).max()
        assert np.abs(expected - found).max() <= 1e-11 * scale, name

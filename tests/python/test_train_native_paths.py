# SPDX-License-Identifier: MIT
"""Sums along Clebsch-Gordan paths by the engine's kernels equal those in JAX, with derivatives."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import native_batches
import numpy as np
import path_models
import pytest
from native_batches import BATCH, CUTOFF
from qdml.modelfile import read_model
from qdml_train.model import native, path_batch
from qdml_train.model.architecture import read_architecture
from qdml_train.model.layout import PathLayout
from qdml_train.model.potential import has_native
from tiny_fits import cluster_file, tiny_fit

KNOTS = 40
LAYERS = {
    "scalars": ("32x0e", "16x0e+16x1o+16x2e+16x3o", 3, True),
    "l 2": ("32x0e+16x1o+16x2e", "16x0e+16x1o+16x2e", 2, True),
    "both parities": ("16x0e+16x0o+16x1e+16x1o", "16x0e+16x0o+16x1e+16x1o", 2, True),
    "SO(3), every path": ("16x0e+16x1e+16x2e+16x3e", "16x0e+16x1e+16x2e+16x3e", 3, False),
}


def one_layer(name: str) -> dict:
    message, out, l_edge, natural = LAYERS[name]
    features = [message, out]
    return path_models.architecture(features, None, l_edge, natural, cutoff=CUTOFF, knots=KNOTS)


def inputs(content: dict) -> list[np.ndarray]:
    """sent, table, edge vectors; a G and a direction in each: numbers of float32 as float64."""
    rng = np.random.default_rng(3)
    layout = PathLayout.of_layer(content["layers"][0], CUTOFF, BATCH.neighbor.shape[1])
    n_atoms = len(BATCH.species)
    sent = rng.normal(size=(n_atoms, sum((2 * degree + 1) * c for degree, c in layout.irreps)))
    channels = sum(layout.irreps[k][1] for k, *_ in layout.paths)
    table = rng.normal(size=(KNOTS + 1, 2, channels))
    g = rng.normal(size=layout.sums_shape(sent.shape))
    directions = [rng.normal(size=x.shape) for x in (sent, table, BATCH.edge_vector)]
    table[-1] = directions[1][-1] = 0.0
    arrays = [sent, table, BATCH.edge_vector, g, *directions]
    return [x.astype(np.float32).astype(float) for x in arrays]


def derivatives(content: dict, use_native: bool, arrays: list) -> dict:
    layer = content["layers"][0]
    layout = PathLayout.of_layer(layer, CUTOFF, BATCH.neighbor.shape[1])

    def sums(sent, table, vector):
        make = path_batch.native_sums if use_native else path_batch.jax_sums
        parts, start = {}, 0
        for name, (degree, width) in zip(layer_irreps(layer), layout.irreps, strict=True):
            stop = start + (2 * degree + 1) * width
            parts[name] = sent[:, start:stop].reshape(len(sent), 2 * degree + 1, width)
            start = stop
        found = make(content, BATCH._replace(edge_vector=vector))(layer, parts, table)
        return jnp.concatenate([x.reshape(len(sent), -1) for x in found], axis=1)

    # by contract the last knot is zero; JAX gives it the gradient of edges beyond the cutoff
    return native_batches.derivatives(sums, arrays, lambda table: table[:-1])


def layer_irreps(layer: dict) -> list[str]:
    return [term.split("x")[1] for term in layer["irreps_message"].split("+")]


@pytest.mark.parametrize("name", LAYERS)
def test_kernels_equal_jax_with_both_derivatives(name):
    content = one_layer(name)
    with jax.enable_x64(True):
        arrays = [jnp.asarray(x) for x in inputs(content)]
        native_batches.check_equal(
            lambda use_native, given: derivatives(content, use_native, given), arrays
        )


def potential(tmp_path, **changes):
    """A file of paths whose channels come in sixteens: architecture and tensors."""
    features = ["16x0e", "16x0e+16x1o+16x2e", "16x0e+16x1o", "16x0e"]
    content = path_models.architecture(**({"features": features} | changes))
    path, _, tensors = path_models.random_path_model(
        tmp_path / "m.qdml", content, zbl=True, species=("H", "C", "O")
    )
    document, _ = read_model(path)
    return path, read_architecture(document), tensors


@pytest.mark.parametrize("remat", [False, True])
def test_gradient_of_a_loss_equals_that_of_jax(tmp_path, remat):
    _, architecture, tensors = potential(tmp_path)
    assert has_native(architecture)
    with jax.enable_x64(True):
        graphs, n_graphs = native_batches.batch_of_frames(architecture.cutoff)
        tensors = {k: np.asarray(v, float) for k, v in tensors.items()}
        native_batches.check_potential(tensors, architecture, graphs, n_graphs, remat)


def test_fine_tuning_by_the_kernels_equals_that_in_jax(tmp_path):
    data = cluster_file(tmp_path)
    path, *_ = potential(tmp_path)
    states = []
    for kernels in ("jax", "native"):
        fit = tiny_fit(data, tmp_path / kernels, {}, kernels=kernels, **{"from": str(path)})
        assert fit.steps.use_native == (kernels == "native")
        for step in range(5):
            graphs, labels = fit.arrays(fit.epoch(step)[0])
            fit.state, _, norm = fit.steps.train(fit.state, fit.steps.frozen, graphs, labels, 0.001)
            assert np.isfinite(norm).all()
        states.append(np.asarray(fit.state.parameters))
    start = np.asarray(tiny_fit(data, tmp_path, {}, **{"from": str(path)}).state.parameters)
    moved = np.abs(states[0] - start).max()
    assert moved > 0
    assert np.abs(states[0] - states[1]).max() < 2e-3 * moved


def test_channels_that_do_not_come_in_sixteens_are_left_to_jax(tmp_path):
    _, architecture, _ = potential(tmp_path, features=["8x0e", "8x0e+4x1o", "8x0e"])
    assert not has_native(architecture)


def test_paths_that_do_not_exist_are_refused():
    content = one_layer("l 2")
    sent, table, vector = (jnp.asarray(x, jnp.float32) for x in inputs(content)[:3])
    n_slots = vector.shape[1]
    irreps = PathLayout.of_layer(content["layers"][0], CUTOFF, n_slots).irreps
    plan = native.edge_plan(vector, BATCH.neighbor, BATCH.reverse, CUTOFF, KNOTS, hermite=True)
    for path in ((0, 1, 2), (0, 4, 4), (1, 1, 3)):
        layout = PathLayout(irreps, (path,), CUTOFF, n_slots)
        assert not layout.has_kernels()
        own = table[..., : irreps[path[0]][1]]
        with pytest.raises((ValueError, jax.errors.JaxRuntimeError), match="layer_unavailable"):
            jax.block_until_ready(native.sums(layout, sent, own, vector, plan))

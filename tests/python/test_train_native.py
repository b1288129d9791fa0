# SPDX-License-Identifier: MIT
"""Messages by the engine's kernels equal those in JAX, with first and second derivatives."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import native_batches
import numpy as np
import pytest
from native_batches import BATCH, CUTOFF
from qdml.cartesian import layer_terms
from qdml.errors import ConfigError
from qdml_train.model import native
from qdml_train.model.architecture import Architecture, Layer
from qdml_train.model.layout import CartesianLayout
from qdml_train.model.potential import (
    has_native,
    make_edges,
    sums_of_messages,
)
from tiny_fits import TINY, cluster_file, tiny_fit
from train_helpers import small_architecture, small_tensors

KNOTS, CHANNELS = 11, 32
KINDS = [(0, n, False) for n in range(4)]  # one term per degree: the same when separated
KINDS += [(a, b, s) for n in (1, 2, 3) for a, b in ((n, n), (n, 0)) for s in (False, True)]
REFUSED = (ValueError, jax.errors.JaxRuntimeError)
"""What JAX makes of the fault of a call, depending on its version."""


def one_layer(l_in: int, l_out: int, separated: bool) -> Architecture:
    layer = Layer(l_in, l_out, (4,) * (l_in + 1), (4,) * (l_out + 1))
    return Architecture(("Cd", "Se"), CUTOFF, KNOTS, CHANNELS, (layer,), (), separated)


def sums(architecture: Architecture, use_native: bool, sent, table, vector):
    graphs = BATCH._replace(edge_vector=vector)
    edges = make_edges(architecture, graphs, use_native)
    return sums_of_messages(architecture, architecture.layers[0], sent, table, edges, graphs)


def layer_inputs(architecture: Architecture) -> list[np.ndarray]:
    """sent, table, edge vectors; a G and a direction in each: numbers of float32 as float64."""
    rng = np.random.default_rng(2)
    layer, n_atoms = architecture.layers[0], len(BATCH.species)
    sent = rng.normal(size=(n_atoms, (layer.l_in + 1) ** 2, CHANNELS))
    terms = len(layer_terms(layer.l_in, layer.l_out))
    table = rng.normal(size=(KNOTS + 3, terms, CHANNELS))
    components = sum(
        (2 * degree + 1) * layer.n_slots(degree, architecture.separated)
        for degree in range(layer.l_out + 1)
    )
    g = rng.normal(size=(n_atoms, components, CHANNELS))
    directions = [rng.normal(size=x.shape) for x in (sent, table, BATCH.edge_vector)]
    table[-3:] = directions[1][-3:] = 0.0
    arrays = [sent, table, BATCH.edge_vector, g, *directions]
    return [x.astype(np.float32).astype(float) for x in arrays]


def derivatives(architecture: Architecture, use_native: bool, arrays: list) -> dict:
    def of(*inputs):
        return sums(architecture, use_native, *inputs)

    # by contract the last three knots are zero and have no gradient
    return native_batches.derivatives(of, arrays, lambda table: table[:-3])


@pytest.mark.parametrize(("l_in", "l_out", "separated"), KINDS)
def test_kernels_equal_jax_with_both_derivatives(l_in, l_out, separated):
    architecture = one_layer(l_in, l_out, separated)
    assert has_native(architecture)
    with jax.enable_x64(True):
        arrays = [jnp.asarray(x) for x in layer_inputs(architecture)]
        native_batches.check_equal(
            lambda use_native, given: derivatives(architecture, use_native, given), arrays
        )


def test_derivatives_are_those_of_finite_differences():
    architecture = one_layer(2, 2, True)
    with jax.enable_x64(True):
        *at, g, u_sent, u_table, u_vector = (jnp.asarray(x) for x in layer_inputs(architecture))
        u, step = (u_sent, u_table, u_vector), 1e-5

        @jax.jit
        def functional(*x):
            return (sums(architecture, True, *x) * g).sum()

        gradient = jax.jit(jax.grad(functional, argnums=(0, 1, 2)))

        def along(f, h):
            return f(*(a + h * b for a, b in zip(at, u, strict=True)))

        slope = (along(functional, step) - along(functional, -step)) / (2 * step)
        found = sum((a * b).sum() for a, b in zip(gradient(*at), u, strict=True))
        assert float(found) == pytest.approx(float(slope), rel=1e-7)
        second = jax.jit(
            jax.grad(
                lambda *x: sum((a * b).sum() for a, b in zip(gradient(*x), u, strict=True)),
                argnums=(0, 1, 2),
            )
        )(*at)
        ends = along(gradient, step), along(gradient, -step)
        for value, plus, minus in zip(second, *ends, strict=True):
            slope = (plus - minus) / (2 * step)
            assert np.abs(value - slope).max() < 1e-7 * np.abs(slope).max()


def test_third_derivatives_are_refused():
    architecture = one_layer(0, 0, False)
    arrays = [jnp.asarray(x, jnp.float32) for x in layer_inputs(architecture)[:3]]

    def energy(vector):
        return (sums(architecture, True, *arrays[:2], vector) ** 2).sum()

    def twice(vector):
        return (jax.grad(lambda v: (jax.grad(energy)(v) ** 2).sum())(vector) ** 2).sum()

    with pytest.raises(ValueError, match="cannot be differentiated"):
        jax.grad(twice)(arrays[2])


# -- whole potentials -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("l_max", "separated", "remat"), [(1, False, True), (2, True, False)], ids=["remat", "kept"]
)
def test_gradient_of_a_loss_equals_that_of_jax(l_max, separated, remat):
    """Energies, forces and virials, and the gradient of a loss of all three in every tensor."""
    architecture = small_architecture(l_max, 3, separated)
    tensors = small_tensors(architecture)
    with jax.enable_x64(True):
        graphs, n_graphs = native_batches.batch_of_frames(architecture.cutoff)
        native_batches.check_potential(tensors, architecture, graphs, n_graphs, remat)


def test_training_equals_that_of_jax(tmp_path):
    """Ten steps of a committee, two batches each: vmap, scan and the optimiser around the calls."""
    data = cluster_file(tmp_path)
    model = {**TINY, "l_max": 1, "layers": 2, "channels": [8, 8]}
    states = []
    for kernels in ("jax", "native"):
        keys = {"kernels": kernels, "committee": 2, "accumulate": 2}
        fit = tiny_fit(data, tmp_path / kernels, model, **keys)
        assert fit.steps.use_native == (kernels == "native")
        for step in range(10):
            graphs, labels = fit.arrays(fit.epoch(step)[0])
            fit.state, _, norm = fit.steps.train(fit.state, {}, graphs, labels, 0.001)
            assert np.isfinite(norm).all()
        states.append(np.asarray(fit.state.parameters))
    start = np.asarray(tiny_fit(data, tmp_path, model, committee=2).state.parameters)
    moved = np.abs(states[0] - start).max()
    assert moved > 0
    assert np.abs(states[0] - states[1]).max() < 1e-3 * moved


HASHES = """
import hashlib, jax, numpy as np
import test_train_native as t
architecture = t.one_layer(2, 2, True)
arrays = [jax.numpy.asarray(x, "float32") for x in t.layer_inputs(architecture)]
found = t.derivatives(architecture, True, arrays)
for name in sorted(found):
    print(name, hashlib.sha256(np.asarray(found[name]).tobytes()).hexdigest())
"""


def test_results_do_not_depend_on_the_number_of_threads():
    found = set()
    for threads in ("1", "2", "3"):
        # NPROC: threads of XLA's pool, of which the kernels take as many as OMP_NUM_THREADS says
        environment = os.environ | {
            "NPROC": "3",
            "OMP_NUM_THREADS": threads,
            "JAX_PLATFORMS": "cpu",
            "PYTHONPATH": str(Path(__file__).parent),
        }
        done = subprocess.run(
            [sys.executable, "-c", HASHES], env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        found.add(done.stdout)
    assert len(found) == 1


# -- what is refused ------------------------------------------------------------------------------


def plan_of(**changes):
    graphs = BATCH._replace(**{k: jnp.asarray(v) for k, v in changes.items()})
    vector = jnp.asarray(graphs.edge_vector, jnp.float32)
    return np.asarray(native.edge_plan(vector, graphs.neighbor, graphs.reverse, CUTOFF, KNOTS))


@pytest.mark.parametrize("fault", ["neighbor", "reverse", "edge_vector"])
def test_batches_that_point_outside_are_refused(fault):
    array = np.array(getattr(BATCH, fault))
    array[2, 1] = np.nan if fault == "edge_vector" else array.size
    with pytest.raises(REFUSED, match=r"batch_invalid: slot 27 of \[23,13\]"):
        plan_of(**{fault: array})


def test_arrays_of_other_shapes_are_refused():
    architecture = one_layer(1, 1, False)
    sent, table, vector = (jnp.asarray(x, jnp.float32) for x in layer_inputs(architecture)[:3])
    layout = CartesianLayout(1, 1, False, CUTOFF, vector.shape[1])
    plan = jnp.asarray(plan_of())
    native.sums(layout, sent, table, vector, plan)
    for changed in (
        (sent[:, :3], table, vector, plan),
        (sent, table[:, :2], vector, plan),
        (sent, table, vector, plan[:-1]),
        (sent[..., :8], table[..., :8], vector, plan),
    ):
        with pytest.raises(REFUSED, match=r"call_invalid|layer_unavailable"):
            jax.block_until_ready(native.sums(layout, *changed))


def test_a_fit_takes_jax_where_the_kernels_cannot_serve(tmp_path, monkeypatch):
    data = cluster_file(tmp_path)
    assert tiny_fit(data, tmp_path).steps.use_native
    assert not tiny_fit(data, tmp_path, kernels="jax").steps.use_native
    monkeypatch.setattr("jax.default_backend", lambda: "gpu")
    assert not tiny_fit(data, tmp_path).steps.use_native
    with pytest.raises(ConfigError, match=r"train.kernels: native, but .* this fit is on gpu"):
        tiny_fit(data, tmp_path, kernels="native")


def test_layers_without_kernels_are_known():
    assert CartesianLayout(3, 3, False, CUTOFF, 1).has_kernels(16)
    # such layers come from files of other programs
    assert not CartesianLayout(1, 2, False, CUTOFF, 1).has_kernels(16)
    assert not CartesianLayout(1, 1, False, CUTOFF, 1).has_kernels(8)
    mixed = Layer(1, 2, (4, 4), (4, 4, 4)), Layer(2, 0, (4, 4, 4), (4,))
    assert not has_native(Architecture(("H",), CUTOFF, KNOTS, 16, mixed, ()))


def test_without_the_binding_everything_is_jax(monkeypatch):
    native.register.cache_clear()
    monkeypatch.delattr("qdml._native.ffi_targets")
    try:
        assert not has_native(one_layer(0, 0, False))
    finally:
        native.register.cache_clear()

# SPDX-License-Identifier: MIT
"""Optimisers: their steps against hand-made ones, accumulation, and tiny fits with each."""

from __future__ import annotations

import itertools
import json
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree
from labelled_frames import lj_frames, write_frames
from qdml_train import loop
from qdml_train.config import TrainSection
from qdml_train.optimizer import evaluated, learning_rate, make_optimizer
from qdml_train.packing import assemble_step
from tiny_fits import tiny_fit


def section(**keys) -> TrainSection:
    return TrainSection(**{"epochs": 1, "clip": 1e9, **keys})


def start():
    """Two stacked matrices, one matrix, a vector and a table of energies, as one vector."""
    rng = np.random.default_rng(0)
    shapes = {"a": (2, 4, 3), "b": (5, 4), "c": (6,), "energy.shift": (2, 3)}
    tree = {k: jnp.asarray(rng.normal(size=s), jnp.float32) for k, s in shapes.items()}
    return ravel_pytree(tree)


def random_gradient(size):
    return jnp.asarray(np.random.default_rng(1).normal(size=size), jnp.float32)


@pytest.mark.parametrize("name", ["adamw", "muon", "schedule_free"])
def test_every_optimizer_descends(name):
    """|p - 1|²/2 from a random start; the point that is validated comes near 1."""
    chosen, rate = section(optimizer=name), 0.05
    vector, unravel = start()
    first = np.asarray(vector)
    optimizer = make_optimizer(chosen, unravel)
    state = optimizer.init(vector)

    @jax.jit
    def step(vector, state):
        updates, state = optimizer.update(vector - 1.0, state, vector, rate=jnp.float32(rate))
        return vector - rate * updates, state

    for _ in range(300):
        vector, state = step(vector, state)
    own = evaluated(chosen, state, vector)
    assert (own is not None) == (name == "schedule_free")
    found = np.asarray(vector if own is None else own)
    assert np.sqrt(((found - 1.0) ** 2).mean()) < 0.2 * np.sqrt(((first - 1.0) ** 2).mean())


def test_first_step_of_adam_is_the_sign_of_the_gradient():
    vector, unravel = start()
    optimizer = make_optimizer(section(), unravel)
    gradient = random_gradient(vector.size)
    updates, _ = optimizer.update(gradient, optimizer.init(vector), vector, rate=0.1)
    np.testing.assert_allclose(updates, np.sign(gradient), atol=1e-4)


def test_muon_makes_matrices_orthogonal():
    """All singular values of a matrix update are alike, and its size is that of Adam's."""
    vector, unravel = start()
    optimizer = make_optimizer(section(optimizer="muon"), unravel)
    gradient = random_gradient(vector.size)
    updates, _ = optimizer.update(gradient, optimizer.init(vector), vector, rate=0.1)
    tree = unravel(updates)
    for matrix in (tree["a"][0], tree["a"][1], tree["b"]):
        singular = np.linalg.svd(matrix, compute_uv=False)
        # Newton-Schulz iteration with these coefficients ends between 0.7 and 1.2
        assert singular.max() / singular.min() < 2.0
    # Adam with Nesterov momentum for what is no matrix: equal sizes, the sign of the gradient
    for name in ("c", "energy.shift"):
        np.testing.assert_allclose(np.abs(tree[name]), np.abs(tree["c"][0]), rtol=1e-4)
        np.testing.assert_array_equal(np.sign(tree[name]), np.sign(unravel(gradient)[name]))
    assert float((updates * gradient).sum()) > 0


def test_schedules():
    cosine, free = section(warmup=0.1), section(warmup=0.1, optimizer="schedule_free")
    assert learning_rate(cosine, 0.05) == learning_rate(free, 0.05) == pytest.approx(0.005)
    assert learning_rate(cosine, 1.0) == pytest.approx(1e-4)
    assert learning_rate(free, 1.0) == 0.01


# -- fits -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_frames(tmp_path_factory.mktemp("lj") / "lj.extxyz", lj_frames(8))


@pytest.mark.parametrize("keys", [{"optimizer": "muon"}, {"optimizer": "schedule_free"}])
def test_a_tiny_fit_learns_and_resumes(keys, data, tmp_path):
    """Validation errors of the averaged weights fall, and a checkpoint restores the optimiser."""
    fit = tiny_fit(data, tmp_path, **keys)
    before = fit.validate()["loss"]
    fit.run()
    assert fit.validate()["loss"] < 0.7 * before
    again = tiny_fit(data, tmp_path, **keys)
    assert again.restore()
    for a, b in zip(jax.tree.leaves(fit.state), jax.tree.leaves(again.state), strict=True):
        np.testing.assert_array_equal(a, b)


def test_schedule_free_is_not_averaged_twice(data, tmp_path):
    """What is validated is the optimiser's own average, whatever `train.ema` says."""
    fits = [
        tiny_fit(data, tmp_path / str(ema), optimizer="schedule_free", ema=ema, epochs=3)
        for ema in (0.0, 0.999)
    ]
    for fit in fits:
        fit.run()
        state = fit.state
        own = evaluated(fit.config.train, state.optimizer, state.parameters)
        np.testing.assert_allclose(state.average, own, rtol=1e-6, atol=1e-7)
    np.testing.assert_array_equal(fits[0].state.average, fits[1].state.average)


@pytest.mark.parametrize("name", ["adamw", "muon", "schedule_free"])
def test_accumulated_batches_make_the_step_of_one_large_batch(name, data, tmp_path):
    """Parts with 1, 2 and 3 frames, so that a mean of means would be wrong, and an empty part."""
    fit = tiny_fit(data, tmp_path, accumulate=4, optimizer=name)
    samples, cutoff, rate = fit.train_samples[:6], fit.config.model.cutoff, np.float32(0.01)
    large = fit.shapes()[-1]._replace(atoms=48, graphs=6)
    small = large._replace(atoms=24, graphs=3)
    whole = assemble_step(samples, large, [[0, 1, 2, 3, 4, 5]], cutoff)
    parts = assemble_step(samples, small, [[3], [0, 1], [], [5, 2, 4]], cutoff)
    results = []
    for graphs, labels in (whole, parts):
        state = jax.tree.map(jnp.array, fit.state)
        state, sums, norm = fit.steps.train(state, {}, graphs, labels, rate)
        results.append((np.asarray(state.parameters), np.array(sums), float(norm)))
    start = np.asarray(fit.state.parameters)
    (a, sums_a, norm_a), (b, sums_b, norm_b) = results
    assert np.abs(a - start).max() > 1e-5
    np.testing.assert_allclose(sums_a, sums_b, rtol=2e-5)
    assert norm_a == pytest.approx(norm_b, rel=1e-5)
    # Adam divides by the size of the gradient: where that is rounding, so is the step
    assert np.abs(a - b).max() < 0.02 * np.abs(a - start).max()


def test_every_frame_counts_once_when_batches_are_accumulated(data, tmp_path):
    fit = tiny_fit(data, tmp_path, accumulate=3, epochs=2)
    fit.run()
    lines = [json.loads(x) for x in (tmp_path / "fit" / "metrics.jsonl").read_text().splitlines()]
    epochs = [x for x in lines if x["kind"] == "epoch"]
    assert [x["step"] for x in epochs] == [2, 4]  # 4 batches of two frames in steps of 3
    assert fit.steps.n_traces == 2 * len(fit.shapes())  # training and validation


@pytest.mark.parametrize("accumulate", [1, 3])
def test_the_cosine_ends_with_the_time_budget(accumulate, data, tmp_path, monkeypatch):
    """On a clock that ticks 0.05 s a look, the last steps take the lowest rate."""
    clock = itertools.count()
    monkeypatch.setattr(loop, "time", SimpleNamespace(monotonic=lambda: 0.05 * next(clock)))
    keys = {"epochs": None, "time_budget": "6s", "checkpoint_every": "1h"}
    fit = tiny_fit(data, tmp_path, accumulate=accumulate, **keys)
    assert fit.run() == "time_budget"
    assert fit.progress.elapsed == pytest.approx(6.0, abs=0.3)
    lines = [json.loads(x) for x in (tmp_path / "fit" / "metrics.jsonl").read_text().splitlines()]
    rates = [x["learning_rate"] for x in lines if x["kind"] == "epoch"]
    assert rates[0] > 50 * rates[-1]
    assert rates[-1] == pytest.approx(1e-4, rel=0.1)

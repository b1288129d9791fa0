# SPDX-License-Identifier: MIT
"""Committees: members are the single fits of their seeds, resume, files, spread and calibration."""

from __future__ import annotations

import io

import jax.numpy as jnp
import numpy as np
import pytest
import yaml
from qdml.analyse.calibration import spread_factors
from qdml.analyse.parity import read_evaluation
from qdml.committee import read_members
from qdml.modelfile import content_hash, read_file, read_model
from qdml_train.committee import (
    Spread,
    calibration,
    committee_prediction,
    describe_spread,
    rank_correlation,
)
from qdml_train.model.potential import Prediction
from qdml_train.packing import Labels, Shape, committee_steps
from qdml_train.predictor import engine_available
from qdml_train.workflow import run_fit
from rich.console import Console
from tiny_fits import cluster_file, metrics, tiny_config, tiny_fit


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return cluster_file(tmp_path_factory.mktemp("lj"))


@pytest.fixture(scope="module")
def committee(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("committee")
    fit = tiny_fit(data, folder, committee=2, epochs=6, validate_every=3, seed=5)
    fit.run()
    return folder, fit


def test_members_are_the_fits_of_their_seeds(committee, data, tmp_path):
    """Same start, same order of the data, same steps; only vmap's rounding differs."""
    _, fit = committee
    for k in range(2):
        single = tiny_fit(data, tmp_path / str(k), epochs=6, validate_every=3, seed=5 + k)
        start = np.asarray(single.state.parameters)
        single.run()
        moved = np.abs(np.asarray(single.state.average) - start).max()
        difference = np.abs(np.asarray(single.state.average) - np.asarray(fit.state.average[k]))
        assert difference.max() < 1e-3 * moved
    members = np.asarray(fit.state.average)
    assert np.abs(members[0] - members[1]).max() > 0.1


def test_validation_tells_spread_and_calibration(committee):
    folder, fit = committee
    found = metrics(folder)[-1]["valid"]
    assert found["force_rmse_mev_per_angstrom"] > 0
    assert found["spread"]["force_spread_mev_per_angstrom"] > 0
    assert len(found["spread"]["force_bins"]) == 5
    assert metrics(folder)[0]["valid"] is None  # validates every third epoch
    assert fit.progress.best_epoch in (3, 6)
    text = describe_spread(found["spread"])
    assert "error/spread" in text


def test_a_stopped_committee_goes_on_exactly(committee, data, tmp_path):
    _, whole = committee
    keys = {"committee": 2, "epochs": 6, "validate_every": 3, "seed": 5}
    fit = tiny_fit(data, tmp_path, **keys)
    train_step = fit._train_step

    def stop_in_the_second_epoch(step, rate):
        train_step(step, rate)
        if fit.progress.step == 6:
            fit._stop = 15

    fit._train_step = stop_in_the_second_epoch
    with pytest.raises(KeyboardInterrupt):
        fit.run()
    again = tiny_fit(data, tmp_path, **keys)
    assert again.restore()
    assert (again.progress.epoch, again.progress.position) == (1, 2)
    again.run()
    for name in ("parameters", "average"):
        np.testing.assert_array_equal(getattr(again.state, name), getattr(whole.state, name))
    np.testing.assert_array_equal(again.best, whole.best)


def test_spreads_are_not_calibrated_on_training_frames(tmp_path):
    config = tiny_config(cluster_file(tmp_path, 14), tmp_path, committee=2, epochs=1)  # split: none
    path = tmp_path / "run.yaml"
    path.write_text(yaml.safe_dump(config.model_dump(mode="json", by_alias=True)))
    console = Console(file=io.StringIO(), width=200)
    run_fit(path, [], True, not engine_available(), console, 0.0)
    assert "spreads are not calibrated: no validation frames" in console.file.getvalue()
    assert "spread_factors" not in read_file(tmp_path / "fit" / "model-committee.qdml")[0]


def test_every_member_becomes_a_file(tmp_path):
    held_out = {"split": "blocks", "valid_fraction": 0.5}
    many = cluster_file(tmp_path, 14)  # 49 atoms validate
    config = tiny_config(many, tmp_path, section=held_out, committee=2, epochs=1)
    path = tmp_path / "run.yaml"
    content = config.model_dump(mode="json", by_alias=True)
    path.write_text(yaml.safe_dump(content))
    console = Console(file=io.StringIO(), width=200)
    run_fit(path, [], True, not engine_available(), console)
    documents, tensors = zip(
        *(read_model(tmp_path / "fit" / f"model-{k}.qdml") for k in range(2)), strict=True
    )
    assert [d["training"]["seed"] for d in documents] == [1, 2]
    assert not (tmp_path / "fit" / "model.qdml").exists()
    assert np.abs(tensors[0]["embedding.weight"] - tensors[1]["embedding.weight"]).max() > 0.1
    assert "committee of 2" in console.file.getvalue()
    path = tmp_path / "fit" / "model-committee.qdml"
    evaluation = read_evaluation(tmp_path / "fit" / "evaluation.json")
    factors = spread_factors(evaluation, "valid")
    assert read_file(path)[0]["spread_factors"] == pytest.approx(factors, rel=1e-3)
    together = read_members(path)
    assert len(together) == 2
    for k, member in enumerate(together):
        assert member.hash == content_hash(tmp_path / "fit" / f"model-{k}.qdml")
        for name, values in tensors[k].items():
            np.testing.assert_array_equal(member.tensors[name], values)


# -- the statistics by hand -----------------------------------------------------------------------


def test_mean_and_spread_by_hand():
    forces = np.array([[[1.0, 0, 0], [0, 0, 0]], [[3.0, 0, 0], [0, 0, 0]]])  # 2 members, 2 atoms
    members = Prediction(jnp.array([[1.0], [2.0]]), jnp.asarray(forces), jnp.zeros((2, 1, 3, 3)))
    labels = Labels(
        energy=np.array([1.0]),
        forces=np.array([[2.0, 0.5, 0], [0, 0, 0]]),
        virial=np.zeros((1, 3, 3)),
        n_atoms=np.array([2.0]),
        energy_weight=np.ones(1),
        force_weight=np.array([1.0, 0.0]),
        virial_weight=np.zeros(1),
        level=np.zeros(1, int),
    )
    mean, spread = committee_prediction(members, labels)
    assert float(mean.energy[0]) == 1.5
    np.testing.assert_allclose(spread.force_error, [0.5, 0.0])
    np.testing.assert_allclose(spread.force_spread, [1.0, 0.0], rtol=1e-6)
    np.testing.assert_allclose(spread.energy_error, [0.25])
    np.testing.assert_allclose(spread.energy_spread, [0.25], rtol=1e-6)
    np.testing.assert_array_equal(spread.has_forces, [1, 0])


def test_calibration_of_an_over_confident_committee():
    """Errors drawn with three times the spread, in the same order; padding does not count."""
    rng = np.random.default_rng(0)
    spread = np.append(rng.uniform(0.01, 0.2, size=400), 99.0)
    error = np.append(3.0 * spread[:-1], 0.0)
    one = np.append(np.ones(400), 0.0)
    found = calibration([Spread(error, spread, one, error[:4], spread[:4], one[:4])])
    assert found["force_error_over_spread"] == pytest.approx(3.0)
    assert found["energy_error_over_spread"] == pytest.approx(3.0)
    assert found["force_correlation"] == pytest.approx(1.0)
    rms = 1e3 * np.sqrt((spread[:-1] ** 2).mean() / 3)
    assert found["force_spread_mev_per_angstrom"] == pytest.approx(rms, rel=1e-4)
    bins = np.array(found["force_bins"])
    assert (np.diff(bins[:, 0]) > 0).all()
    np.testing.assert_allclose(bins[:, 1], 3.0 * bins[:, 0], rtol=1e-3)


def test_rank_correlation_needs_numbers_that_differ():
    assert rank_correlation(np.array([1.0, 2.0]), np.array([1.0, 2.0])) is None
    assert rank_correlation(np.ones(5), np.arange(5.0)) is None
    assert rank_correlation(np.arange(5.0), -np.arange(5.0)) == -1.0


def test_members_with_fewer_steps_wait_with_empty_batches():
    small, large = Shape(8, 8, 1), Shape(16, 8, 2)
    first = [(large, [[0, 1]]), (small, [[2]])]
    second = [(small, [[2]]), (large, [[0]]), (large, [[1]])]
    assert committee_steps([first, second]) == [
        (large, [[[0, 1]], [[0]]]),
        (small, [[[2]], [[2]]]),
        (large, [[[]], [[1]]]),
    ]


def test_an_empty_step_changes_nothing(data, tmp_path):
    """Adam would move on with its momentum; a member without frames must not."""
    fit = tiny_fit(data, tmp_path, committee=2)
    shape, members = fit.epoch(0)[0]
    fit._train_step((shape, members), 0.01)
    before = np.asarray(fit.state.parameters).copy()
    fit._train_step((shape, [members[0], [[]]]), 0.01)
    after = np.asarray(fit.state.parameters)
    assert np.abs(after[0] - before[0]).max() > 1e-4
    np.testing.assert_array_equal(after[1], before[1])

# SPDX-License-Identifier: MIT
"""Fits that start from a `.qdml` file: all weights or the head, new elements, E0."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import path_models
import pytest
from ase.calculators.singlepoint import SinglePointCalculator
from labelled_frames import lj_frames, write_frames
from qdml.errors import ConfigError
from qdml.modelfile import read_model, write_model
from qdml_train.config import dump_config, load_config
from qdml_train.dataset import load_dataset
from qdml_train.export import export_model, file_document, file_tensors
from qdml_train.make_network import make_network
from qdml_train.model.radial import knot_inputs_with_slope
from qdml_train.model.tuned import CHANGE, TunedNetwork
from qdml_train.predictor import JaxPotential, engine_available
from qdml_train.start import nearest_element, place, read_start
from tiny_fits import cluster_file, tiny_config, tiny_fit
from train_helpers import frame, small_architecture, small_document, small_tensors

SPECIES = ("Ne", "Ar", "Kr")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Clusters of Ne and Ar."""
    return cluster_file(tmp_path_factory.mktemp("lj"))


def cartesian_file(path, species=SPECIES, l_max=1, layers=2):
    architecture = small_architecture(l_max, layers)
    document = {**small_document(architecture), "species": list(species)}
    tensors = small_tensors(architecture, zbl=False)
    tensors["energy.reference"] = np.array([-3.0, -7.0, -11.0])
    write_model(path, document, tensors)
    return path


def path_file(path, species=SPECIES):
    arch = path_models.architecture(["8x0e", "8x0e+4x1o+4x2e", "8x0e"], l_edge=2, knots=60)
    path_models.random_path_model(path, arch, species=species)
    return path


FILES = {"cartesian": cartesian_file, "paths": path_file}


@pytest.fixture(scope="module", params=list(FILES))
def base(request, tmp_path_factory):
    return FILES[request.param](tmp_path_factory.mktemp("base") / f"{request.param}.qdml")


# -- the start ------------------------------------------------------------------------------------


@pytest.mark.parametrize("tune", ["all", "head"])
def test_before_the_first_step_it_is_the_file(base, data, tmp_path, tune):
    config = tiny_config(data, tmp_path, {}, **{"from": str(base), "tune": tune})
    dataset = load_dataset(config)
    network = make_network(config, dataset)
    parameters = network.start(1)
    assert any(np.asarray(x).any() for x in parameters.values()) == (tune == "all")
    found = file_tensors(parameters, network, dataset)
    _, stored = read_model(base)
    rows = [SPECIES.index(s) for s in dataset.species]
    for name, values in found.items():
        expected = stored[name]
        per_species = name.startswith(("energy.", "embedding")) or ".self_connection" in name
        if per_species and (expected.ndim != 2 or "embedding" in name):
            expected = expected[rows]
        if name != "energy.reference":
            np.testing.assert_array_equal(values, expected, err_msg=name)
    heads = {k for k in parameters if not k.startswith((CHANGE + "readout", CHANGE + "energy"))}
    assert heads == {"energy.shift"} if tune == "head" else len(heads) > 5


def test_the_file_decides_the_model(base, data, tmp_path):
    keys = {"from": str(base)}
    config = tiny_config(data, tmp_path, {}, **keys)
    assert config.model.cutoff == 4.0
    assert not config.model.zbl
    assert config.train.learning_rate == 0.001
    again = tmp_path / "again.yaml"
    again.write_text(dump_config(config))
    assert load_config(again) == config
    with pytest.raises(ConfigError, match=r"model.cutoff = 5.0, but train.from: .* has 4.0"):
        tiny_config(data, tmp_path, {"cutoff": 5.0}, **keys)
    with pytest.raises(ConfigError, match="belongs to train"):
        tiny_config(data, tmp_path, tune="head")


def test_e0_are_fitted_to_what_the_file_leaves_over(base, tmp_path):
    """Labels made by the file itself plus 2 eV per Ne: E0 is found, and nothing is left."""
    potential = JaxPotential.from_file(base)
    frames = lj_frames(8)[1::2]
    frames += [a[:5] for a in frames[:2]]  # another composition determines both
    results = potential.predict([frame(a) for a in frames])
    for atoms, result in zip(frames, results, strict=True):
        energy = result.energy + 2.0 * (atoms.numbers == 10).sum()
        atoms.calc = SinglePointCalculator(atoms, energy=energy, forces=result.forces)
    own = write_frames(tmp_path / "own.extxyz", frames)
    config = tiny_config(own, tmp_path, {}, **{"from": str(base)})
    dataset = load_dataset(config)
    _, stored = read_model(base)
    expected = stored["energy.reference"][:2] + np.array([2.0, 0.0])
    np.testing.assert_allclose(dataset.e0.values, expected, atol=1e-6)
    assert dataset.e0.rmse < 1e-6
    assert dataset.levels[0].trained
    kept = tiny_config(own, tmp_path, {}, {"e0": "base"}, **{"from": str(base)})
    found = load_dataset(kept)
    np.testing.assert_array_equal(found.e0.values, stored["energy.reference"][:2])
    assert not found.levels[0].trained


def test_new_elements_start_from_their_neighbours(tmp_path, data):
    base = cartesian_file(tmp_path / "base.qdml", species=("He", "Ne", "Kr"))
    dataset = load_dataset(tiny_config(data, tmp_path, {}, **{"from": str(base)}))
    start = dataset.start
    assert start.donors == {"Ar": "Ne"}
    assert start.left_out == ("He", "Kr")
    text = " ".join(dataset.messages)
    assert "new element Ar: starts with the weights of Ne" in text
    assert "2 elements of base.qdml are not in the data" in text
    embedding = start.tensors["embedding.weight"]
    np.testing.assert_array_equal(embedding[0], embedding[1])
    assert start.tensors["energy.reference"][1] == 0.0
    config = tiny_config(data, tmp_path, {}, {"e0": "base"}, **{"from": str(base)})
    with pytest.raises(ConfigError, match=r"e0: base, but base.qdml has no Ar"):
        load_dataset(config)
    with pytest.raises(ConfigError, match=r"that of train.from, which is not given"):
        load_dataset(tiny_config(data, tmp_path, None, {"e0": "base"}))


@pytest.mark.parametrize(
    ("symbol", "candidates", "expected"),
    [
        ("Te", ["H", "Cd", "Se", "S"], "Se"),
        ("Br", ["Cd", "Se", "Cl"], "Cl"),
        ("Hg", ["Cd", "In", "Se"], "Cd"),
        ("La", ["Y", "Ba", "Hf"], "Y"),
        ("He", ["H", "Ar"], "Ar"),
        ("As", ["In", "O"], "O"),
    ],
)
def test_the_nearest_element(symbol, candidates, expected):
    assert nearest_element(symbol, candidates) == expected


def test_places_in_the_periodic_table():
    found = {n: place(n) for n in (1, 2, 3, 10, 13, 21, 30, 48, 57, 71, 72, 80, 82, 118)}
    assert found == {
        1: (1, 1), 2: (18, 1), 3: (1, 2), 10: (18, 2), 13: (13, 3), 21: (3, 4), 30: (12, 4),
        48: (12, 5), 57: (3, 6), 71: (3, 6), 72: (4, 6), 80: (12, 6), 82: (14, 6), 118: (18, 7),
    }  # fmt: skip


# -- radial tables --------------------------------------------------------------------------------


def test_slopes_of_the_bessel_functions():
    cutoff, knots = 4.0, 4000
    values, slopes = knot_inputs_with_slope(cutoff, knots, 6)
    step = cutoff / knots
    np.testing.assert_allclose(
        slopes[1:-1], (values[2:] - values[:-2]) / (2 * step), atol=1e-4 * np.abs(slopes).max()
    )
    assert not values[-1].any()
    assert not slopes[-1].any()
    assert not slopes[0].any()


def test_changed_path_tables_stay_smooth(tmp_path, data):
    """Value and slope rows belong together: the Hermite curve through every second knot agrees."""
    base = path_file(tmp_path / "b.qdml")
    config = tiny_config(data, tmp_path, {"bessel": 4}, **{"from": str(base)})
    network = make_network(config, load_dataset(config))
    assert isinstance(network, TunedNetwork)
    with jax.enable_x64(True):
        key = iter(jax.random.split(jax.random.key(0), 100))
        wide = {
            k: jax.random.normal(next(key), v.shape, jnp.float64)
            for k, v in network.start(1).items()
        }
        frozen = {k: jnp.asarray(v) for k, v in network.frozen.items()}
        tensors = network.tensors(wide, frozen)
    change = np.asarray(tensors["layers.1.radial"]) - network.frozen["layers.1.radial"]
    assert np.abs(change).max() > 0.1
    assert not change[-1].any()
    a, b = change[:-2:2], change[2::2]
    middle = (a[:, 0] + b[:, 0]) / 2 + 2 * (a[:, 1] - b[:, 1]) / 8
    assert np.abs(middle - change[1:-1:2, 0]).max() < 2e-3 * np.abs(change[:, 0]).max()


# -- fits -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("tune", ["all", "head"])
def test_a_fit_from_a_file_learns_and_exports(base, data, tmp_path, tune):
    keys = {"from": str(base), "tune": tune, "epochs": 40, "learning_rate": 0.01}
    fit = tiny_fit(data, tmp_path, {}, **keys)
    before = fit.validate()["loss"]
    fit.run()
    assert fit.validate()["loss"] < 0.9 * before
    document = file_document(fit.network.architecture, fit.dataset, {}, "")
    tensors = file_tensors(fit.best_parameters, fit.network, fit.dataset)
    path = tmp_path / "model.qdml"
    export_model(path, document, tensors, fit.dataset.valid, not engine_available())
    old, new = read_model(base), read_model(path)
    assert new[0]["architecture"] == old[0]["architecture"]
    assert new[0]["parent"] == fit.dataset.start.hash
    changed = {
        k for k in new[1] if new[1][k].shape == old[1][k].shape and (new[1][k] != old[1][k]).any()
    }
    assert "readout.0.weight" in changed
    assert any(k.endswith("radial") for k in changed) == (tune == "all")
    again = tiny_fit(data, tmp_path, {}, **keys)
    assert again.restore()
    for a, b in zip(jax.tree.leaves(fit.state), jax.tree.leaves(again.state), strict=True):
        np.testing.assert_array_equal(a, b)


def test_another_file_is_another_fit(data, tmp_path):
    base = cartesian_file(tmp_path / "base.qdml")
    fit = tiny_fit(data, tmp_path, {}, **{"from": str(base), "epochs": 1})
    fit.save()
    document, tensors = read_model(base)
    write_model(base, document, {**tensors, "energy.scale": 2.0 * tensors["energy.scale"]})
    with pytest.raises(ConfigError, match="start = "):
        tiny_fit(data, tmp_path, {}, **{"from": str(base), "epochs": 1}).restore()


def test_read_start_keeps_rows_in_the_order_of_the_fit(tmp_path):
    base = cartesian_file(tmp_path / "base.qdml", species=("Kr", "Ne", "Ar"))
    _, stored = read_model(base)
    start = read_start(base, ("Ne", "Ar"))
    np.testing.assert_array_equal(start.tensors["embedding.weight"], stored["embedding.weight"][1:])
    name = "layers.1.self_connection.l0.weight"
    np.testing.assert_array_equal(start.tensors[name], stored[name][1:])

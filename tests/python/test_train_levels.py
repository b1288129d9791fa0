# SPDX-License-Identifier: MIT
"""Several levels of theory in one fit: replayed frames, labels of a teacher, their own E0."""

from __future__ import annotations

import ase.io
import jax
import numpy as np
import pytest
from labelled_frames import labelled, lj_frames, relabel, write_frames
from qdml.errors import ConfigError, DataError
from qdml.modelfile import read_model, write_model
from qdml_train.cli import app
from qdml_train.dataset import load_dataset
from qdml_train.levels import shifted_frames
from qdml_train.loop import Fit
from qdml_train.model.network import SHIFT, SHIFT_UNIT, shift_of
from qdml_train.predictor import best_potential
from qdml_train.sources import read_frames
from rich.console import Console
from tiny_fits import tiny_config, tiny_fit
from train_helpers import small_architecture, small_document, small_tensors
from typer.testing import CliRunner

OFFSET = {10: -2.0, 18: -5.0}  # eV per Ne and Ar between the two levels


def clusters(n=8):
    """Clusters of two compositions (Ar4Ne3 and Ar3Ne3), which determine E0."""
    found = []
    for k, atoms in enumerate(lj_frames(2 * n)[1::2]):
        if k % 2:
            del atoms[next(a.index for a in atoms if a.symbol == "Ar")]
        found.append(labelled(atoms, origin="cluster", level_of_theory="LJ"))
    return found


def other_level(frames):
    """The same labels with other reference energies, at another level of theory."""
    moved = []
    for atoms in frames:
        change = sum(OFFSET[int(z)] for z in atoms.numbers)
        moved.append(relabel(atoms, energy=atoms.calc.results["energy"] + change))
        moved[-1].info["level_of_theory"] = "LJ with other atoms"
    return moved


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("levels")
    frames = clusters(12)
    ours, theirs = frames[:8], frames[8:]
    return (
        write_frames(folder / "ours.extxyz", ours),
        write_frames(folder / "theirs.extxyz", other_level(theirs)),
    )


def test_one_scale_of_energies_needs_one_level(files, tmp_path):
    with pytest.raises(DataError, match="mix levels of theory"):
        load_dataset(tiny_config([str(f) for f in files], tmp_path))


def test_energies_of_another_level_are_moved(files, tmp_path):
    """By E0 of both; the potential keeps that of the first, and its level."""
    ours, theirs = files
    sources = [str(ours), {"file": str(theirs), "e0": "fit", "weights": 0.5}]
    dataset = load_dataset(tiny_config(sources, tmp_path))
    assert [level.name for level in dataset.levels] == ["", str(theirs)]
    assert [level.trained for level in dataset.levels] == [False, True]
    assert dataset.level_of_theory == "LJ"
    assert "measured from their own E0" in " ".join(dataset.messages)
    difference = dataset.levels[1].e0.values - dataset.levels[0].e0.values
    # least squares over different structures: near, and the rest is left to training
    np.testing.assert_allclose(difference, [-2.0, -5.0], atol=0.2)
    moved = [f for f in dataset.train if f.level]
    plain = [f.energy for f in read_frames(theirs)]
    for frame, energy in zip(moved, plain, strict=True):
        counts = [(frame.numbers == z).sum() for z in (10, 18)]
        assert frame.energy == pytest.approx(energy - np.dot(counts, difference))
    assert {s.level for s in dataset.samples["train"]} == {0, 1}


def test_numbers_of_another_level_are_taken_as_they_are(files, tmp_path):
    ours, theirs = files
    e0 = {"Ne": -2.0, "Ar": -5.0}
    sources = [str(ours), {"file": str(theirs), "e0": e0}]
    dataset = load_dataset(tiny_config(sources, tmp_path, None, {"e0": {"Ne": 0.0, "Ar": 0.0}}))
    assert not any(level.trained for level in dataset.levels)
    originals = {round(a.calc.results["energy"], 6) for a in clusters(12)}
    assert {round(f.energy, 6) for f in dataset.train if f.level} <= originals
    assert SHIFT not in Fit(
        tiny_config(sources, tmp_path), dataset, Console(quiet=True)
    ).network.start(1)
    with pytest.raises(DataError, match="e0 has no value for Ar"):
        load_dataset(tiny_config([{"file": str(theirs), "e0": {"Ne": 0.0}}], tmp_path))
    with pytest.raises(ConfigError, match=r"that of train.from, which is not given"):
        load_dataset(tiny_config([str(ours), {"file": str(theirs), "e0": "base"}], tmp_path))


def test_a_level_that_only_validates_needs_numbers(files, tmp_path):
    ours, theirs = files
    held_out = {"valid": [{"file": str(theirs), "e0": "fit"}]}
    with pytest.raises(DataError, match=r"no training frame comes from .*theirs.extxyz; give"):
        load_dataset(tiny_config([str(ours)], tmp_path, None, held_out))
    held_out = {"valid": [{"file": str(theirs), "e0": {"Ne": -2.0, "Ar": -5.0}}]}
    keys = {"e0": {"Ne": 0.0, "Ar": 0.0}, **held_out}
    dataset = load_dataset(tiny_config([str(ours)], tmp_path, None, keys))
    originals = {round(a.calc.results["energy"], 6) for a in clusters(12)}
    assert {round(f.energy, 6) for f in dataset.valid} <= originals


def test_training_moves_the_e0_of_the_other_level_alone(files, tmp_path):
    ours, theirs = files
    sources = [str(ours), {"file": str(theirs), "e0": "fit"}]
    fit = tiny_fit(sources, tmp_path, epochs=30, energy_weight=1.0)
    fit.run()
    parameters = fit.best_parameters
    assert parameters[SHIFT].shape == (2, 2)
    assert not shift_of(fit.network, parameters, 0).any()
    moved = shift_of(fit.network, parameters, 1)
    np.testing.assert_allclose(moved, SHIFT_UNIT * np.asarray(parameters[SHIFT])[1], rtol=1e-6)
    assert np.abs(moved).max() > 1e-3
    frames = fit.dataset.train
    shifted = shifted_frames(frames, fit.dataset.species, [np.zeros(2), moved])
    for a, b in zip(frames, shifted, strict=True):
        counts = np.array([(a.numbers == z).sum() for z in (10, 18)])
        assert b.energy == pytest.approx(a.energy - (counts @ moved if a.level else 0.0))


# -- a teacher ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    path = tmp_path_factory.mktemp("teacher") / "teacher.qdml"
    document = {**small_document(small_architecture(0, 1)), "species": ["Ne", "Ar", "Kr"]}
    write_model(path, document, small_tensors(small_architecture(0, 1), zbl=False))
    return path


def bare_file(folder):
    frames = [a.copy() for a in clusters(4)]
    for atoms in frames:
        atoms.calc = None
        atoms.info.pop("level_of_theory")
    return write_frames(folder / "bare.extxyz", frames)


def test_a_student_learns_from_teacher_and_dft(files, teacher, tmp_path):
    bare = bare_file(tmp_path)
    sources = [str(files[0]), {"file": str(bare), "labels": str(teacher), "weights": 0.3}]
    config = tiny_config(sources, tmp_path, epochs=2)
    dataset = load_dataset(config)
    assert config.data.train[1].e0 == "fit"
    taught = [f for f in dataset.train if f.level]
    expected = best_potential(teacher).predict(taught)
    assert len(taught) == 4
    for frame, result in zip(taught, expected, strict=True):
        np.testing.assert_allclose(frame.forces, result.forces, atol=1e-12)
        assert frame.level_of_theory.startswith("teacher.qdml")
        assert frame.weights == (0.3, 0.3, 0.3)
    assert any("labels by teacher.qdml" in text for text in dataset.sources)
    fit = Fit(config, dataset, Console(quiet=True))
    fit.run()
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(fit.state))


def test_label_writes_what_a_source_reads(teacher, tmp_path):
    bare, target = bare_file(tmp_path), tmp_path / "out" / "labelled.extxyz"
    command = ["label", str(teacher), str(bare), "-o", str(target)]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    assert "4 frames, teacher.qdml" in result.output
    found = read_frames(target)
    expected = best_potential(teacher).predict(found)
    for frame, label in zip(found, expected, strict=True):
        assert frame.energy == pytest.approx(label.energy, abs=1e-7)
        np.testing.assert_allclose(frame.forces, label.forces, atol=1e-7)
        assert frame.origin == "cluster"
        assert frame.level_of_theory.startswith("teacher.qdml")
    assert isinstance(CliRunner().invoke(app, command).exception, ConfigError)


def test_a_teacher_refuses_elements_it_does_not_know(teacher, tmp_path):
    atoms = ase.io.read(bare_file(tmp_path), index=0)
    atoms.symbols[0] = "Cd"
    path = write_frames(tmp_path / "cd.extxyz", [atoms])
    with pytest.raises(DataError, match=r"frame 0 of cd.extxyz has Cd, which teacher.qdml lacks"):
        load_dataset(tiny_config([{"file": str(path), "labels": str(teacher)}], tmp_path))
    assert read_model(teacher)[0]["species"] == ["Ne", "Ar", "Kr"]

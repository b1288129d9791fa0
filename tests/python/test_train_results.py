# SPDX-License-Identifier: MIT
"""`eval` and what a fit leaves behind: committees, worst frames, the short run, the page."""

from __future__ import annotations

import io
import json
from pathlib import Path

import ase.io
import numpy as np
import pytest
from labelled_frames import cluster, labelled, write_frames
from qdml.committee import read_members, write_committee
from qdml.errors import ConfigError, DataError
from qdml.modelfile import content_hash, write_model
from qdml_train.cli import app
from qdml_train.evaluate import evaluate_models
from qdml_train.predictor import JaxPotential, Result, engine_available
from qdml_train.results import evaluate_files, smoke_frame
from qdml_train.sources import read_frames
from qdml_train.spread import combine, force_spread
from rich.console import Console
from train_helpers import small_architecture, small_document, small_tensors
from typer.testing import CliRunner

needs_engine = pytest.mark.skipif(not engine_available(), reason="native engine not installed")


def silent() -> Console:
    return Console(file=io.StringIO(), width=200)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory) -> tuple[list[Path], Path]:
    """Three potentials with random weights and 12 labelled clusters in three splits."""
    folder = tmp_path_factory.mktemp("eval")
    architecture = small_architecture(l_max=1, layers=2)
    models = [folder / f"{name}.qdml" for name in "abc"]
    for seed, path in enumerate(models):
        write_model(path, small_document(architecture), small_tensors(architecture, seed=seed))
    frames = [
        labelled(cluster(6 + k % 4, seed=k), origin=f"cluster-{k % 2}", split=split,
                 temperature=300.0, level_of_theory="LJ")
        for k, split in enumerate(["train"] * 4 + ["valid"] * 2 + ["test"] * 6)
    ]  # fmt: skip
    return models, write_frames(folder / "frames.extxyz", frames)


def test_spread_is_that_of_the_pair_style():
    """sqrt(sum_m |F_m - F|^2 / M), by hand for two members and by its definition for three."""
    two = np.array([[[1.0, 0, 0]], [[-1.0, 0, 2.0]]])
    assert force_spread(two) == pytest.approx([np.sqrt(2.0)])
    forces = np.random.default_rng(0).normal(size=(3, 5, 3))
    expected = [
        np.sqrt(sum(np.linalg.norm(f[i] - forces[:, i].mean(axis=0)) ** 2 for f in forces) / 3)
        for i in range(5)
    ]
    np.testing.assert_allclose(force_spread(forces), expected)
    one = Result(-3.0, two[0], None)
    assert combine([one]).mean is one
    assert combine([one]).force_spread is None
    both = combine([Result(-3.0, two[0], np.ones(6)), Result(-5.0, two[1], 3 * np.ones(6))])
    assert (both.mean.energy, both.energy_spread) == (-4.0, 1.0)
    np.testing.assert_array_equal(both.mean.forces, [[0, 0, 1.0]])
    np.testing.assert_array_equal(both.mean.stress, 2 * np.ones(6))


def test_committee_evaluation_is_the_mean(inputs):
    models, data = inputs
    frames = read_frames(data)
    document = evaluate_models(models, frames, [f.split for f in frames])
    assert [m["model_hash"] for m in document["members"]] == [content_hash(p) for p in models]
    assert document["model"] == "committee of a.qdml, b.qdml, c.qdml"
    found = np.array(
        [[r.energy for r in JaxPotential.from_file(m).predict(frames)] for m in models]
    )
    energies = [f["energy"] for f in document["frames"]]
    np.testing.assert_allclose([e["predicted"] for e in energies], found.mean(axis=0), atol=2e-6)
    np.testing.assert_allclose([e["spread"] for e in energies], found.std(axis=0), atol=2e-6)
    for record in document["frames"]:
        assert len(record["forces"]["spread"]) == record["n_atoms"]
        assert record["kind"] == "molecule"
        assert record["region"] is None  # no lattice here
    assert len(document["data_hash"]) == 16
    summary = document["summary"]
    assert list(summary["by_split"]) == ["train", "valid", "test"]
    assert summary["by_source"]["test/frames.extxyz"] == summary["by_split"]["test"]
    assert 0 < summary["by_split"]["test"]["force_angle_degrees"] < 180


def test_a_committee_file_is_evaluated_as_its_members(inputs, tmp_path):
    models, data = inputs
    frames = read_frames(data)
    splits = [f.split for f in frames]
    together = tmp_path / "together.qdml"
    factors = {"energy": 3.0, "forces": 2.0}
    packed = [m for path in models for m in read_members(path)]
    write_committee(together, packed, spread_factors=factors)
    apart = evaluate_models(models, frames, splits)
    whole = evaluate_models([together], frames, splits)
    assert whole["model_hash"] == content_hash(together)
    assert [m["model_hash"] for m in whole["members"]] == [content_hash(p) for p in models]
    assert whole["spread_factors"] == factors
    for one, other in zip(apart["frames"], whole["frames"], strict=True):
        assert one["forces"]["predicted"] == other["forces"]["predicted"]
        for name, factor in (("energy", 3.0), ("forces", 2.0)):
            wanted = factor * np.array(one[name]["spread"])
            np.testing.assert_allclose(other[name]["spread"], wanted, atol=1e-5)
    words = ["eval", str(together), "--data", str(data), "-o", str(tmp_path / "out"), "--nve", "0"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    assert "Spread of the committee" in (tmp_path / "out" / "report.html").read_text()


def test_eval_writes_the_page_and_all_that_belongs_to_it(inputs, tmp_path):
    models, data = inputs
    names = [str(m) for m in models]
    command = ["eval", *names, "--data", str(data), "-o", str(tmp_path / "out"), "--nve", "0.02"]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    numbers = json.loads((tmp_path / "out" / "metrics.json").read_text())
    page = (tmp_path / "out" / "report.html").read_text()
    assert numbers["parity"]["held_out_split"] == "test"
    assert numbers["data"]["n_frames"] == 12
    assert {f["check"] for f in numbers["data"]["findings"]} >= {"labels", "work", "duplicates"}
    calibration = numbers["calibration"]["forces"]
    n_atoms = sum(f.n_atoms for f in read_frames(data) if f.split == "test")
    assert calibration["n_atoms"] == n_atoms
    assert calibration["factor"] > 0
    assert "Spread of the committee" in page
    assert "NOT PROVEN" in page  # these files were written without a proof
    assert "--log was not given" not in page  # the page is about a potential, not about a run
    assert "learning" not in numbers
    assert numbers["versions"]["packages"]["jax"] is not None
    assert numbers["versions"]["model"]["hash"] == content_hash(models[0])
    worst = ase.io.read(tmp_path / "out" / "worst.extxyz", ":")
    rows = numbers["parity"]["worst"]
    assert [a.info["index"] for a in worst] == [r["index"] for r in rows]
    assert len(worst) == 6  # the test frames
    for atoms, row in zip(worst, rows, strict=True):
        difference = atoms.arrays["predicted_forces"] - atoms.arrays["REF_forces"]
        np.testing.assert_allclose(
            atoms.arrays["force_error"], np.linalg.norm(difference, axis=1), atol=1e-6
        )
        rmse = 1e3 * np.sqrt((difference**2).mean())
        assert rmse == pytest.approx(row["force_rmse_mev_per_angstrom"], rel=1e-4)
    again = read_frames(tmp_path / "out" / "worst.extxyz")  # data once more
    assert again[0].forces is not None
    if engine_available():
        assert numbers["nve"]["n_atoms"] == max(len(a) for a in worst)
        assert "nve: " in result.output
    else:
        assert "the native engine is not installed" in result.output


def test_eval_of_one_potential_takes_either_form(inputs, tmp_path):
    models, data = inputs
    target = tmp_path / "evaluation.json"
    for arguments in ([str(models[0]), str(data)], [str(models[0]), "--data", str(data)]):
        result = CliRunner().invoke(app, ["eval", *arguments, "-o", str(target)])
        assert result.exit_code == 0, result.output
        document = json.loads(target.read_text())
        assert document["model"] == "a.qdml"
        assert "spread" not in document["frames"][0]["forces"]
    assert list(tmp_path.iterdir()) == [target]


def test_eval_refuses_what_it_cannot_use(inputs):
    models, data = inputs
    for arguments in ([str(models[0])], [str(data)]):
        error = CliRunner().invoke(app, ["eval", *arguments]).exception
        assert isinstance(error, ConfigError)
        assert "at least one .qdml file and one file of labelled frames" in str(error)
    with pytest.raises(DataError, match="no frame has split=held"):
        evaluate_files(models[:1], [data], None, "held", 0.0, silent())


def test_the_short_run_starts_from_the_largest_held_out_frame(inputs):
    _, data = inputs
    frames = read_frames(data)
    splits = [f.split for f in frames]
    chosen = smoke_frame(frames, splits)
    assert (chosen.split, chosen.n_atoms) == ("test", 9)
    chosen = smoke_frame(frames, ["train"] * len(frames))
    largest = [np.abs(f.forces).max() for f in frames if f.n_atoms == 9]
    assert np.abs(chosen.forces).max() == min(largest)
    assert smoke_frame([], []) is None


def test_without_the_engine_there_is_no_short_run(inputs, tmp_path, monkeypatch):
    models, data = inputs
    for name in ("results", "predictor"):
        monkeypatch.setattr(f"qdml_train.{name}.engine_available", lambda: False)
    console = silent()
    evaluate_files(models[:1], [data], tmp_path / "out", "test", 0.02, console)
    assert "nve: not run, the native engine is not installed" in console.file.getvalue()
    assert not (tmp_path / "out" / "nve.json").exists()
    numbers = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert numbers["summary"][-1]["state"] == "MISSING"

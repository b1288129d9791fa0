# SPDX-License-Identifier: MIT
"""Fits from beginning to end: overfitting, exact resume, export with proof, the command line."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import ase.io
import numpy as np
import pytest
import yaml
from ase.calculators.singlepoint import SinglePointCalculator
from qdml.errors import CheckError, ConfigError, DataError, DivergedError, EngineError
from qdml.modelfile import read_model, write_model
from qdml_train import checkpoint, export
from qdml_train.autopsy import FrameFinding, verdict
from qdml_train.cli import app
from qdml_train.config import load_config, parse_config
from qdml_train.dataset import load_dataset
from qdml_train.loop import Fit
from qdml_train.loss import ENERGY_UNIT, FORCE_UNIT, loss_and_sums
from qdml_train.model.potential import Prediction
from qdml_train.optimizer import learning_rate
from qdml_train.packing import Labels
from qdml_train.predictor import EnginePotential, JaxPotential, engine_available
from qdml_train.results import FILES
from qdml_train.workflow import export_fit, run_fit
from rich.console import Console
from tiny_fits import cluster_file, metrics, tiny_config, tiny_fit
from train_helpers import (
    cluster,
    crystal,
    frame,
    lj_frames,
    small_architecture,
    small_document,
    small_potential,
    small_tensors,
    write_frames,
)
from typer.testing import CliRunner

needs_engine = pytest.mark.skipif(not engine_available(), reason="native engine not installed")

SMALL = {
    "model": {
        "cutoff": 4.0,
        "l_max": 1,
        "layers": 2,
        "channels": [16, 8],
        "message_channels": 16,
        "knots": 24,
        "radial_hidden": [16],
        "readout": [16],
    },
    "train": {"epochs": 25, "batch_atoms": 32, "learning_rate": 0.02, "seed": 7},
}


def small_config(folder: Path, data: Path, /, **changes: dict) -> dict:
    content = {
        "data": {"train": str(data), "valid_fraction": 0.2, "test_fraction": 0.2},
        "output": str(folder / "fit"),
        **{k: dict(v) for k, v in SMALL.items()},
    }
    for section, values in changes.items():
        content[section] = {**content.get(section, {}), **values}
    return content


def write_config(folder: Path, content: dict) -> Path:
    path = folder / "run.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def silent() -> Console:
    return Console(file=io.StringIO(), width=200)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A short fit through the front door; most tests look at what it left."""
    folder = tmp_path_factory.mktemp("fit")
    data = write_frames(folder / "lj.extxyz", lj_frames(20))
    console = silent()
    path = write_config(folder, small_config(folder, data))
    run_fit(path, [], True, not engine_available(), console, nve_length=0.02)
    return folder, path, data, console.file.getvalue()


# -- loss and schedule --------------------------------------------------------------------------


def test_loss_by_hand():
    """One structure and one padding entry; quadratic inside the Huber width, weights as written."""
    section = parse_config({"data": {"train": "x"}, "train": {"epochs": 1}}).train
    labels = Labels(
        energy=np.array([2.0, 0.0]),
        forces=np.zeros((3, 3)),
        virial=np.zeros((2, 3, 3)),
        n_atoms=np.array([2.0, 1.0]),
        energy_weight=np.array([0.5, 0.0]),
        force_weight=np.array([0.5, 0.5, 0.0]),
        virial_weight=np.zeros(2),
        level=np.zeros(2, int),
    )
    forces = np.array([[0.05, 0, 0], [0, 0, 0], [9.0, 9.0, 9.0]])  # the last atom is padding
    prediction = Prediction(np.array([2.01, 5.0]), forces, np.ones((2, 3, 3)))
    loss, sums = loss_and_sums(prediction, labels, section)
    energy = 0.5 * (0.005 / ENERGY_UNIT) ** 2
    force = 0.5 * (0.05 / FORCE_UNIT) ** 2 / 6
    assert float(loss) == pytest.approx(
        section.energy_weight * energy + section.force_weight * force
    )
    # reported errors carry the same weights: mean squares, not sums, are what is read
    assert float(sums.n_forces) == pytest.approx(0.5 * 6)
    assert float(sums.energy_squares / sums.n_energies) == pytest.approx(0.005**2)
    assert float(sums.n_virials) == 0


def test_schedule_warms_up_and_ends_low():
    section = parse_config({"data": {"train": "x"}, "train": {"epochs": 1}}).train
    rates = [learning_rate(section, p) for p in (0.0, section.warmup, 0.5, 1.0, 1.5)]
    assert rates[0] < rates[2] < rates[1] == section.learning_rate
    assert rates[3] == rates[4] == pytest.approx(section.learning_rate * 0.01)


# -- the fit ------------------------------------------------------------------------------------


def test_fit_writes_what_the_docs_say(finished):
    folder, _, _, output = finished
    fit = folder / "fit"
    names = {p.name for p in fit.iterdir()}
    assert names == {
        "config.yaml",
        "qdml-config.schema.json",
        "metrics.jsonl",
        "checkpoints",
        "model.qdml",
        *(set(FILES) - (set() if engine_available() else {"nve.json"})),
    }
    lines = [json.loads(line) for line in (fit / "metrics.jsonl").read_text().splitlines()]
    assert [x["kind"] for x in lines] == ["start", *["epoch"] * 25, "end"]
    assert lines[0]["n_train"] + lines[0]["n_valid"] + lines[0]["n_test"] == 20
    assert lines[-1]["reason"] == "epochs"
    first, last = lines[1], lines[-2]
    assert last["train"]["loss"] < 0.5 * first["train"]["loss"]
    assert last["valid"]["force_rmse_mev_per_angstrom"] > 0
    assert last["valid"]["virial_rmse_mev_per_atom"] > 0  # half of the frames have a stress
    evaluation = json.loads((fit / "evaluation.json").read_text())
    assert len(evaluation["frames"]) == 20
    for record in evaluation["frames"]:
        shape = (record["n_atoms"], 3)
        assert np.shape(record["forces"]["reference"]) == shape
        assert np.shape(record["forces"]["predicted"]) == shape
        assert record["split"] in ("train", "valid", "test")
        assert record["origin"] in ("bulk", "cluster")
        assert (record["stress"] is None) == (record["origin"] == "cluster")
    summary = evaluation["summary"]
    assert set(summary["by_split"]) == {"train", "valid", "test"}
    assert set(summary["by_element"]) >= {"test/Ar", "test/Ne"}
    predicted = [
        np.subtract(r["forces"]["predicted"], r["forces"]["reference"]).ravel()
        for r in evaluation["frames"]
        if r["split"] == "test"
    ]
    rmse = 1e3 * np.sqrt((np.concatenate(predicted) ** 2).mean())
    assert summary["by_split"]["test"]["force_rmse_mev_per_angstrom"] == pytest.approx(
        rmse, rel=1e-3
    )
    assert "test RMSE" in output


def test_file_repeats_the_training_code(finished):
    """The written tensors, read back, give the forces of the averaged weights; card is filled."""
    folder, path, _, output = finished
    document, tensors = read_model(folder / "fit" / "model.qdml")
    assert document["level_of_theory"] == "LJ"
    assert document["training"]["force_rmse_mev_per_angstrom"] > 0
    assert set(document["distances_seen"]) == {"Ne-Ne", "Ne-Ar", "Ar-Ar"}
    assert all(t.dtype == np.float64 for t in tensors.values())
    config = parse_config(yaml.safe_load(path.read_text()))
    fit = Fit(config, load_dataset(config), silent())
    assert fit.restore()
    frames = fit.dataset.valid
    best = export.file_tensors(fit.best_parameters, fit.network, fit.dataset)
    a = JaxPotential(document, tensors).predict(frames)
    b = JaxPotential(document, best).predict(frames)
    for x, y in zip(a, b, strict=True):
        assert x.energy == y.energy
        np.testing.assert_array_equal(x.forces, y.forces)
    if engine_available():
        assert document["proof"]["frames"] == len(frames)
        assert "proof over" in output
    else:
        assert document["proof"] is None
        assert "NOT PROVEN" in output


def test_few_traces(tmp_path):
    """One compilation per shape and function, however the epochs are packed."""
    data = write_frames(tmp_path / "lj.extxyz", lj_frames(14))
    config = parse_config(small_config(tmp_path, data, train={"epochs": 4}))
    fit = Fit(config, load_dataset(config), silent())
    fit.run()
    assert fit.steps.n_traces <= 2 * len(fit.shapes())
    assert len({b.shape for b in fit.buckets}) <= 3


def test_overfits_four_frames_of_a_dot(tmp_path):
    """Muon learns 474 DFT forces by heart; docs/training.md says how far the full example goes."""
    root = Path(__file__).parents[2]
    changes = [
        f"data.train={root / 'examples' / 'overfit.extxyz'}",
        f"output={tmp_path / 'fit'}",
        "model.cutoff=5.5",  # all frames in one batch: one shape to compile
        "train.epochs=400",
        "train.validate_every=400",
    ]
    fit = Fit(*loaded(load_config(root / "examples" / "overfit.yaml", changes)), silent())
    assert len(fit.shapes()) == 1
    fit.run()
    last = metrics(tmp_path)[-1]["valid"]
    rms = 1e3 * fit.dataset.scale
    # the full example ends at 0.7 meV/Å after 8000 steps; these 400 must learn the most of it
    assert last["force_rmse_mev_per_angstrom"] < 0.08 * rms
    assert last["energy_rmse_mev_per_atom"] < 2.0
    assert fit.steps.n_traces == 2


def loaded(config):
    return config, load_dataset(config)


def test_force_only_fit(tmp_path):
    data = write_frames(tmp_path / "lj.extxyz", lj_frames(6))
    config = parse_config(
        small_config(tmp_path, data, data={"use_energy": False}, train={"epochs": 6})
    )
    fit = Fit(config, load_dataset(config), silent())
    fit.run()
    lines = [json.loads(x) for x in (tmp_path / "fit" / "metrics.jsonl").read_text().splitlines()]
    epochs = [x["train"] for x in lines if x["kind"] == "epoch"]
    assert epochs[-1]["energy_rmse_mev_per_atom"] is None
    assert epochs[-1]["force_rmse_mev_per_angstrom"] < epochs[0]["force_rmse_mev_per_angstrom"]


def test_divergence_names_the_frames(tmp_path):
    data = write_frames(tmp_path / "lj.extxyz", lj_frames(6))
    config = parse_config(
        small_config(tmp_path, data, train={"learning_rate": 1e25, "warmup": 0.0})
    )
    fit = Fit(config, load_dataset(config), silent())
    with pytest.raises(DivergedError, match=r"frame \d of lj.extxyz") as error:
        fit.run()
    assert error.value.exit_code == 3


def test_the_autopsy_finds_the_frame_and_keeps_the_last_good_state(tmp_path):
    """One frame of a batch whose energy overflows float32; everything before stays."""
    frames = lj_frames(12)[1::2]
    results = {**frames[4].calc.results, "energy": 3e38}
    frames[4].calc = SinglePointCalculator(frames[4], **results)
    data = write_frames(tmp_path / "bad.extxyz", frames)
    zero = {"e0": {"Ne": 0.0, "Ar": 0.0}}
    fit = tiny_fit(data, tmp_path, None, zero, batch_atoms=21)
    states = []
    train_step = fit._train_step

    def recorded(step, rate):
        states.append(np.asarray(fit.state.parameters).copy())
        train_step(step, rate)

    fit._train_step = recorded
    with pytest.raises(DivergedError, match=r"frame 4 of bad.extxyz alone gives loss inf") as error:
        fit.run()
    report = json.loads((tmp_path / "fit" / "diverged.json").read_text())
    assert report["step"] == len(states)
    assert len(report["frames"]) == 3
    guilty = [f["frame"] for f in report["frames"] if f["loss"] in ("inf", "nan")]
    assert guilty == ["frame 4 of bad.extxyz"]
    assert len(ase.io.read(tmp_path / "fit" / "diverged.extxyz", index=":")) == 3
    assert "diverged.json" in str(error.value)
    again = tiny_fit(data, tmp_path, None, zero, batch_atoms=21)
    assert again.restore()
    np.testing.assert_array_equal(again.state.parameters, states[-1])
    assert np.isfinite(states[-1]).all()


def test_an_autopsy_without_a_guilty_frame_names_the_largest_numbers():
    findings = [
        FrameFinding("frame 1 of x", "md", 3, 1.0, 2.0, []),
        FrameFinding("frame 2 of x", "md", 3, 1.0, 7.0, []),
    ]
    text = verdict(findings, {"a": np.ones(3), "b": np.array([-9.0])})
    assert "every frame alone is finite" in text
    assert "(7) is that of frame 2 of x" in text
    assert "(9) lies in b" in text


# -- resume -------------------------------------------------------------------------------------


def start_fit(path: Path, *overrides: str) -> subprocess.Popen:
    source = Path(export.__file__).parents[1]
    environment = {
        **os.environ,
        "PYTHONPATH": f"{source}{os.pathsep}{os.environ.get('PYTHONPATH', '')}",
        "JAX_PLATFORMS": "cpu",
    }
    command = [
        sys.executable,
        "-m",
        "qdml_train",
        str(path),
        *overrides,
        "--unproven",
        "--nve",
        "0",
    ]
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def wait_for_step(folder: Path, process: subprocess.Popen, step: int) -> None:
    """Until a checkpoint of at least this step exists; the process must still be training."""
    for _ in range(60_000):
        found = checkpoint.checkpoints(folder)
        if found and int(found[-1].stem.split("-")[1]) >= step:
            return
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.01)
    pytest.fail("no checkpoint appeared")


def test_resume_after_kills_is_bitwise_exact(tmp_path):
    """Killed twice in the middle of epochs, then stopped, it ends with the undisturbed numbers."""
    data = cluster_file(tmp_path, 12)
    config = tiny_config(data, tmp_path, epochs=40, checkpoint_every="0.001s", validate_every=1)
    path = write_config(tmp_path, config.model_dump(mode="json", by_alias=True))
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    process = start_fit(path, f"output={whole}")
    assert process.wait() == 0, process.communicate()[0]
    process.stdout.close()
    stops = ((15, signal.SIGKILL), (40, signal.SIGKILL), (70, signal.SIGTERM))  # 6 steps an epoch
    for step, number in stops:
        process = start_fit(path, f"output={broken}")
        wait_for_step(broken / "checkpoints", process, step)
        process.send_signal(number)
        text, _ = process.communicate()
    assert "stopped by a signal in epoch" in text
    assert "the same command goes on from" in text
    assert process.returncode == 130
    process = start_fit(path, f"output={broken}")
    text, _ = process.communicate()
    assert process.returncode == 0, text
    assert "resumed at epoch" in text
    last = [checkpoint.checkpoints(f / "checkpoints")[-1] for f in (whole, broken)]
    assert last[0].name == last[1].name
    with np.load(last[0]) as a, np.load(last[1]) as b:
        assert set(a.files) == set(b.files)
        for name in a.files:
            if name != "extra":
                assert a[name].tobytes() == b[name].tobytes(), name
    models = [read_model(f / "model.qdml")[1] for f in (whole, broken)]
    assert all(models[0][name].tobytes() == models[1][name].tobytes() for name in models[0])
    lines = [json.loads(x) for x in (broken / "metrics.jsonl").read_text().splitlines()]
    assert [x["epoch"] for x in lines if x["kind"] == "epoch"] == list(range(1, 41))
    assert [x["resumed"] for x in lines if x["kind"] == "start"] == [False, True, True, True]


def test_resume_refuses_another_configuration_or_data(finished, tmp_path):
    folder, path, _, _ = finished
    content = yaml.safe_load(path.read_text())
    content["train"]["learning_rate"] = 0.5
    config = parse_config(content)
    with pytest.raises(ConfigError, match=r"train.learning_rate = 0.02 instead of 0.5"):
        Fit(config, load_dataset(config), silent()).restore()
    content = yaml.safe_load(path.read_text())
    content["data"]["train"] = str(write_frames(tmp_path / "lj.extxyz", lj_frames(20, seed=9)))
    config = parse_config(content)
    with pytest.raises(ConfigError, match="the data changed"):
        Fit(config, load_dataset(config), silent()).restore()
    assert (folder / "fit" / "model.qdml").exists()


def test_damaged_checkpoint_is_named(tmp_path):
    tree = {"a": np.arange(3.0), "b": [np.float32(1.5)]}
    path = checkpoint.save(tmp_path, 3, tree, {"epoch": 1})
    restored = checkpoint.load(path, tree)
    np.testing.assert_array_equal(restored.tree["a"], tree["a"])
    assert restored.extra == {"epoch": 1}
    with pytest.raises(DataError, match="does not fit this model"):
        checkpoint.load(path, {"a": tree["a"]})
    with pytest.raises(DataError, match=r"this model needs float64\[4\]"):
        checkpoint.load(path, {"a": np.zeros(4), "b": tree["b"]})
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(DataError, match="not a readable checkpoint"):
        checkpoint.load(path, tree)
    for step in (4, 5, 6):
        checkpoint.save(tmp_path, step, tree, {})
    assert [p.name for p in checkpoint.checkpoints(tmp_path)] == [
        "step-00000005.npz",
        "step-00000006.npz",
    ]


# -- export and proof ---------------------------------------------------------------------------


def proof_frames():
    return [frame(cluster(), 0), frame(crystal(), 1), frame(cluster(4, seed=5), 2)]


@needs_engine
@pytest.mark.parametrize("l_max", [0, 1, 2])
def test_engine_equals_jax(l_max, tmp_path):
    """Contract of the project: 1e-9 relative energy and 1e-8 eV/Å in double, 1e-4 in mixed."""
    architecture = small_architecture(l_max)
    document, tensors = small_document(architecture), small_tensors(architecture)
    write_model(tmp_path / "m.qdml", document, tensors)
    frames = proof_frames()
    reference = JaxPotential(document, tensors).predict(frames)
    for precision, energy, force in (("double", 1e-9, 1e-8), ("mixed", 1e-6, 1e-4)):
        found = EnginePotential(tmp_path / "m.qdml", precision).predict(frames)
        for a, b in zip(reference, found, strict=True):
            assert b.energy == pytest.approx(a.energy, rel=energy)
            np.testing.assert_allclose(b.forces, a.forces, atol=force)
            if a.stress is not None:
                np.testing.assert_allclose(b.stress, a.stress, atol=force)


@needs_engine
def test_proof_refuses_when_one_weight_is_altered(tmp_path, monkeypatch):
    architecture = small_architecture()
    document, tensors = small_document(architecture), small_tensors(architecture)

    def write_altered(path, metadata, arrays):
        arrays = {k: v.copy() for k, v in arrays.items()}
        arrays["layers.0.linear_out.l0.weight"][3, 2] += 1e-3
        return write_model(path, metadata, arrays)

    target = tmp_path / "m.qdml"
    monkeypatch.setattr(export, "write_model", write_altered)
    with pytest.raises(EngineError, match="export proof failed"):
        export.export_model(target, document, tensors, proof_frames(), unproven=True)
    assert not target.exists()
    monkeypatch.undo()
    _, proof = export.export_model(target, document, tensors, proof_frames())
    assert proof["double"]["force"] < 1e-8
    assert read_model(target)[0]["proof"] == proof


def test_without_the_engine_export_refuses_unless_told(tmp_path, monkeypatch):
    monkeypatch.setattr(export, "engine_available", lambda: False)
    architecture = small_architecture()
    document = {**small_document(architecture), "proof": None}
    tensors = small_tensors(architecture)
    target = tmp_path / "m.qdml"
    with pytest.raises(EngineError, match="NOT PROVEN and not written"):
        export.export_model(target, document, tensors, proof_frames())
    assert not target.exists()
    _, proof = export.export_model(target, document, tensors, proof_frames(), unproven=True)
    assert proof is None
    assert "NOT PROVEN" in export.proof_line(proof)


def test_export_from_a_fit_folder(finished, tmp_path):
    folder, _, _, _ = finished
    target = tmp_path / "again.qdml"
    export_fit(folder / "fit", target, not engine_available(), silent())
    _, a = read_model(folder / "fit" / "model.qdml")
    _, b = read_model(target)
    for name in a:
        np.testing.assert_array_equal(a[name], b[name])
    with pytest.raises(ConfigError, match=r"no config\.yaml with checkpoints"):
        export_fit(tmp_path, None, True, silent())


# -- the command line ---------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["check", "init", "fit", "eval", "export"])
def test_help_has_an_example(command):
    result = CliRunner().invoke(app, [command, "--help"])
    assert result.exit_code == 0
    assert "Example:" in result.output
    assert f"qdml_train {command}" in result.output


def test_init_writes_a_configuration_that_loads(tmp_path):
    data = write_frames(tmp_path / "lj.extxyz", lj_frames(6))
    target = tmp_path / "run.yaml"
    result = CliRunner().invoke(app, ["init", str(data), "-o", str(target)])
    assert result.exit_code == 0, result.output
    config = parse_config(yaml.safe_load(target.read_text()))
    assert [s.file for s in config.data.train] == [data]
    assert "origins: bulk (3), cluster (3)" in target.read_text()
    assert isinstance(
        CliRunner().invoke(app, ["init", str(data), "-o", str(target)]).exception, ConfigError
    )


def test_check_writes_its_report_and_fails_on_bad_data(tmp_path):
    frames = lj_frames(4)
    report = tmp_path / "check.txt"
    data = write_frames(tmp_path / "good.extxyz", frames)
    result = CliRunner().invoke(app, ["check", str(data), "--output", str(report)])
    assert result.exit_code == 0, result.output
    assert report.read_text().startswith("PASS labels: 4 frames")
    frames[1].info["level_of_theory"] = "HF"
    data = write_frames(tmp_path / "bad.extxyz", frames)
    result = CliRunner().invoke(app, ["check", str(data)])
    assert isinstance(result.exception, CheckError)
    assert result.exception.exit_code == 4
    assert "FAIL level of theory" in result.output


def test_eval_agrees_with_the_fit(finished, tmp_path):
    folder, _, data, _ = finished
    target = tmp_path / "evaluation.json"
    result = CliRunner().invoke(
        app, ["eval", str(folder / "fit" / "model.qdml"), str(data), "-o", str(target)]
    )
    assert result.exit_code == 0, result.output
    by_index = {
        f["index"]: f
        for f in json.loads((folder / "fit" / "evaluation.json").read_text())["frames"]
    }
    for record in json.loads(target.read_text())["frames"]:
        assert record["energy"] == by_index[record["index"]]["energy"]


def test_faults_exit_without_traceback(tmp_path):
    """The process, as a user sees it: exit code 2 and one message."""
    path = write_config(tmp_path, {"data": {"train": "x"}, "train": {"epoch": 3}})
    process = start_fit(path)
    text, _ = process.communicate()
    assert process.returncode == 2
    assert "did you mean 'train.epochs'" in text
    assert "Traceback" not in text


def test_unknown_element_is_refused():
    atoms = cluster()
    atoms.symbols[0] = "Cd"
    with pytest.raises(DataError, match=r"atomic numbers \[48\], the potential knows H, C, O"):
        small_potential().predict([frame(atoms)])

# SPDX-License-Identifier: MIT
"""`qdml analyse` on small constructed inputs: numbers, gaps, refusals, the page itself."""

import base64
import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase.calculators.singlepoint import SinglePointCalculator
from models import random_model
from qdml.analyse.curves import read_metrics
from qdml.analyse.groups import region_letters
from qdml.analyse.inputs import Paths
from qdml.analyse.parity import errors, read_evaluation
from qdml.analyse.report import make_report
from qdml.analyse.smoke import run_nve, write_smoke
from qdml.analyse.timing import compare, dft_cost
from qdml.cli.main import make_app, run_guarded
from qdml.errors import DataError
from test_analyse_evaluation import Resting
from test_analyse_log import nve_log
from test_analyse_structure import zinc_blende_cluster

FORCE_ERROR = 0.1  # eV/Å, on every component of every test atom
ENERGY_ERROR = 0.002  # eV/atom


def evaluation_frame(split, origin, force_error, energy_error, seed):
    """One frame of the cluster whose errors are known exactly."""
    rng = np.random.default_rng(seed)
    atoms = zinc_blende_cluster()
    n = len(atoms)
    reference = rng.normal(0, 0.5, (n, 3))
    sign = np.where(rng.random((n, 3)) < 0.5, -1, 1)
    return {
        "file": "frames.extxyz", "index": seed, "split": split, "origin": origin,
        "temperature": 300.0, "formula": atoms.get_chemical_formula(), "n_atoms": n,
        "numbers": atoms.numbers.tolist(), "kind": "dot", "region": region_letters([atoms])[0],
        "energy": {"reference": -100.0 * n - seed, "predicted": -100.0 * n - seed
                   + n * energy_error},
        "forces": {"reference": reference.tolist(),
                   "predicted": (reference + sign * force_error).tolist()},
        "stress": {"reference": None, "predicted": None},
    }  # fmt: skip


def metrics_lines():
    yield {"kind": "start", "time": "2030-01-01T00:00:00", "resumed": False, "n_train": 2,
           "n_valid": 1, "n_test": 2, "n_parameters": 4321, "shapes": [[32, 16, 1]]}  # fmt: skip
    for epoch in range(1, 9):
        part = {"loss": 1.0 / epoch, "energy_rmse_mev_per_atom": 20.0 / epoch,
                "force_rmse_mev_per_angstrom": 800.0 / epoch,
                "stress_rmse_mev_per_angstrom3": None}  # fmt: skip
        yield {"kind": "epoch", "epoch": epoch, "step": 2 * epoch, "elapsed_s": 3.0 * epoch,
               "learning_rate": 0.01, "train": part, "valid": part if epoch % 2 == 0 else None,
               "gradient_norm": 1.0}  # fmt: skip
    yield {"kind": "end", "elapsed_s": 24.0, "best_epoch": 8, "reason": "epochs"}


def write_dump(path, n_frames=4):
    rng = np.random.default_rng(1)
    atoms = zinc_blende_cluster()
    text = []
    for k in range(n_frames):
        text.append(f"ITEM: TIMESTEP\n{500 * k}\nITEM: NUMBER OF ATOMS\n{len(atoms)}\n"
                    "ITEM: BOX BOUNDS ff ff ff\n-20 20\n-20 20\n-20 20\n"
                    "ITEM: ATOMS id type element x y z\n")  # fmt: skip
        for i, (symbol, r) in enumerate(zip(atoms.symbols, atoms.positions, strict=True)):
            x, y, z = r + rng.normal(0, 0.03, 3)
            text.append(f"{i + 1} 1 {symbol} {x:.6f} {y:.6f} {z:.6f}\n")
    path.write_text("".join(text))


def write_reference(path):
    frames = []
    for k in range(3):
        atoms = zinc_blende_cluster()
        atoms.rattle(0.02, seed=k)
        atoms.center(vacuum=5)
        atoms.pbc = True
        atoms.info.update(origin="dot-cl", split="test" if k else "train", vacuum_axes="xyz",
                          temperature=300.0, level_of_theory="PBE/fixture",
                          label_seconds=50.0 + 10 * k, warm_started=k > 0)  # fmt: skip
        atoms.calc = SinglePointCalculator(atoms, energy=-1.0, forces=np.zeros((len(atoms), 3)))
        frames.append(atoms)
    ase.io.write(path, frames, format="extxyz")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A complete set of inputs; fixtures with known numbers, no physics."""
    folder = tmp_path_factory.mktemp("report")
    fit = folder / "fit"
    fit.mkdir()
    random_model(fit / "model.qdml", channels=16, message_channels=16, layers=2)
    document = {
        "format": 1, "model": "model.qdml",
        "model_hash": hashlib.sha256((fit / "model.qdml").read_bytes()).hexdigest(),
        "backend": "engine double", "level_of_theory": "PBE/fixture",
        "units": {"energy": "eV", "length": "angstrom"},
        "frames": [
            evaluation_frame("train", "bulk", 0.03, 0.001, 0),
            evaluation_frame("train", "bulk", 0.03, 0.001, 1),
            evaluation_frame("test", "dot-cl", FORCE_ERROR, ENERGY_ERROR, 2),
            evaluation_frame("test", "dot-cl", FORCE_ERROR, -ENERGY_ERROR, 3),
        ],
        "summary": {}, "data_hash": "0123456789abcdef",
    }  # fmt: skip
    (fit / "evaluation.json").write_text(json.dumps(document))
    smoke = run_nve(zinc_blende_cluster(), Resting(), "dot-cl, frame 2", 0.02)
    write_smoke(fit / "nve.json", smoke)
    finding = {"level": "WARN", "check": "net force", "message": "0.3 < 0.5", "fix": "look"}
    (fit / "findings.json").write_text(json.dumps([finding | {"frames": []}]))
    (fit / "metrics.jsonl").write_text("".join(json.dumps(x) + "\n" for x in metrics_lines()))
    (fit / "config.yaml").write_text("output: fit\nmodel: {cutoff: 5.0} # a < b\n")
    write_dump(folder / "nve.lammpstrj")
    nve_log(folder / "nve.log", 4e-6, 2e-6)
    write_reference(folder / "frames.extxyz")
    return folder


@pytest.fixture(scope="module")
def report(folder):
    """Output of the real command in its own process."""
    command = [sys.executable, "-m", "qdml.cli.main", "analyse", "--fit", "fit", "--trajectory",
               "nve.lammpstrj", "--log", "nve.log", "--reference", "frames.extxyz",
               "-o", "report.html"]  # fmt: skip
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False,
                            env=os.environ | {"COLUMNS": "200"})  # fmt: skip
    assert result.returncode == 0, result.stderr
    page = (folder / "report.html").read_text()
    return result.stdout, page, json.loads((folder / "report.json").read_text())


def test_summary_numbers(report):
    stdout, page, numbers = report
    force, energy, drift, smoke = numbers["summary"]
    assert force["value"] == pytest.approx(1000 * FORCE_ERROR)
    assert energy["value"] == pytest.approx(1000 * ENERGY_ERROR)
    assert drift["value"] == pytest.approx(4e-6, abs=3e-7)
    assert smoke["value"] == 0
    assert [v["state"] for v in numbers["summary"]] == ["PASS"] * 4
    assert "Force RMSE: 100 meV/Å" in stdout
    assert '<span class="value">100 meV/Å</span>' in page
    assert '<span class="value">2 meV/atom</span>' in page
    assert page.count('<li class="PASS">') == 4
    assert numbers["missing"] == {}


def test_sections_hold_their_numbers(report):
    _, page, numbers = report
    assert numbers["data"]["n_frames"] == 3
    assert numbers["data"]["kinds"]["dot"] == 3
    assert numbers["learning"]["epochs"] == 8
    assert numbers["parity"]["test"]["element"]["Cd"]["n_atoms"] == 8
    assert numbers["run"]["temperature_mean"] == 300
    assert numbers["run"]["runs"][0]["ranks"] == 1
    shells = {(r["pair"], r["region"], r["source"]): r for r in numbers["distances"]["first_shell"]}
    assert shells["Cd-Se", "core", "MD"]["neighbours_per_atom"] == pytest.approx(4)
    assert shells["Cd-Cl", "surface", "DFT dots"]["neighbours_per_atom"] == pytest.approx(1)
    assert numbers["cost"]["dft"][0]["median_core_seconds"] == 60
    md = 0.00478751 / 60
    assert numbers["cost"]["ratios"][0]["ratio"] == pytest.approx(60 / md)
    assert numbers["cost"]["ratios"][0]["ratio_per_atom"] == pytest.approx((60 / 17) / (md / 108))
    files = numbers["versions"]["files"]
    assert sorted(Path(name).name for name in files) == [
        "config.yaml", "evaluation.json", "findings.json", "frames.extxyz", "metrics.jsonl",
        "model.qdml", "nve.json", "nve.lammpstrj", "nve.log",
    ]  # fmt: skip
    assert numbers["data"]["data_hash"] == "0123456789abcdef"
    assert numbers["data"]["findings"][0]["check"] == "net force"
    assert "0.3 &lt; 0.5" in page
    test = numbers["parity"]["test"]
    assert set(test["region"]) == {"core", "surface", "ligand"}
    assert sum(row["n_atoms"] for row in test["region"].values()) == test["all"]["all"]["n_atoms"]
    assert list(test["size"]) == ["dot, 16-31 atoms"]
    assert numbers["parity"]["worst"][0]["force_rmse_mev_per_angstrom"] == pytest.approx(100)
    assert "calibration" not in numbers  # one potential has no spread
    assert numbers["versions"]["model"]["hash"] in page
    assert "hashes differ" not in page
    assert "{cutoff: 5.0} # a &lt; b" in page
    for k in range(1, 10):
        assert f'<section id="s{k}">' in page


def test_page_is_self_contained(report):
    _, page, _ = report
    images = re.findall(r'src="data:image/svg\+xml;base64,([^"]+)"', page)
    assert len(images) == 9
    assert page.count("src=") == len(images)
    assert "<script" not in page
    assert "<link" not in page
    assert "@import" not in page
    namespaces = re.compile(r'xmlns(:\w+)?="[^"]*"|<!DOCTYPE[^>]*>|rdf:resource="[^"]*"')
    for text in [page, *(base64.b64decode(data).decode() for data in images)]:
        assert "http" not in namespaces.sub("", text)


def test_each_missing_input_is_named(folder):
    report = make_report(Paths(log=folder / "nve.log"))
    assert set(report.missing) == {
        "findings", "metrics", "evaluation", "nve", "config", "model", "trajectory", "reference",
    }  # fmt: skip
    for option in ("--fit", "--trajectory", "--reference"):
        assert f"{option} was not given" in report.page
    assert [v.state for v in report.verdicts] == ["MISSING", "MISSING", "PASS", "MISSING"]
    report = make_report(Paths(reference=[folder / "frames.extxyz"]))
    assert "--log was not given" in report.page
    assert "DFT dots: 3 frames" in report.page


def test_unfinished_fit(folder, tmp_path):
    lines = (folder / "fit" / "metrics.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "metrics.jsonl").write_text("".join(lines[:4]) + lines[4][:20])
    report = make_report(Paths(fit=tmp_path))
    assert report.numbers["learning"]["epochs"] == 3
    assert f"{tmp_path}/evaluation.json does not exist" in report.page


def test_verdicts_fail_and_unsure(folder, tmp_path):
    bad = make_report(Paths(log=nve_log(tmp_path / "bad.log", 5e-5, 2e-6)))
    assert bad.verdicts[2].state == "FAIL"
    short = make_report(Paths(log=nve_log(tmp_path / "short.log", 0, 2e-5, n=12)))
    assert short.verdicts[2].state == "UNSURE"
    assert "too short" in short.page
    hot = nve_log(tmp_path / "hot.log", 0, 2e-6)
    hot.write_text(hot.read_text().replace("fix 1 all nve", "fix 1 all nvt temp 40 40 0.1"))
    verdict = make_report(Paths(log=hot)).verdicts[2]
    assert (verdict.state, "thermostatted" in verdict.remark) == ("UNSURE", True)
    document = json.loads((folder / "fit" / "evaluation.json").read_text())
    document["frames"] = [evaluation_frame("test", "dot", 0.2, 0.01, 5)]
    (tmp_path / "evaluation.json").write_text(json.dumps(document))
    (tmp_path / "model.qdml").write_bytes((folder / "fit" / "model.qdml").read_bytes())
    states = [v.state for v in make_report(Paths(fit=tmp_path)).verdicts]
    assert states == ["FAIL", "FAIL", "MISSING", "MISSING"]


def test_held_out_error_is_not_the_training_error(folder):
    evaluation = read_evaluation(folder / "fit" / "evaluation.json")
    assert evaluation.held_out() == "test"
    row = errors(evaluation, "train")["all"]["all"]
    assert row["force_rmse_mev_per_angstrom"] == pytest.approx(30)
    assert row["energy_mae_mev_per_atom"] == pytest.approx(1)
    by_element = errors(evaluation, "test")["element"]
    assert list(by_element) == ["Cd", "Se", "Cl"]
    assert by_element["Se"]["force_mae_mev_per_angstrom"] == pytest.approx(100)
    assert by_element["Se"]["energy_rmse_mev_per_atom"] is None


def test_cost_groups_by_size_and_needs_label_seconds(folder):
    frames = ase.io.read(folder / "frames.extxyz", index=":")
    (row,) = dft_cost(frames)
    assert (row["n_frames"], row["n_warm_started"], row["n_atoms"]) == (3, 2, 17)
    assert compare([row], None) == []
    del frames[0].info["label_seconds"]
    assert dft_cost(frames[:1]) == []


def change(path):
    """A function that sets one entry of frame 1 to a value."""
    *keys, value = path

    def apply(document):
        target = document["frames"][1]
        for key in keys[:-1]:
            target = target[key]
        if value is None:
            del target[keys[-1]]
        else:
            target[keys[-1]] = value

    return apply


@pytest.mark.parametrize(
    ("alter", "message"),
    [
        (lambda d: d.pop("units"), "key 'units' is missing"),
        (lambda d: d.update(format=9), "format 9"),
        (lambda d: d.update(units={"energy": "hartree", "length": "angstrom"}), "hartree"),
        (lambda d: d.update(frames=[]), "'frames' is empty"),
        (change(["split", "holdout"]), "frame 1: split 'holdout'"),
        (change(["origin", None]), "frame 1: key 'origin' is missing"),
        (change(["n_atoms", 3]), "frame 1: 17 numbers for n_atoms 3"),
        (change(["numbers", [999] * 17]), "frame 1: atomic numbers"),
        (change(["forces", "predicted", [[0, 0, 0]]]), "frame 1: 'forces' has shape"),
        (change(["forces", "reference", None]), "frame 1: 'forces' needs"),
        (change(["region", "ccc"]), "frame 1: 'region' needs one of the letters c, s, l per atom"),
        (change(["region", "x" * 17]), "frame 1: 'region' needs"),
        (change(["forces", "spread", [0.1]]), "frame 1: 'spread' has shape (1,), expected (17,)"),
        (change(["energy", "predicted", "low"]), "frame 1: 'energy' is not a regular"),
        (change(["energy", "predicted", float("nan")]), "not finite"),
    ],
)
def test_damaged_evaluation(folder, tmp_path, alter, message):
    document = json.loads((folder / "fit" / "evaluation.json").read_text())
    alter(document)
    (tmp_path / "evaluation.json").write_text(json.dumps(document))
    with pytest.raises(DataError, match=re.escape(message)):
        read_evaluation(tmp_path / "evaluation.json")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", ":1: damaged JSON"),
        ('{"kind": "step"}', ":1: kind 'step'"),
        ('{"kind": "epoch", "epoch": 1}', ":1: key 'step' is missing"),
        ('{"kind": "start"}', "no finished epoch"),
    ],
)
def test_damaged_metrics(tmp_path, line, message):
    (tmp_path / "metrics.jsonl").write_text(line + "\n")
    with pytest.raises(DataError, match=re.escape(message)):
        read_metrics(tmp_path / "metrics.jsonl")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "nothing to report on"),
        (["--log", "absent.log"], "absent.log: does not exist"),
        (["--fit", "empty"], "holds none of"),
        (["--fit", "word.txt"], "is a file"),
        (["--log", "word.txt"], "not a LAMMPS log"),
        (["--reference", "word.txt"], "word.txt"),
        (["--trajectory", "word.txt"], "not a LAMMPS text dump"),
        (["--fit", "broken"], "findings.json: expected a list of findings"),
        (["--log", "absent.log", "-o", "report.pdf"], "end in .html"),
    ],
)
def test_bad_input_exits_2_with_one_message(tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "300")
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "findings.json").write_text('[{"level": "PASS"}]')
    (tmp_path / "word.txt").write_text("not what was asked for\n")
    with pytest.raises(SystemExit) as stop:
        run_guarded(make_app(["analyse"]), ["analyse", *arguments])
    assert stop.value.code == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert "Traceback" not in captured.err
    assert not list(tmp_path.glob("*.html"))


def test_a_run_without_a_drift_is_still_reported(folder, tmp_path):
    """Too short, or blown up: the page says so, the rest of it stands."""
    logs = Path(__file__).parent / "data" / "lammps-logs"
    short = make_report(Paths(log=logs / "three-stages.log"))
    assert short.verdicts[2].state == "MISSING"
    assert "9 thermo lines" in short.page
    assert short.numbers["run"]["runs"][2]["steps"] == 40
    assert short.numbers["cost"]["md"]["n_atoms"] == 32
    blown = nve_log(tmp_path / "blown.log", 0, 1e-6)
    blown.write_text(re.sub(r"\n100 300 \S+", "\n100 300 nan", blown.read_text()))
    report = make_report(Paths(log=blown))
    assert report.verdicts[2].state == "FAIL"
    assert "not finite at step 100" in report.page
    only_minimised = (logs / "three-stages.log").read_text()
    only_minimised = only_minimised[: only_minimised.index("reset_timestep")]
    (tmp_path / "min.log").write_text(only_minimised)
    report = make_report(Paths(log=tmp_path / "min.log"))
    assert report.verdicts[2].state == "MISSING"
    assert "no molecular dynamics run" in report.page

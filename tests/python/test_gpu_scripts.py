# SPDX-License-Identifier: MIT
"""The scripts that benchmarks/gpu.py calls, on the CPU: rows, failing rows, crystals, numbers."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import ase.io
import numpy as np
import pytest
from qdml.engine import Engine, build_neighbor_list
from qdml.modelfile import read_model

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))
import gpu_dots
import gpu_jax
import gpu_training
from support import gpu_rows
from support.carried import ROOT
from support.crystal_graph import make_slots, zinc_blende

LIMIT = 1200  # s, for machines that do other work


def run_script(name: str, results: Path, *words: str, **variables: str) -> tuple[int, dict, str]:
    """Status, document and the last line of a script."""
    command = [sys.executable, ROOT / f"benchmarks/{name}.py", "--results", results, "--cpu"]
    done = subprocess.run(
        [str(x) for x in [*command, "--minutes", "15", *words]],
        env=os.environ | {"OMP_NUM_THREADS": "1"} | variables,
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )
    assert results.is_file(), done.stdout + done.stderr
    return done.returncode, json.loads(results.read_text()), done.stdout.splitlines()[-1]


def script(path: Path, text: str) -> Path:
    """A shell script in place of a program."""
    path.write_text("#!/bin/sh\n" + text)
    path.chmod(0o755)
    return path


# ------------------------------------------------------------------ rows and workers

WORKER = """
import os, sys, time
from support import gpu_rows

def found(row):
    if row["do"] == "raise": raise ValueError("no such thing")
    if row["do"] == "die": os.abort()
    if row["do"] == "hang": time.sleep(60)
    return {"square": row["x"] ** 2, "process": os.getpid()}

gpu_rows.report(found)
"""


@pytest.fixture
def worker(monkeypatch, tmp_path):
    """Name of a module whose rows succeed, raise, die or hang."""
    (tmp_path / "odd_worker.py").write_text(WORKER)
    path = os.pathsep.join([str(tmp_path), str(ROOT / "benchmarks")])
    monkeypatch.setenv("PYTHONPATH", path)
    return "odd_worker"


def work_through(worker: str, rows: list[dict], seconds: float, row_limit: float) -> list[dict]:
    done: list[dict] = []
    end = time.monotonic() + seconds
    gpu_rows.run_worker(worker, rows, {}, end, row_limit, done.append)
    assert [row["x"] for row in done] == [row["x"] for row in rows]
    return done


def test_rows_that_raise_or_die_keep_their_error_and_the_others_go_on(worker):
    what = ["square", "raise", "square", "die", "square"]
    done = work_through(worker, [{"x": k, "do": w} for k, w in enumerate(what)], 120, 60)
    assert [row.get("square") for row in done] == [0, None, 4, None, 16]
    assert done[1]["error"] == "ValueError: no such thing"
    assert done[3]["error"].startswith("status -6")
    assert done[0]["process"] == done[2]["process"] != done[4]["process"]


def test_a_row_that_hangs_is_ended(worker):
    rows = [{"x": 1, "do": "square"}, {"x": 2, "do": "hang"}, {"x": 3, "do": "square"}]
    done = work_through(worker, rows, 120, 10)
    assert [row.get("square") for row in done] == [1, None, 9]
    assert done[1]["error"].startswith("not done in 10 s")


def test_when_the_time_is_over_the_rest_says_so(worker):
    rows = [{"x": 1, "do": "hang"}, {"x": 2, "do": "square"}]
    done = work_through(worker, rows, 0.5, 60)
    assert [row["error"].partition(":")[0] for row in done] == [gpu_rows.NO_TIME] * 2
    assert work_through(worker, rows, -1, 60)[0]["error"] == gpu_rows.NO_TIME


def test_every_row_is_on_disk_at_once(tmp_path):
    options = argparse.Namespace(results=tmp_path / "found.json", minutes=1)
    rows = gpu_rows.Rows(options, "what")
    rows.measure({"x": 1}, lambda row: {"y": row["x"] + 1})
    rows.measure({"x": 2}, lambda row: {}["missing"])
    rows.measure({"x": 3}, silent)
    document = json.loads(options.results.read_text())
    assert document["rows"] == [
        {"x": 1, "y": 2},
        {"x": 2, "error": "KeyError: 'missing'"},
        {"x": 3, "error": "RuntimeError: at 'raise RuntimeError' in silent"},
    ]
    assert rows.summary() == "1 of 3 rows"


def silent(_):
    """As JAX fails without a card: no message."""
    raise RuntimeError


# ------------------------------------------------------------------ crystals


@pytest.mark.parametrize("least", [8, 216, 1000])
def test_edges_of_the_crystal_are_those_of_the_engine(least):
    crystal = zinc_blende(least, 6.05)
    slots = make_slots(crystal, 6.9)
    start, neighbor, _, vector = build_neighbor_list(
        crystal.positions, np.eye(3) * crystal.length, [True] * 3, 6.9
    )
    assert slots.n_edges == len(neighbor)
    r = np.linalg.norm(slots.vector, axis=-1)
    assert np.array_equal((r < 6.9).sum(axis=1), np.diff(start))
    for i in range(len(crystal.positions)):
        row = slice(start[i], start[i + 1])
        expected = sorted(zip(neighbor[row], vector[row].round(8).tolist(), strict=True))
        used = r[i] < 6.9
        found = sorted(
            zip(slots.neighbor[i, used], slots.vector[i, used].round(8).tolist(), strict=True)
        )
        assert [a for a, _ in found] == [a for a, _ in expected]
        np.testing.assert_allclose([b for _, b in found], [b for _, b in expected], atol=1e-7)
    # the opposite of an edge goes back, and its opposite is the edge
    n, width = slots.neighbor.shape
    flat, back = slots.vector.reshape(-1, 3), slots.reverse.reshape(-1)
    used = np.flatnonzero(r.reshape(-1) < 6.9)
    np.testing.assert_allclose(flat[back[used]], -flat[used], atol=1e-9)
    assert np.array_equal(back[back], np.arange(n * width))
    assert np.array_equal(back[used] // width, slots.neighbor.reshape(-1)[used])


# ------------------------------------------------------------------ JAX


def test_jax_rows_and_a_missing_file(tmp_path, monkeypatch):
    program = script(
        tmp_path / "steps",
        'echo "{\\"device\\": \\"cpu\\", \\"atoms\\": 64, \\"median_us_per_atom\\": 2.0}"\n'
        f'echo "$@" > {tmp_path}/words\n',
    )
    status, document, last = run_script(
        "gpu_jax", tmp_path / "jax.json", "--rows", "small,60", "missing.qdml,60",
        QDML_STEPS=str(program),
    )  # fmt: skip
    good, bad = document["rows"]
    assert status == 0
    assert "cannot be read" in bad["error"]
    assert good["atoms"] == 64
    assert good["neighbours"] == pytest.approx(46, abs=3)
    assert good["slots"] >= good["neighbours"]
    assert good["ns_per_atom_step"] == pytest.approx(1e6 * good["ms_per_step"] / 64)
    assert good["ratio"] == pytest.approx(good["ns_per_atom_step"] / 2000.0)
    assert (tmp_path / "words").read_text().split() == (
        ["cpu", "mixed", "small", "64", "1", "Cd", "Se", "zincblende", "6.05"]
    )
    assert last.startswith("1 of 2 rows; small 64: ")


def test_forces_in_jax_are_those_of_the_engine():
    import jax
    import jax.numpy as jnp
    from qdml_train.model.architecture import read_architecture
    from qdml_train.model.graphs import Graphs
    from qdml_train.model.potential import predict

    path = ROOT / "potentials/cdse/cdse-pbe-fast.qdml"
    document, tensors = read_model(path)
    crystal = zinc_blende(60, 6.05)
    slots = make_slots(crystal, 5.0)
    known = document["species"]
    species = np.where(crystal.is_anion, known.index("Se"), known.index("Cd")).astype(np.int32)
    graphs = Graphs(
        *(
            jnp.asarray(x)
            for x in (
                species, slots.neighbor, slots.reverse, slots.vector.astype(np.float32),
                np.zeros(len(species), np.int32),
            )
        )
    )  # fmt: skip
    arrays = {k: jnp.asarray(v, jnp.float32) for k, v in tensors.items()}
    compiled = jax.jit(predict, static_argnums=(1, 3))
    found = compiled(arrays, read_architecture(document), graphs, 1).forces
    start, neighbor, _, vector = build_neighbor_list(
        crystal.positions, np.eye(3) * crystal.length, [True] * 3, 5.0
    )
    expected = Engine(path, "double").compute_graph(species, start, neighbor, vector)
    forces = expected["forces"] if isinstance(expected, dict) else expected.forces
    np.testing.assert_allclose(found, forces, atol=2e-5)


@pytest.mark.parametrize("helps", [True, False])
def test_without_memory_layers_are_computed_again(monkeypatch, helps):
    import jax
    from support import jax_steps

    asked = []

    def attempt(row, architecture, arrays, graphs, remat):
        asked.append(remat)
        if not (remat and helps):
            raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory\nmore")
        return {"remat": remat}

    monkeypatch.setattr(jax_steps, "attempt", attempt)
    row = gpu_jax.make_row("small", 60, "default", 0.1)
    if helps:
        found = jax_steps.measure(row)
        assert found["remat"]
        assert found["without_remat"] == "RESOURCE_EXHAUSTED: Out of memory"
    else:
        with pytest.raises(jax.errors.JaxRuntimeError):
            jax_steps.measure(row)
    assert asked == [False, True]


def test_an_engine_that_fails_or_has_another_crystal_is_said(tmp_path, monkeypatch):
    row = gpu_jax.make_row(gpu_jax.INP_SEVENNET, 64, "default", 1.0) | {"ns_per_atom_step": 9.0}
    assert row["elements"] == ["In", "P"]
    monkeypatch.delenv("QDML_STEPS", raising=False)
    assert gpu_jax.engine_time(row, "gpu", 10) == {}
    monkeypatch.setenv("QDML_STEPS", str(script(tmp_path / "bad", "echo oh no >&2; exit 1")))
    assert gpu_jax.engine_time(row, "gpu", 10) == {"engine_error": "oh no\n"}
    other = 'echo "{\\"device\\": \\"x\\", \\"atoms\\": 8, \\"median_us_per_atom\\": 1}"'
    monkeypatch.setenv("QDML_STEPS", str(script(tmp_path / "other", other)))
    assert "8 atoms" in gpu_jax.engine_time(row, "gpu", 10)["engine_error"]
    assert gpu_jax.engine_time(row | {"error": "x"}, "gpu", 10) == {}


# ------------------------------------------------------------------ training


@pytest.mark.slow
def test_training_rows_of_the_engines_kernels(tmp_path):
    frames = [a for a in ase.io.read(gpu_training.DATA, ":") if 1 < len(a) < 20][:8]
    data = tmp_path / "few.extxyz"
    ase.io.write(data, frames)
    words = ("--data", str(data), "--kernels", "native")
    status, document, last = run_script("gpu_training", tmp_path / "training.json", *words)
    (row,) = document["rows"]
    assert status == 0, row
    assert row["use_native"]
    assert row["atoms"] == sum(len(a) for a in frames)
    assert row["frames"] == 8
    assert row["frames_per_second"] == pytest.approx(8e3 / row["ms_per_step"])
    ratio = row["atoms_per_second"] / row["frames_per_second"]
    assert ratio == pytest.approx(row["atoms"] / row["frames"])
    assert last.startswith("1 of 1 rows; cpu fast: ")


def test_training_without_its_frames_is_an_error_in_every_row(tmp_path):
    words = ("--data", str(tmp_path / "none.extxyz"), "--kernels", "native")
    status, document, last = run_script("gpu_training", tmp_path / "training.json", *words)
    assert status == 1
    assert ["none.extxyz" in row["error"] for row in document["rows"]] == [True]
    assert last == "0 of 1 rows"


def test_the_card_has_the_defaults_first_and_large_batches_later():
    rows = gpu_training.make_rows("gpu", gpu_training.DATA, 1.0, 12, ["std", "fast"], None)
    assert [(r["preset"], r.get("batch_atoms")) for r in rows] == [
        ("std", None), ("fast", None), ("std", 2560), ("fast", 2560),
    ]  # fmt: skip
    assert {r["kernels"] for r in rows} == {"jax"}


@pytest.mark.parametrize("n_cores", [16, 4])
def test_card_and_cpu_have_cores_of_their_own_where_there_are_many(monkeypatch, tmp_path, n_cores):
    asked = []

    def no_worker(module, rows, environment, end, limit, done, cores):
        asked.append((environment["JAX_PLATFORMS"], set(cores)))
        assert environment["OMP_NUM_THREADS"] == str(len(cores))
        for row in rows:
            done(row | {"loop_frames_per_second": 7.0})

    monkeypatch.setattr(gpu_training, "run_worker", no_worker)
    monkeypatch.setattr(gpu_training, "has_binding", lambda: False)
    monkeypatch.setattr(gpu_training.carried, "use_packages", lambda: None)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(n_cores)))
    assert gpu_training.main(["--results", str(tmp_path / "all.json")]) == 0
    document = json.loads((tmp_path / "all.json").read_text())
    cores = dict(asked)
    assert set(cores) == {"cuda", "cpu"}
    assert cores["cuda"].isdisjoint(cores["cpu"]) == (n_cores == 16)
    assert cores["cuda"] | cores["cpu"] == set(range(n_cores))
    assert len(document["rows"]) == 8
    faults = [row["error"] for row in document["rows"] if "error" in row]
    assert faults == ["no binding qdml._native for this Python"] * 2


# ------------------------------------------------------------------ dots


@pytest.mark.lammps
def test_dots_with_a_missing_potential(tmp_path):
    words = ("--potential", "missing.qdml")
    status, document, last = run_script("gpu_dots", tmp_path / "dots.json", *words)
    fast, std, drift, imported = document["rows"]
    assert status == 0
    assert "missing.qdml" in fast["error"]
    assert "missing.qdml" in drift["error"]
    for row, n_atoms in ((std, 35), (imported, 44)):
        assert row["atoms"] == n_atoms
        assert row["steps"] == 5
        assert 0 < row["pair_ms_per_step"] <= row["ms_per_step"]
    assert last.startswith("2 of 4 rows; ")


@pytest.mark.lammps
def test_drift_of_the_dot(tmp_path):
    options = argparse.Namespace(results=tmp_path / "dots.json", minutes=10)
    rows = gpu_rows.Rows(options, "what", device="cpu")
    row = {
        "kind": "drift", "potential": gpu_dots.CDSE_FAST, "material": "CdSe", "wanted": 35,
        "precision": "mixed",
    }  # fmt: skip
    found = rows.measure(row, lambda row: gpu_dots.drift(row, tmp_path, rows, small=True))
    assert found["length_ps"] == pytest.approx(0.12)
    assert abs(found["drift_ev_per_atom_ps"]) < 1e-2
    assert found["mean_temperature_k"] > 50
    assert "cdse-pbe-fast.qdml 35 atoms, mixed: " in gpu_dots.summarise([found])


@pytest.mark.lammps
def test_a_run_on_another_device_does_not_count(tmp_path, monkeypatch):
    lmp = script(tmp_path / "lmp", 'echo "  precision mixed, device cpu (avx2), libqdml 1"')
    monkeypatch.setenv("QDML_LMP", str(lmp))
    options = argparse.Namespace(results=tmp_path / "dots.json", minutes=10)
    rows = gpu_rows.Rows(options, "what", device="gpu")
    row = {
        "kind": "speed", "potential": gpu_dots.CDSE_FAST, "material": "CdSe", "wanted": 35,
        "precision": "mixed",
    }  # fmt: skip
    found = rows.measure(row, lambda row: gpu_dots.time_steps(row, tmp_path, rows, small=True))
    assert "asked for device gpu, LAMMPS says [('cpu', 'avx2')]" in found["error"]

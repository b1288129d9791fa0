# SPDX-License-Identifier: MIT
"""The benchmarks' own arithmetic: operation counts, structures, resuming, LAMMPS' output."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import read, write
from ase.neighborlist import neighbor_list
from models import architecture
from qdml.analyse.drift import Drift
from qdml.cartesian import n_terms

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))
import active_learning
import lammps_film
import nve_drift
import training
from engine import compare, resumable
from support import counts, grid_noise, lammps_run, machine, rows
from support.figure import draw, draw_dft_timing, draw_drifts
from support.structures import MODELS


def preset(l_max: int, layers: int, channels: int = 64) -> dict:
    degrees = [l_max] * (layers - 1) + [0]
    return architecture(degrees, channels, channels, 6.0, 64, [], "cartesian-summed")


@pytest.mark.parametrize(("name", "figure"), [("engine", draw), ("dft_timing", draw_dft_timing)])
def test_figures_are_drawn_from_the_stored_results(name, figure, tmp_path):
    document = json.loads((machine.RESULTS / f"{name}.json").read_text())
    figure(document, tmp_path / "figure.png")
    assert (tmp_path / "figure.png").stat().st_size > 10_000


def test_full_layer_of_l_max_2_needs_98_and_234():
    # the numbers of docs/architecture.md: 54 + 4 x 11 forward, 146 + 8 x 11 backward
    forward, backward = counts.PRODUCTS[2]["middle"]
    functions = counts.FUNCTIONS[2]["middle"]
    assert (forward + 4 * functions, backward + 8 * functions) == (98, 234)


def test_edges_add_up_over_the_layers():
    assert counts.edge_fma(2, 3) == (21 + 45) + (98 + 234) + (24 + 60)
    assert counts.edge_fma(2, 4) - counts.edge_fma(2, 3) == 98 + 234
    assert counts.edge_fma(1, 2) == (12 + 26) + (14 + 34)
    assert counts.edge_fma(3, 3) == (32 + 68) + (250 + 616) + (36 + 92)


@pytest.mark.parametrize(
    ("l_max", "layers", "squares"),
    # first (l+1)^2 + l, middle 3 (l+1)^2 + 2 l, last (l+1)^2 + 2 squares of the channels, forward
    [(1, 3, 5 + 14 + 6), (2, 3, 11 + 31 + 11), (2, 4, 11 + 31 + 31 + 11), (2, 2, 11 + 11)],
)
def test_node_maps_in_squares_of_the_channels(l_max, layers, squares):
    readout = 64  # one row of the read-out
    assert counts.node_fma(preset(l_max, layers)) == 2 * (squares * 64**2 + readout)


def test_total_of_the_preset_std_with_50_neighbours():
    assert counts.fma_per_atom(preset(2, 3), 50.0) == pytest.approx(1.976e6, rel=1e-3)


def test_stages_add_up_to_the_total():
    for l_max, layers in ((1, 3), (2, 2), (2, 4)):
        arch = preset(l_max, layers)
        total = sum(counts.stage_fma(arch, 45.0).values())
        assert total == pytest.approx(counts.fma_per_atom(arch, 45.0))


def test_terms_agree_with_the_model():
    for l_max in (1, 2, 3):
        expected = {"first": (0, l_max), "middle": (l_max, l_max), "last": (l_max, 0)}
        for kind, (l_in, l_out) in expected.items():
            assert counts.FUNCTIONS[l_max][kind] == n_terms(l_in, l_out)


LAMMPS_OUTPUT = """
  a rank has at most 400 ghosts, sends 4 messages with 0.5 MiB a step, and needs about 30.0 MiB
Loop time of 9.5 on 2 procs for 5 steps with 1000 atoms
90.0% CPU use with 2 MPI tasks x 1 OpenMP threads
Pair    | 1          | 2          | 3          |   0.1 | 99.46
Neigh   | 0.1        | 0.2        | 0.3        |   0.0 |  0.30
Comm    | 0.01       | 0.02       | 0.03       |   0.0 |  0.10
  a rank has at most 512 ghosts, sends 4 messages with 0.5 MiB a step, and needs about 30.0 MiB
Loop time of 12 on 2 procs for 4 steps with 1000 atoms
85.5% CPU use with 2 MPI tasks x 1 OpenMP threads
Pair    | 9.0        | 10.0       | 11.0       |   0.1 | 99.46
Neigh   | 1.0        | 1.5        | 2.0        |   0.0 |  0.30
Comm    | 0.25       | 0.25       | 0.25       |   0.0 |  0.10
exchanged per evaluation: 4 times, 4 messages and 1.5 MiB by the busiest rank
"""


def test_last_run_of_lammps_output_is_read():
    assert lammps_run.parse(LAMMPS_OUTPUT) == {
        "steps": 4, "loop_seconds": 12.0, "seconds_per_step": 3.0, "cpu_use": 0.855,
        "pair_seconds": 10.0, "neigh_seconds": 1.5, "comm_seconds": 0.25, "most_ghosts": 512,
        "messages_per_evaluation": 4, "mib_per_evaluation": 1.5,
    }  # fmt: skip


def test_rows_are_told_apart_and_stay_the_same():
    isas = ["baseline", "avx2", "avx512"]
    plan = rows.plan(list(MODELS), [96, 1000, 4000, 16000], isas, [1, 2], 2.0, "python")
    keys = [rows.key(r) for r in plan]
    assert len(set(keys)) == len(keys)
    assert keys == [rows.key({**r, "wall": 1.0, "neighbours": 45.0}) for r in plan]
    assert sum(r["expected"] for r in plan) < 15 * 60


def test_only_an_unfinished_run_of_the_same_source_and_machine_is_resumed(tmp_path):
    path = tmp_path / "engine.json"
    document = {"machine": machine.describe() | {"commit": "abc"}, "finished": False}
    assert resumable(path, document) == []
    done, failed = {"kind": "engine", "wall": 1.0}, {"kind": "nequip", "error": "no"}
    machine.write(path, document | {"rows": [done, failed]})
    assert resumable(path, document) == [done]
    other = {"machine": document["machine"] | {"commit": "abd"}}
    assert resumable(path, other) == []
    machine.write(path, document | {"rows": [done], "finished": True})
    assert resumable(path, document) == []
    assert json.loads(path.read_text())["finished"]


def test_busy_machine_is_refused_unless_asked_for():
    machine.require_quiet({"quiet": True, "load_at_start": 0.1}, under_load=False)
    machine.require_quiet({"quiet": False, "load_at_start": 2.0}, under_load=True)
    with pytest.raises(SystemExit, match=r"load average 2.0 > 0.3"):
        machine.require_quiet({"quiet": False, "load_at_start": 2.0}, under_load=False)


def test_baseline_is_the_fastest_mode_of_nequip():
    side = {"side_by_side": True, "atoms": 216}
    document = {
        "rows": [
            side | {"kind": "engine", "us_per_atom_step": 20.0},
            side | {"kind": "jax", "us_per_atom_step": 100.0},
            side | {"kind": "nequip", "mode": "eager", "us_per_atom_step": 2000.0},
            side | {"kind": "nequip", "mode": "aotinductor", "us_per_atom_step": 1000.0},
            side | {"kind": "nequip", "mode": "torchscript", "error": "refused"},
        ]
    }
    compare(document, None)
    assert document["baseline"] == "nequip, aotinductor"
    assert document["rows"][0]["speedup"] == 50.0
    compare(document, "jax")
    assert document["rows"][0]["speedup"] == 5.0
    compare(document, "eager")
    assert document["rows"][0]["speedup"] == 100.0


def test_film_is_neutral_and_large_enough():
    atoms = lammps_film.film(2000)
    count = {s: atoms.get_chemical_symbols().count(s) for s in lammps_film.ELEMENTS}
    assert sum(count.values()) == len(atoms) >= 2000
    assert 2 * count["Cd"] - 2 * count["Se"] - count["Cl"] == 0
    assert list(atoms.pbc) == [True, True, False]


def test_curve_of_a_long_run_is_kept_as_means_over_equal_times():
    time = np.arange(2001) * 0.05
    energy = 1e-7 * time
    drift = Drift(time, energy, None, 1e-7, 1e-10, 0.0, 0.0, 1.0, 86, "NVE")
    curve = nve_drift.thinned(drift)
    assert len(curve["time_ps"]) == nve_drift.KEPT
    assert np.allclose(curve["energy_ev_per_atom"], 1e-7 * np.array(curve["time_ps"]), atol=1e-12)


def test_figure_of_the_drift_has_a_panel_per_potential(tmp_path):
    row = {
        "precision": "mixed", "length_ps": 1.0, "drift_ev_per_atom_ps": 1e-8, "formula": "Cd2Se",
        "standard_error": 1e-9, "mean_temperature_k": 300.0, "timestep_fs": 2.0,
        "curve": {"time_ps": [0.0, 1.0], "energy_ev_per_atom": [0.0, 1e-8]},
    }  # fmt: skip
    sizes = []
    for models in (["a.qdml"], ["a.qdml", "b.qdml"]):
        picture = tmp_path / f"{len(models)}.png"
        draw_drifts([row | {"model": m} for m in models], 1e-6, picture)
        sizes.append(plt.imread(picture).shape[1])
    assert sizes[1] == pytest.approx(2 * sizes[0], rel=0.02)


def test_planted_grid_noise_is_found_fitted_and_taken_off():
    rng = np.random.default_rng(0)
    position = rng.uniform(-10, 10, (3000, 3))
    true = 0.15 * np.sin(2 * np.pi * position / 0.0825 + [0.3, 1.0, 2.0])
    force = true + rng.normal(0, 0.03, position.shape)
    spacing, contrast = grid_noise.find_spacing(position, force)
    assert spacing == pytest.approx(0.0825, rel=2e-5)
    assert contrast > 20
    coefficients = grid_noise.fit(position[:2000], force[:2000], spacing)
    assert np.sqrt((coefficients**2).sum(axis=1)) == pytest.approx(0.15, rel=0.03)
    left = force[2000:] - grid_noise.noise(position[2000:], coefficients, spacing)
    assert np.sqrt((left**2).mean()) == pytest.approx(0.03, rel=0.05)


def test_force_without_grid_noise_shows_no_spacing():
    rng = np.random.default_rng(1)
    position = rng.uniform(-10, 10, (3000, 3))
    assert grid_noise.find_spacing(position, rng.normal(0, 0.1, position.shape))[1] < 6


def test_cutoff_of_a_spacing():
    # pi / sqrt(400 Ry) = 0.15708 bohr
    assert grid_noise.cutoff_of(np.pi / 20 * grid_noise.BOHR) == pytest.approx(400.0)


def test_training_is_compared_with_the_faster_mode_of_nequip_of_the_same_preset():
    def row(kind: str, mode: str, model: str, speed: float) -> dict:
        return {"kind": kind, "mode": mode, "model": model, "frames_per_second": speed}

    found = [
        row("qdml", "native", "std", 40.0),
        row("nequip", "eager", "std", 2.0),
        row("nequip", "compile", "std", 4.0),
        row("qdml", "native", "fast", 40.0),
        row("nequip", "eager", "fast", 8.0),
        {"kind": "nequip", "mode": "compile", "model": "fast", "error": "did not compile"},
    ]
    training.compare(found)
    assert [r.get("speedup") for r in found] == [10.0, 0.5, 1.0, 5.0, 1.0, None]


def test_training_batches_hold_the_frames_that_fit_packs(tmp_path):
    """What nequip reads of a batch is what qdml counts of it."""
    from support import training_worker

    data = tmp_path / "cells.extxyz"
    cells = [bulk("CdSe", "zincblende", a=6.05).repeat((1, 1, n)) for n in (1, 2, 3)]
    for k, atoms in enumerate(cells):
        atoms.rattle(0.05, seed=k)
        atoms.calc = SinglePointCalculator(atoms, energy=-1.0 * len(atoms), forces=atoms.positions)
    write(data, cells)
    spec = {"data": str(data), "model": "fast", "kernels": "jax"}
    fit = training_worker.make_fit(spec, str(tmp_path / "fit"))
    steps = training_worker.first_batches(fit, 2)
    described = training_worker.describe(fit, steps)
    frames = [a for f in training_worker.write_batches(fit, steps, tmp_path) for a in read(f, ":")]
    assert described["frames"] == len(frames) == 3
    assert described["atoms"] == sum(map(len, frames)) == 12
    edges = sum(len(neighbor_list("i", a, described["cutoff"])) for a in frames)
    assert described["edges"] == edges
    assert sorted(a.get_potential_energy() for a in frames) == [-6.0, -4.0, -2.0]


def test_the_loop_is_measured_by_its_held_out_dot(tmp_path):
    def frame(origin: str, split: str) -> Atoms:
        atoms = Atoms("PbSe", [[0, 0, 0], [0, 0, 2.6]])
        atoms.info.update(origin=origin, split=split)
        return atoms

    write(tmp_path / "a.extxyz", [frame("dot-A", "train"), frame("dot-B", "test")])
    write(tmp_path / "b.extxyz", [frame("select-dot-A", "train"), frame("bulk-300K", "train")])
    found = active_learning.count_training(tmp_path, ["a.extxyz", "b.extxyz"])
    assert found == {"train": 3, "of_dots": 2}
    error = {"reference": [[0.0, 0, 0]], "predicted": [[0.3, 0, 0.4]], "spread": [0.25]}
    record = {"origin": "dot-B", "forces": error}
    bulk = {"origin": "bulk-600K", "forces": error | {"spread": [9.0]}}
    assert active_learning.error_over_spread([record, bulk]) == 2.0
    assert active_learning.error_over_spread([bulk]) is None

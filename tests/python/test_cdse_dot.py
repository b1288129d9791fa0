# SPDX-License-Identifier: MIT
"""The dot of the literature: baselines of its forces, its structure in numbers, the example."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms, units

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "examples"))
import cdse_dot
import cdse_dot_baselines
import cdse_dot_dynamics
import cdse_dot_forces
import matplotlib.pyplot as plt
from support import dot_structure, pair_spline, rigid_ions
from support.figure_dot import draw_forces


def push(distance: np.ndarray, strength: float) -> np.ndarray:
    """A force between two atoms in eV/Å that goes to zero smoothly at 5 Å."""
    near = np.clip(1 - distance / 5, 0, None)
    return strength * near**3 * np.cos(2 * distance)


STRENGTH = {("C", "C"): 3.0, ("C", "H"): -2.0, ("H", "H"): 1.0}


def pair_frames(n: int, seed: int) -> tuple[list[Atoms], list[np.ndarray]]:
    """Clusters of C and H and the forces of `push` with STRENGTH."""
    rng, frames, forces = np.random.default_rng(seed), [], []
    for _ in range(n):
        atoms = Atoms("C6H6", rng.uniform(0, 5, (12, 3)))
        arms = atoms.positions[:, None] - atoms.positions
        distance = np.linalg.norm(arms, axis=2)
        np.fill_diagonal(distance, np.inf)
        symbols = atoms.get_chemical_symbols()
        factor = np.array([[STRENGTH[min(a, b), max(a, b)] for b in symbols] for a in symbols])
        size = np.where(distance < 5, push(np.minimum(distance, 5), factor), 0)
        frames.append(atoms)
        forces.append(((size / distance)[..., None] * arms).sum(axis=1))
    return frames, forces


def rms(values: np.ndarray) -> float:
    return float(np.sqrt((np.asarray(values) ** 2).mean()))


def test_pair_spline_finds_a_known_pair_potential_again():
    spline = pair_spline.fit(*pair_frames(60, 0), cutoff=6.0, spacing=0.2)
    frames, forces = pair_frames(10, 1)
    left = np.array([spline.forces(a) for a in frames]) - np.array(forces)
    assert rms(forces) > 0.4
    assert rms(left) < 0.01
    # one function of each pair, wherever it is looked at
    for (a, b), strength in STRENGTH.items():
        pair = Atoms(a + b, [[0, 0, 0], [2.5, 0, 0]])
        expected = -push(np.array(2.5), strength)  # on the first atom, away from the second
        assert spline.forces(pair)[0] == pytest.approx([expected, 0, 0], abs=0.02)


def test_pair_spline_ends_smoothly_and_pushes_both_atoms_alike():
    spline = pair_spline.fit(*pair_frames(20, 2), cutoff=4.0, spacing=0.25)
    at = {r: spline.forces(Atoms("CH", [[0, 0, 0], [0, r, 0]])) for r in (3.0, 3.999, 4.1)}
    assert abs(at[3.0][0, 1]) > 1e-3
    assert np.abs(at[3.999]).max() < 1e-6
    assert not at[4.1].any()
    assert at[3.0][0] == pytest.approx(-at[3.0][1])


def test_pair_spline_cannot_follow_a_force_of_three_atoms():
    frames, forces = pair_frames(60, 3)
    for atoms, f in zip(frames, forces, strict=True):
        f += 0.5 * (atoms.positions - atoms.positions.mean(axis=0)) ** 2
    spline = pair_spline.fit(frames[:50], forces[:50], cutoff=6.0, spacing=0.2)
    left = np.array([spline.forces(a) for a in frames[50:]]) - np.array(forces[50:])
    assert rms(left) > 0.3


def test_classical_forces_are_those_of_charges_and_lennard_jones():
    r = 2.7
    depth, diameter = 1.5225 * units.kJ / units.mol, 2.94
    energy = lambda x: (  # noqa: E731
        -14.399645 * 0.9768**2 / x + 4 * depth * ((diameter / x) ** 12 - (diameter / x) ** 6)
    )
    slope = (energy(r + 1e-5) - energy(r - 1e-5)) / 2e-5
    found = rigid_ions.forces(Atoms("CdSe", [[0, 0, 0], [r, 0, 0]]))
    assert found[1] == pytest.approx([-slope, 0, 0], rel=1e-6)
    assert found[0] == pytest.approx(-found[1])


def test_charges_of_the_classical_force_field_make_the_dot_neutral():
    count = {"Cd": 68, "Se": 55, "O": 52, "C": 26, "H": 26}
    assert sum(n * rigid_ions.CHARGES[s] for s, n in count.items()) == pytest.approx(0, abs=1e-9)


def test_errors_are_by_element_and_correlation_knows_the_sign():
    forces = np.random.default_rng(0).normal(size=(4, 3, 3))
    predicted = forces.copy()
    predicted[:, 0] *= -1  # Cd wrong, Se and O right
    row = cdse_dot_baselines.errors(predicted, forces, ["Cd", "Se", "O"], ["Cd", "Se"])
    assert row["rmse"] == {"Cd": pytest.approx(2 * rms(forces[:, 0]), rel=1e-3), "Se": 0.0}
    assert row["correlation"] == {"Cd": -1.0, "Se": 1.0}
    assert row["frames"] == 4


def test_frames_for_xtb_are_spread_over_the_test_frames():
    assert cdse_dot_baselines.thinned(np.arange(60), 5).tolist() == [6, 18, 30, 42, 54]
    assert cdse_dot_baselines.thinned(np.arange(3), 3).tolist() == [0, 1, 2]
    assert cdse_dot_baselines.thinned(np.arange(3), 0).tolist() == []


def test_xtb_forces_are_kept_and_not_computed_again(tmp_path, monkeypatch):
    calls = []

    def single_point(atoms):
        calls.append(atoms)
        return 0.0, np.full((len(atoms), 3), 0.25), None, "0"

    monkeypatch.setattr(cdse_dot_baselines, "single_point", single_point)
    for _ in range(2):
        found = cdse_dot_baselines.xtb_forces(Atoms("CdSe"), tmp_path / "gfn1" / "7.npy")
        assert found.tolist() == [[0.25] * 3] * 2
    assert len(calls) == 1


def test_result_of_a_fit_becomes_a_row_named_by_its_start(tmp_path):
    document = {
        "frames": {"train": 60, "valid": 10, "test": 40}, "test_rmse": {"Cd": 0.03},
        "overrides": ["train.epochs=3", "train.from=some/where/7net-0.qdml"],
    }  # fmt: skip
    path = tmp_path / "forces.json"
    path.write_text(json.dumps(document))
    name, row = cdse_dot_baselines.fit_row(path)
    assert name == "7net-0.qdml fine-tuned on 60 frames"
    assert row == {"frames": 40, "rmse": {"Cd": 0.03}}


def test_figure_of_the_forces_has_a_bar_for_every_error(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(plt, "close", lambda figure: drawn.append(figure))
    rows = {
        "a": {"frames": 3, "rmse": {"Cd": 0.1, "O": 0.2}},
        "b": {"frames": 5, "rmse": {"Cd": 0.05}},
    }
    draw_forces(rows, ("Cd", "O"), tmp_path / "forces.png")
    axis = drawn[0].axes[0]
    assert sorted(p.get_height() for p in axis.patches) == pytest.approx([50, 100, 200])
    assert (tmp_path / "forces.png").exists()


@pytest.mark.parametrize("true", [1.2753, 2.6512, 4.5031])
def test_peak_of_distances_is_found_between_the_bins(true):
    distances = np.random.default_rng(1).normal(true, 0.1, 200_000)
    assert dot_structure.peak_of(distances) == pytest.approx(true, abs=0.005)


def test_peak_is_the_top_and_not_the_mean():
    rng = np.random.default_rng(2)
    distances = np.concatenate([rng.normal(2.65, 0.08, 60_000), rng.normal(3.0, 0.15, 30_000)])
    assert distances.mean() > 2.75
    assert dot_structure.peak_of(distances) == pytest.approx(2.65, abs=0.02)


def test_first_shells_end_at_their_cuts():
    frames = [Atoms("CdSe2", [[0, 0, 0], [2.6, 0, 0], [0, second, 0]]) for second in (2.8, 3.31)]
    found = dot_structure.first_shells(frames, {("Cd", "Se"): 3.3, ("Cd", "O"): 3.6})
    # 2.6, 2.8 and 2.6: the 3.31 Å of the second frame is no bond; no O, no number of it
    assert found["Cd-Se mean"] == pytest.approx(8.0 / 3)
    assert found["Cd-Se width"] == pytest.approx(np.std([2.6, 2.6, 2.8]))
    assert not any("O" in name for name in found)


def test_neighbours_are_counted_to_the_cut_of_each_element():
    # Se at 3.29 and 3.31, O at 2.89 and 2.91, and a carbon nearer than all of them
    atoms = Atoms(
        "CdSeSeOOC",
        [[0, 0, 0], [3.29, 0, 0], [-3.31, 0, 0], [0, 2.89, 0], [0, -2.91, 0], [0, 0, 2.7]],
    )
    shares = dot_structure.neighbour_shares([atoms], "Cd", {"Se": 3.3, "O": 2.9})
    assert shares.tolist() == [0, 0, 1, *[0] * 10]
    wider = dot_structure.neighbour_shares([atoms], "Cd", {"Se": 3.4, "O": 3.0})
    assert wider[4] == 1
    assert dot_structure.neighbour_shares([atoms, atoms], "Se", {"Cd": 3.3})[:2].tolist() == [
        0.5, 0.5,
    ]  # fmt: skip


def test_published_numbers_are_of_rows_that_exist():
    names = {f"{a}-{b} {what}" for a, b in dot_structure.SHELLS for what in
             ("mean", "width", "peak")}  # fmt: skip
    names |= {f"{s} with {n} neighbours" for s in ("Cd", "Se") for n in range(2, 6)}
    names |= {"Cd-Se-Cd angle", "Cd-Se-Cd angle width"}
    names |= {f"formate {mode}" for mode in dot_structure.MODES}
    names |= {f"peak, {name} (1/cm)" for name in cdse_dot_dynamics.PEAKS}
    assert set(dot_structure.PUBLISHED) <= names


def test_angle_at_a_centre_over_frames():
    # two bonds at 90 degrees in one frame, at 120 in the other: 105 +- 15
    def frame(angle: float) -> Atoms:
        x, y = 2.6 * np.cos(np.radians(angle)), 2.6 * np.sin(np.radians(angle))
        return Atoms("SeCd2", [[0, 0, 0], [2.6, 0, 0], [x, y, 0]])

    mean, width = dot_structure.angle_between([frame(90), frame(120)], "Cd", "Se", 3.4)
    assert (mean, width) == pytest.approx((105.0, 15.0))


@pytest.mark.parametrize(
    ("name", "dft", "inside", "outside"),
    [
        ("Cd-Se mean", 2.7, 2.72, 2.73),
        ("Cd-Se width", 0.12, 0.131, 0.133),
        ("Cd-Se peak", 2.65, 2.67, 2.68),
        ("formate tilted", 0.79, 0.75, 0.73),
        ("Cd-Se-Cd angle", 106.0, 106.9, 107.1),
        ("Cd-Se-Cd angle width", 9.6, 10.5, 10.7),
        ("peak, Cd (1/cm)", 40.0, 44.9, 45.1),
        ("peak, C-H wag (1/cm)", 1000.0, 1049.0, 1051.0),
    ],
)
def test_verdicts_of_the_dot_have_their_tolerances(name, dft, inside, outside):
    assert cdse_dot_dynamics.verdict(name, dft, inside)
    assert not cdse_dot_dynamics.verdict(name, dft, outside)


def test_peaks_may_be_off_by_the_scatter_of_the_dft_run_and_means_may_not():
    assert cdse_dot_dynamics.verdict("Se-Se peak", 4.5, 4.58, [4.42, 4.5])
    assert not cdse_dot_dynamics.verdict("Se-Se peak", 4.5, 4.59, [4.42, 4.5])
    assert not cdse_dot_dynamics.verdict("Se-Se mean", 4.5, 4.58, [4.42, 4.5])


def test_peak_of_a_vibration_is_found_and_judged():
    # H oscillates at 3000 1/cm in "DFT", at 3010 and at 3200 in the run
    symbols = ["Cd", "Se", "O", "C", "H"]

    def found(wavenumber: float, spacing: float, n: int) -> dict[str, float]:
        t = np.arange(n) * spacing
        v = np.zeros((n, 5, 3))
        slow = {0: 50, 1: 165, 2: 770, 3: 1550}
        for atom, own in (*slow.items(), (4, wavenumber)):
            v[:, atom, 0] = np.cos(2 * np.pi * own / 33356.41 * t)
        masses = cdse_dot_forces.masses_of(symbols)
        return cdse_dot_dynamics.peaks(cdse_dot_dynamics.spectrum(v, symbols, masses, spacing))

    dft, halves = found(3000.0, 1.0, 4000), [found(3000.0, 1.0, 2000)] * 2
    for own, passes in ((3010.0, True), (3200.0, False)):
        rows = cdse_dot_dynamics.compare(dft, halves, found(own, 2.0, 2000))
        row = next(r for r in rows if "C-H stretch" in r["name"])
        assert row["md"] == pytest.approx(own, abs=10.0)
        assert row["dft"] == pytest.approx(3000.0, abs=10.0)
        assert row["pass"] is passes
        assert row["published"] == 3047


def test_without_a_potential_the_rows_are_those_of_dft_alone():
    (row,) = cdse_dot_dynamics.compare({"Cd-Se mean": 2.7}, [{"Cd-Se mean": 2.6}] * 2, None)
    assert row == {"name": "Cd-Se mean", "dft": 2.7, "halves": [2.6, 2.6], "published": 2.692}


def test_temperature_of_a_stretch_is_that_of_the_velocity_along_the_bond():
    # C and H move against each other along x with kinetic energy kT/2, and anyhow across
    reduced = 12.011 * 1.008 / 13.019
    along = np.sqrt(250.0 * 8.617333e-5 / (reduced * 103.6427))
    positions = np.tile(np.array([[0.0, 0, 0], [1.1, 0, 0], [9.0, 0, 0]]), (2, 1, 1))
    velocities = np.zeros((2, 3, 3))
    velocities[0, 1], velocities[1, 1] = [along, 0.3, 0.1], [-along, 0.2, 0]
    found = cdse_dot_dynamics.stretch_temperature(positions, velocities, ["C", "H", "Cd"])
    assert found == pytest.approx(250.0, rel=1e-3)


def test_example_says_why_it_does_nothing_without_the_trajectory(tmp_path, monkeypatch, capsys):
    class Failed:
        returncode = 1

    monkeypatch.setattr(cdse_dot_forces.subprocess, "run", lambda *_, **__: Failed())
    monkeypatch.setattr(
        sys, "argv", ["cdse_dot.py", "--cache", str(tmp_path), "--output", str(tmp_path / "out")]
    )
    cdse_dot.main()
    printed = capsys.readouterr().out
    assert printed.startswith("skipped: no DFT trajectory")
    assert "Auto-FOX==0.10.2" in printed
    assert not (tmp_path / "out").exists()


def test_page_of_the_example_shows_every_row(tmp_path):
    row = {"name": "Cd-Se mean", "dft": 2.692, "halves": [2.69, 2.70], "published": 2.692,
           "md": 2.711, "pass": True}  # fmt: skip
    documents = {
        "forces": {"frames": {"train": 20}, "steps": 33, "training_seconds": 120.0,
                   "ended_by": "time_budget"},
        "baselines": {"rows": {"pair spline": {"frames": 60, "rmse": {"Cd": 0.157}}},
                      "quoted": {"pair_spline_rmse": {"Cd": 0.156}}},
        "grid_noise": {"spacing_angstrom": 0.0825,
                       "test_rmse_ev_per_angstrom": {"without_noise": {"O": 0.043, "all": 0.034}}},
        "dynamics": {"rows": [row, row | {"name": "C-H width", "pass": False}], "nvt_ps": 1.0,
                     "nve_ps": 1.0, "drift_ev_per_atom_ps": 1e-6, "hash": "c2d980f8f5f6a137"},
    }  # fmt: skip
    for name, document in documents.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(document))
    for name in ("baselines", "grid_noise", "dynamics"):
        (tmp_path / f"{name}.png").write_bytes(b"png of " + name.encode())
    cdse_dot.write_page(tmp_path, quick=True)
    page = (tmp_path / "page.html").read_text()
    for wanted in (
        "1 of 2 numbers",
        "pair spline",
        "157",
        "Cd-Se mean",
        "2.711",
        "FAIL",
        "--quick",
    ):
        assert wanted in page
    cdse_dot.write_page(tmp_path, quick=False)
    assert "--quick" not in (tmp_path / "page.html").read_text()

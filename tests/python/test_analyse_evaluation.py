# SPDX-License-Identifier: MIT
"""What an evaluation is divided into and measured by: regions, sizes, angles, spread, NVE runs."""

import re
from dataclasses import asdict

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.lj import LennardJones
from qdml.analyse.angles import FORCE_FLOOR, force_angles, mean_angle
from qdml.analyse.calibration import calibration, miscalibration_area, spread_factors
from qdml.analyse.groups import region_letters, size_class, size_order
from qdml.analyse.parity import UNITS, Evaluation, errors, parse_evaluation, worst_frames
from qdml.analyse.smoke import closest_pair, read_smoke, run_nve
from qdml.errors import DataError, EngineError
from test_analyse_structure import zinc_blende_cluster


class Resting(Calculator):
    """Zero energy and force: atoms move on straight lines, the total energy is exact."""

    implemented_properties = ("energy", "forces")

    def calculate(self, atoms=None, properties=None, system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        self.results = {"energy": 0.0, "forces": np.zeros((len(atoms), 3))}


class Failing(Resting):
    """An engine that refuses the structure after a number of steps."""

    def __init__(self, n_good):
        super().__init__()
        self.left = n_good

    def calculate(self, atoms=None, properties=None, system_changes=all_changes):
        self.left -= 1
        if self.left < 0:
            raise EngineError("positions are not finite")
        super().calculate(atoms, properties, system_changes)


class Leaking(Resting):
    """Energy that rises with the number of calls: a drift of known size."""

    def __init__(self, per_call):
        super().__init__()
        self.per_call, self.calls = per_call, 0

    def calculate(self, atoms=None, properties=None, system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        self.calls += 1
        self.results["energy"] = self.calls * self.per_call


# -- groups -------------------------------------------------------------------------------------


def test_regions_by_coordination():
    """A tetrahedral Cd with four Se is core, an undercoordinated one surface, Cl ligand."""
    cell = bulk("CdSe", "zincblende", a=6.2, cubic=True).repeat(2)
    cluster = zinc_blende_cluster()
    crystal, dot = region_letters([cell, cluster])
    assert set(crystal) == {"c"}
    symbols = np.array(cluster.get_chemical_symbols())
    letters = np.array(list(dot))
    assert set(letters[symbols == "Cl"]) == {"l"}
    first = next(i for i, s in enumerate(symbols) if s == "Cd" and letters[i] == "c")
    distances = cluster.get_distances(first, np.flatnonzero(symbols == "Se"))
    assert (distances < 3).sum() == 4
    assert "s" in letters
    # a salt alone is no lattice: no region is made up
    assert region_letters([Atoms("PbBr2", np.eye(3) * 3)]) == [None]
    # a salt molecule beside dots is not core
    assert (
        region_letters([Atoms("CdCl2", [[0, 0, 0], [0, 0, 2.3], [0, 0, -2.3]]), cell])[0] == "sll"
    )


def test_size_classes():
    assert size_class("dot", 35) == "dot, 32-63 atoms"
    assert size_class("dot", 64) == "dot, 64-127 atoms"
    assert size_class("molecule", 1) == "molecule, 1 atom"
    names = ["molecule, 2-3 atoms", "dot, 128-255 atoms", "dot, 32-63 atoms", "bulk, 8-15 atoms"]
    assert sorted(names, key=size_order) == [names[3], names[2], names[1], names[0]]


# -- angles -------------------------------------------------------------------------------------


def test_angles_by_hand():
    reference = np.array(
        [[1.0, 0, 0], [0, 2.0, 0], [0, 0, 3.0], [0.5 * FORCE_FLOOR, 0, 0], [1, 0, 0]]
    )
    predicted = np.array([[5.0, 0, 0], [2.0, 0, 0], [0, 0, -1.0], [0, 9.0, 0], [0, 0, 0]])
    angles, lengths = force_angles(reference, predicted)
    np.testing.assert_allclose(angles, [0, 90, 180, 90], atol=1e-12)  # the small force is left out
    np.testing.assert_allclose(lengths, [1, 2, 3, 1])
    assert mean_angle(angles, lengths) == pytest.approx((0 + 2 * 90 + 3 * 180 + 90) / 7)
    assert mean_angle(np.empty(0), np.empty(0)) is None
    tiny = np.array([[1.0, 1e-9, 0.0]])  # the arc cosine would say 0
    assert force_angles(np.array([[1.0, 0, 0]]), tiny)[0][0] == pytest.approx(np.degrees(1e-9))


# -- rows and worst frames ----------------------------------------------------------------------


def document(n_frames=4, spread=None):
    """Frames 0..n-1 of a water-like molecule; the force error of frame k is 0.1 k eV/Å."""
    frames = []
    for k in range(n_frames):
        reference = np.array([[1.0, 0, 0], [0, 1.0, 0], [0, 0, 1.0]])
        forces = {"reference": reference.tolist(), "predicted": (reference + 0.1 * k).tolist()}
        if spread is not None:
            forces["spread"] = [spread] * 3
        frames.append(
            {
                "file": f"{k % 2}.extxyz", "index": 10 + k, "split": "test", "origin": "water",
                "n_atoms": 3, "numbers": [8, 1, 1], "kind": "molecule", "region": None,
                "energy": {"reference": None if k == 0 else -3.0, "predicted": -3.0 + 0.03 * k},
                "forces": forces,
            }
        )  # fmt: skip
    head = dict.fromkeys(("model", "model_hash", "backend", "level_of_theory"), "x")
    return {**head, "format": 1, "units": UNITS, "frames": frames}


def test_rows_by_source_and_size():
    evaluation = parse_evaluation(document())
    found = errors(evaluation, "test")
    assert found["region"] == {}
    assert list(found["source"]) == ["0.extxyz", "1.extxyz"]
    row = found["source"]["1.extxyz"]  # frames 1 and 3
    assert row["force_rmse_mev_per_angstrom"] == pytest.approx(100 * np.sqrt((1 + 9) / 2))
    assert row["energy_mae_mev_per_atom"] == pytest.approx((10 + 30) / 2)
    assert found["source"]["0.extxyz"]["energy_rmse_mev_per_atom"] == pytest.approx(20)
    assert list(found["size"]) == ["molecule, 2-3 atoms"]
    assert found["element"]["O"]["n_atoms"] == 4
    cosine = 1.1 / np.sqrt(1.1**2 + 2 * 0.1**2)
    single = errors(parse_evaluation(document(2)), "test")["source"]["1.extxyz"]
    assert single["force_angle_degrees"] == pytest.approx(np.degrees(np.arccos(cosine)))


def test_worst_frames_come_first():
    rows = worst_frames(parse_evaluation(document()), "test", 2)
    assert [(r["number"], r["file"], r["index"]) for r in rows] == [
        (3, "1.extxyz", 13),
        (2, "0.extxyz", 12),
    ]
    assert rows[0]["largest_force_error_mev_per_angstrom"] == pytest.approx(300 * np.sqrt(3))
    assert rows[0]["energy_error_mev_per_atom"] == pytest.approx(30)
    assert rows[0]["formula"] == "H2O"
    assert worst_frames(parse_evaluation(document()), "valid") == []


# -- calibration --------------------------------------------------------------------------------


def gaussian_errors(factor, n=20_000, seed=0):
    """Spreads over a decade and errors whose components have width factor * s / sqrt(3)."""
    rng = np.random.default_rng(seed)
    spread = 10 ** rng.uniform(-2, -1, n)
    return spread, factor * spread[:, None] / np.sqrt(3) * rng.normal(size=(n, 3))


def test_calibrated_spread_is_found_calibrated():
    found = calibration(*gaussian_errors(1.0))
    assert found["factor"] == pytest.approx(1, abs=0.02)
    assert found["ence"] < 0.02
    assert found["area"] < 0.005
    assert len(found["bins"]) == 15
    assert found["bins"][0]["spread"] < found["bins"][-1]["spread"]


def test_overconfident_spread_is_found_out():
    """Errors three times the spread: the factor says so, and scaling by it mends the rest."""
    found = calibration(*gaussian_errors(3.0))
    assert found["factor"] == pytest.approx(3, rel=0.02)
    assert found["ence"] == pytest.approx(2, rel=0.05)
    assert found["area"] > 0.2
    assert found["area_scaled"] < 0.005
    assert found["ence_scaled"] < 0.02
    assert found["rank_correlation"] > 0.5
    spread, error = gaussian_errors(1.0)
    shuffled = calibration(np.random.default_rng(1).permutation(spread), error)
    assert abs(shuffled["rank_correlation"]) < 0.03


def test_energies_calibrate_themselves_where_there_are_enough_frames():
    def evaluation(n_frames, **head):
        found = Evaluation(head, split=["valid"] * n_frames + ["test"])
        spread, error = gaussian_errors(3.0, n=400)
        found.forces = [np.stack([np.zeros_like(error), error])] * (n_frames + 1)
        found.spreads = [spread] * (n_frames + 1)
        found.energies = np.array([[1.0, 1.2]] * n_frames + [[0.0, 9.0]])
        found.energy_spreads = np.full(n_frames + 1, 0.1)
        return found

    forces = pytest.approx(3.0, rel=0.1)
    enough = spread_factors(evaluation(10), "valid")
    assert enough == {"energy": pytest.approx(2.0), "forces": forces}
    assert spread_factors(evaluation(9), "valid") == {"energy": forces, "forces": forces}
    again = spread_factors(evaluation(10, spread_factors={"energy": 5.0, "forces": 1.0}), "valid")
    assert again["energy"] == pytest.approx(10.0)
    with pytest.raises(DataError, match="too few train atoms"):
        spread_factors(evaluation(10), "train")


def test_miscalibration_area_by_hand():
    """All errors zero: every interval holds all, area 1/2. One component at p: two triangles."""
    assert miscalibration_area(np.ones(4), np.zeros((4, 3))) == pytest.approx(0.5)
    assert miscalibration_area(np.ones(4), np.full((4, 3), 1e3)) == pytest.approx(0.5)
    one = np.full((1, 3), 0.6744897501960817 / np.sqrt(3))  # the quartile: p = 1/2 for all three
    assert miscalibration_area(np.ones(1), one) == pytest.approx(0.25)


def test_too_few_atoms_for_bins():
    assert calibration(*gaussian_errors(1.0, n=39)) is None
    assert calibration(np.zeros(100), np.ones((100, 3))) is None  # no spread at all


# -- the short run ------------------------------------------------------------------------------


def argon(n=3):
    """A warm piece of solid argon."""
    return bulk("Ar", "fcc", a=5.26, cubic=True).repeat(n)


def test_nve_of_a_sound_potential_passes():
    smoke = run_nve(
        argon(2), LennardJones(sigma=3.4, epsilon=0.0104, rc=8.0, smooth=True), "x", 0.2, 40
    )
    assert (smoke.state, smoke.reasons) == ("PASS", [])
    assert smoke.length_ps == pytest.approx(0.2)
    assert smoke.timestep_fs == 1.0
    assert len(smoke.time_ps) == len(smoke.energy) == 201
    assert smoke.temperature[0] == pytest.approx(40, rel=0.4)
    assert abs(smoke.drift) < 1e-5
    assert smoke.pair == "Ar-Ar"
    assert smoke.closest == pytest.approx(5.26 / np.sqrt(2) / 2.12, rel=0.12)
    assert smoke.as_drift().n_atoms == 32
    assert read_smoke(asdict(smoke), "nve.json") == smoke


def test_hydrogen_halves_the_time_step():
    water = Atoms("OH2", [[0, 0, 0], [0, 0.76, 0.59], [0, -0.76, 0.59]])
    assert run_nve(water, Resting(), "x", 0.001).timestep_fs == 0.5


def test_drift_warns():
    """0.001 eV per call of 32 atoms each fs: 31 meV/atom/ps."""
    smoke = run_nve(argon(2), Leaking(1e-3), "x", 0.1, 10)
    assert smoke.state == "WARN"
    assert smoke.drift == pytest.approx(1e-3 / 32 * 1e3, rel=1e-6)
    assert re.match(r"energy drifts by 31.2 meV/atom/ps", smoke.reasons[0])


def test_short_run_cannot_tell_a_drift():
    smoke = run_nve(argon(2), Resting(), "x", 0.003, 10)
    assert smoke.drift is None
    assert smoke.as_drift() is None
    assert smoke.reasons == ["4 recorded energies are too few for a drift"]


def test_collapse_and_loss_warn():
    """Without forces argon flies apart or together: neighbours come too near, parts come off."""
    start = Atoms("Ar2", [[0, 0, 0], [0, 0, 2.5]])
    assert closest_pair(start)[0] == pytest.approx(2.5 / 2.12)
    smoke = run_nve(start, Resting(), "x", 2.0, 300, seed=1)
    assert (smoke.parts_before, smoke.parts_after) == (1, 2)
    assert "2 bonded parts at the end, 1 at the start" in smoke.reasons
    near = run_nve(Atoms("Ar2", [[0, 0, 0], [0, 0, 1.0]]), Resting(), "x", 0.02, 10)
    assert any("Ar-Ar came within 0.47" in reason for reason in near.reasons)


def test_run_that_breaks_is_told():
    smoke = run_nve(argon(1), Failing(20), "x", 0.1, 10)
    assert smoke.stopped == 20
    assert smoke.state == "WARN"
    assert "not finite after 20 steps" in smoke.reasons[0]


def test_bad_requests_are_refused():
    with pytest.raises(DataError, match="expected a length above 0"):
        run_nve(argon(1), Resting(), "x", 0.0)
    smoke = run_nve(argon(1), Resting(), "x", 0.02)
    content = asdict(smoke) | {"speed": 3}
    with pytest.raises(DataError, match="not the record of an NVE run"):
        read_smoke(content, "nve.json")

# SPDX-License-Identifier: MIT
"""Commands of real runs: thermostats, barostats, atoms that come and go, rerun, NEB, balancing."""

from __future__ import annotations

import numpy as np
import pytest
from lammps_cases import CASES, crystal, rattled
from lammps_runner import measure, read_results, run, run_ok, system, write_data
from test_dynamics import HOT, thermo_column


def test_npt_of_a_triclinic_cell_conserves_its_energy(model, tmp_path):
    write_data(tmp_path / "a.data", CASES["triclinic"].atoms)
    deck = system(model, "a.data", precision="mixed") + """
velocity all create 300 4711
fix move all npt temp 300 300 0.1 tri 0 0 1
timestep 0.001
thermo_style custom step temp pe econserve lx xy
thermo_modify format float %.12g
thermo 10
run 60
"""  # fmt: skip
    output = run_ok(tmp_path, deck, ranks=2)
    kept = thermo_column(output, "Econserve")
    assert np.ptp(thermo_column(output, "Lx")) > 0.05
    assert np.ptp(thermo_column(output, "Xy")) > 0.01
    assert np.ptp(thermo_column(output, "PotEng")) > 0.05
    assert np.ptp(kept) < 2e-3


def test_nvt_holds_the_temperature(model, tmp_path):
    write_data(tmp_path / "a.data", CASES["bulk"].atoms)
    deck = system(model, "a.data", precision="mixed") + """
minimize 0 1e-2 100 200
velocity all create 600 4711
fix move all nvt temp 300 300 0.05
timestep 0.002
thermo_style custom step temp pe econserve
thermo_modify format float %.12g
thermo 10
run 200
"""  # fmt: skip
    output = run_ok(tmp_path, deck)
    assert 150 < thermo_column(output, "Temp")[10:].mean() < 450
    assert np.ptp(thermo_column(output, "Econserve")) < 2e-2


def test_deposited_and_deleted_atoms(model, tmp_path):
    """After atoms came and went the forces are those of the same structure read afresh."""
    write_data(tmp_path / "a.data", CASES["slab"].atoms)
    begin = system(model, "a.data", boundary="p p f")
    deck = begin + """
region top block 0 12 0 12 18 20 units box
fix rain all deposit 3 3 5 4711 region top near 1.5 vz -5 -5
velocity all create 300 1
fix move all nve
timestep 0.001
run 20
group gone id 1 5 9
delete_atoms group gone compress no
run 10
"""  # fmt: skip
    read = system(model, "b.data", boundary="p p f")
    output = run_ok(
        tmp_path,
        deck
        + measure("moved", 1)
        + "thermo_style one\nwrite_data b.data\nclear\n"
        + read
        + measure("fresh"),
        ranks=2,
    )
    moved, fresh = (read_results(tmp_path, name) for name in ("moved", "fresh"))
    assert len(moved.ids) == 48 + 3 - 3
    assert moved.ids.max() == 51
    assert "Deleted 3 atoms" in output
    np.testing.assert_array_equal(moved.ids, fresh.ids)
    np.testing.assert_allclose(moved.forces, fresh.forces, rtol=0, atol=1e-8)
    assert moved.energy == pytest.approx(fresh.energy, abs=1e-8)


def test_rerun_repeats_the_energies(model, tmp_path):
    write_data(tmp_path / "a.data", CASES["dot, shrink-wrapped"].atoms)
    begin = system(model, "a.data", boundary="s s s") + HOT
    deck = begin + """
dump out all custom 5 out.dump id type x y z
dump_modify out format float %.17g
thermo_modify format float %.12g
thermo 5
run 10
undump out
unfix move
rerun out.dump dump x y z
"""  # fmt: skip
    output = run_ok(tmp_path, deck, ranks=2)
    first = thermo_column(output.split("rerun out.dump")[0], "E_pair")
    again = thermo_column(output, "E_pair")
    assert len(again) == 3
    np.testing.assert_allclose(again, first[-3:], rtol=0, atol=1e-7)


def test_neb_on_partitions(model, tmp_path):
    """Four replicas of one rank each: exchanges stay within a replica."""
    start = rattled(crystal((1, 1, 1)), 1)
    end = start.copy()
    end.positions[0] += [0.4, 0.1, 0.2]
    write_data(tmp_path / "start.data", start)
    write_data(tmp_path / "end.data", end)
    x, y, z = end.positions[0]
    (tmp_path / "final").write_text(f"1\n1 {x:.17g} {y:.17g} {z:.17g}\n")
    begin = system(model, "start.data", precision="double", before="atom_modify map array")
    deck = begin + """
fix neb all neb 1.0
timestep 0.005
min_style quickmin
neb 0.0 0.01 10 10 5 final final
"""  # fmt: skip
    done = run(tmp_path, deck, ranks=4, arguments=("-partition", "4x1"))
    assert done.returncode == 0, done.stdout[-2000:]
    lines = (tmp_path / "in.test.log").read_text().splitlines()
    first = next(words for words in (line.split() for line in lines) if words[:1] == ["0"])
    energies = np.array(first[10::2], dtype=float)  # after RDT: RD and PE of every replica
    assert len(energies) == 4
    ends = system(model, "start.data") + measure("start") + "clear\n"
    run_ok(tmp_path, ends + system(model, "end.data") + measure("end"))
    wanted = [read_results(tmp_path, name).energy for name in ("start", "end")]
    np.testing.assert_allclose(energies[[0, 3]], wanted, rtol=1e-7)


def test_balancing_during_a_run_changes_no_trajectory(model, tmp_path):
    case = CASES["dot, shrink-wrapped"]
    write_data(tmp_path / "a.data", case.atoms)
    runs = {}
    for name, ranks, extra in (("serial", 1, ""), ("rcb", 3, "fix even all balance 5 1.0 rcb\n")):
        deck = system(model, "a.data", boundary="s s s", tiled=ranks > 1) + HOT + extra
        output = run_ok(tmp_path, deck + measure(name, steps=20), ranks)
        runs[name] = read_results(tmp_path, name)
        assert ("tiled communication" in output) == (ranks > 1)
    difference = np.abs(runs["rcb"].positions - runs["serial"].positions).max()
    assert difference < 1e-9


def test_pair_modify_changes_no_number(model, tmp_path):
    write_data(tmp_path / "a.data", CASES["triclinic"].atoms)
    deck = system(model, "a.data")
    words = "pair_modify shift yes mix arithmetic table 0\npair_modify nofdotr\n"
    run_ok(tmp_path, deck + measure("plain") + "clear\n" + deck + words + measure("modified"), 2)
    plain, modified = (read_results(tmp_path, name) for name in ("plain", "modified"))
    for field in ("energy", "virial", "forces", "virials"):
        np.testing.assert_array_equal(getattr(plain, field), getattr(modified, field))

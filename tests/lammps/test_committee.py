# SPDX-License-Identifier: MIT
"""Several potentials in one pair_coeff: averages, and the spread of the members' forces."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from lammps_cases import CASES
from lammps_runner import (
    SYMBOLS,
    measure,
    read_columns,
    read_results,
    run,
    run_ok,
    system,
    write_data,
)
from qdml.committee import read_members, write_committee
from qdml.lammps import lammps_environment

UNIT = {"metal": 1.0, "real": 23.060549}  # per eV


@pytest.mark.parametrize("units", ["metal", "real"])
@pytest.mark.parametrize(("ranks", "tiled"), [(1, False), (2, False), (4, True)])
def test_averages_and_spread(committee, tmp_path, ranks, tiled, units):
    case = CASES["bulk"]
    write_data(tmp_path / "a.data", case.atoms)
    decks = []
    for k, member in enumerate(committee):
        decks.append(system(member, "a.data", units=units) + measure(f"member{k}"))
    files = " ".join(str(member) for member in committee)
    together = system(
        committee[0],
        "a.data",
        units=units,
        tiled=tiled,
        pair=f"pair_style qdml precision double\npair_coeff * * {files} Cd Se Cl",
    )
    together += """
fix spread all pair 1 qdml force_spread 1
compute most all reduce max f_spread
compute values all pair qdml
dump spread all custom 1 spread.dump id f_spread
dump_modify spread sort id format float %.17g
run 0
"""
    # a thermo keyword with c_most is what fix halt sees; compute pair has it without a fix
    together += measure("mean").replace("step pe", "step c_most c_values[1] c_values[2] pe")
    together += 'print "$(c_most:%.17g) $(c_values[1]:%.17g) $(c_values[2]:%.17g)" file spread\n'
    run_ok(tmp_path, "\nclear\n".join([*decks, together]), ranks)
    members = [read_results(tmp_path, f"member{k}") for k in range(3)]
    mean = read_results(tmp_path, "mean")
    for field in ("energy", "virial", "forces", "energies", "virials"):
        wanted = sum(getattr(member, field) for member in members) / 3
        np.testing.assert_allclose(getattr(mean, field), wanted, rtol=1e-11, atol=1e-8)
    forces = np.array([member.forces for member in members])
    spread = np.sqrt(((forces - forces.mean(axis=0)) ** 2).sum(axis=2).mean(axis=0))
    found = read_columns(tmp_path / "spread.dump")[-1][:, 1]
    np.testing.assert_allclose(found, spread, rtol=0, atol=1e-9 * UNIT[units])
    assert spread.min() > 0.01 * UNIT[units]
    numbers = [float(word) for word in (tmp_path / "spread").read_text().split()]
    energies = np.array([member.energy for member in members])
    np.testing.assert_allclose(numbers, [spread.max(), spread.max(), energies.std()], rtol=1e-9)


def test_factors_of_the_file_scale_the_spreads(twins, tmp_path):
    """One file with `spread_factors` against the same file without: spreads alone change."""
    write_data(tmp_path / "a.data", CASES["bulk"].atoms)
    members = [read_members(path)[0] for path in twins]
    write_committee(tmp_path / "raw.qdml", members)
    factors = {"energy": 3.0, "forces": 2.0}
    write_committee(tmp_path / "scaled.qdml", members, spread_factors=factors)
    decks = []
    for name in ("raw", "scaled"):
        deck = system(tmp_path / f"{name}.qdml", "a.data") + (
            "fix s all pair 1 qdml force_spread 1\ncompute v all pair qdml\n"
            f"dump s all custom 1 {name}.dump id f_s\n"
            "dump_modify s sort id format float %.17g\n"
            "thermo_style custom step pe c_v[1] c_v[2]\nrun 0\n"
            f'print "$(c_v[1]:%.17g) $(c_v[2]:%.17g) $(pe:%.17g)" file {name}\n'
        )
        decks.append(deck)
    output = run_ok(tmp_path, "\nclear\n".join(decks), ranks=2)
    assert output.count("spreads are multiplied by 3 (energy) and 2 (forces)") == 1
    raw, scaled = (np.loadtxt(tmp_path / name) for name in ("raw", "scaled"))
    np.testing.assert_allclose(scaled, raw * [2.0, 3.0, 1.0], rtol=1e-12)
    atoms = [read_columns(tmp_path / f"{name}.dump")[-1][:, 1] for name in ("raw", "scaled")]
    np.testing.assert_allclose(atoms[1], 2 * atoms[0], rtol=1e-12)


def test_spread_stops_a_run_and_thins_a_dump(committee, tmp_path):
    """fix halt ends the run; dump_modify thresh keeps the atoms on which the members disagree."""
    write_data(tmp_path / "a.data", CASES["bulk"].atoms)
    files = " ".join(str(member) for member in committee)
    pair = f"pair_style qdml\npair_coeff * * {files} Cd Se Cl"
    deck = system(committee[0], "a.data", pair=pair) + (
        "fix spread all pair 2 qdml force_spread 1\n"
        "compute most all reduce max f_spread\n"
        "variable most equal c_most\n"
        "fix move all nve\n"
        "fix stop all halt 2 v_most > 1e-6 error continue\n"
        "dump wild all custom 2 wild.dump id f_spread\n"
        "dump_modify wild thresh f_spread > 0.3\n"
        "run 10\n"
    )
    output = run_ok(tmp_path, deck, ranks=2)
    assert "Fix halt condition for fix-id stop met on step 2" in output
    frames = [frame[:, 1] for frame in read_columns(tmp_path / "wild.dump")]
    assert len(frames) == 2
    for values in frames:
        assert 0 < len(values) < 64
        assert (values > 0.3).all()


def test_spread_with_and_without_trigger(committee, tmp_path):
    """A fix without trigger gets the spread of its own step, also after one with a trigger."""
    write_data(tmp_path / "a.data", CASES["bulk"].atoms)
    files = " ".join(str(member) for member in committee)
    pair = f"pair_style qdml precision double\npair_coeff * * {files} Cd Se Cl"
    deck = system(committee[0], "a.data", pair=pair) + "fix move all nve\nthermo 100\n"
    parts = []
    for name, words in (("trigger", "2 qdml force_spread 1"), ("plain", "1 qdml force_spread 0")):
        parts.append(
            f"fix s all pair {words}\ndump d all custom 2 {name}.dump id f_s\n"
            "dump_modify d sort id format float %.12g\nrun 4\nundump d\nunfix s\n"
        )
    again = "clear\n" + deck
    both = (
        deck + "".join(parts) + again + parts[1].replace("plain", "alone").replace("run 4", "run 8")
    )
    run_ok(tmp_path, both, ranks=2)
    trigger, plain, alone = (
        [frame[:, 1] for frame in read_columns(tmp_path / f"{name}.dump")]
        for name in ("trigger", "plain", "alone")
    )
    assert np.abs(alone[1] - alone[2]).max() > 1e-7
    np.testing.assert_allclose([*trigger, *plain[1:]], alone, rtol=0, atol=1e-7)


def test_spread_through_the_library(committee, tmp_path):
    """LAMMPS' Python module reads the scalars by name."""
    write_data(tmp_path / "a.data", CASES["bulk"].atoms)
    files = " ".join(str(member) for member in committee)
    pair = f"pair_style qdml\npair_coeff * * {files} Cd Se Cl"
    deck = system(committee[0], "a.data", pair=pair) + "compute v all pair qdml\n"
    deck += "thermo_style custom step c_v[1] c_v[2]\nrun 0\n"
    script = f"""
from lammps import lammps
lmp = lammps(cmdargs=["-screen", "none", "-log", "none"])
lmp.commands_string('''{deck}''')
print("scalars", lmp.extract_pair("max_force_spread"), lmp.extract_pair("energy_spread"))
print("vector", *(lmp.extract_compute("v", 0, 1)[k] for k in (0, 1)))
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env=lammps_environment(1),
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    lines = dict(line.split(maxsplit=1) for line in done.stdout.splitlines() if " " in line)
    assert lines["scalars"] == lines["vector"]
    assert min(float(word) for word in lines["scalars"].split()) > 0


@pytest.fixture(scope="session")
def twins(model: Path) -> tuple[Path, ...]:
    """Three members of one architecture, which share the edges of a step."""
    from models import random_model

    paths = [model]
    for seed in (21, 22):
        path = model.parent / f"twin{seed}.qdml"
        paths.append(random_model(path, SYMBOLS, channels=16, message_channels=16, seed=seed))
    return tuple(paths)


def trajectory(name: str, pair: str, after: str = "") -> str:
    """Ten steps of `pair`; positions and forces of every second with all digits."""
    return (
        system(Path(), "a.data", pair=pair)
        + f"""
fix move all nve
{after}
thermo 5
thermo_style custom step pe press
dump out all custom 2 {name}.dump id x y z fx fy fz
dump_modify out sort id format float %.17g
run 10
"""
    )


@pytest.mark.parametrize("ranks", [1, 2])
def test_dynamics_of_the_first_member(twins, tmp_path, ranks):
    """`members first` moves atoms as the first file alone does, bit for bit, and gives the same
    spread as averages do at the same positions."""
    write_data(tmp_path / "a.data", CASES["bulk"].atoms)
    files = " ".join(str(member) for member in twins)
    alone = f"pair_style qdml\npair_coeff * * {twins[0]} Cd Se Cl"
    first = f"pair_style qdml members first\npair_coeff * * {files} Cd Se Cl"
    mean = f"pair_style qdml\npair_coeff * * {files} Cd Se Cl"
    spread = "fix s all pair 5 qdml force_spread 1\ncompute most all reduce max f_s\n"
    spread += "fix energies all ave/time 1 1 1 c_thermo_pe\n"  # asks for energies in every step
    spread += "dump s all custom 5 {}.spread id x y z f_s\n"
    spread += "dump_modify s sort id format float %.17g\n"
    decks = [
        trajectory("alone", alone),
        trajectory("first", first, spread.format("first")),
        # averages, at the positions that the first member gave: read from the dump, no dynamics
        system(Path(), "a.data", pair=mean)
        + "fix s all pair 5 qdml force_spread 1\ndump s all custom 5 mean.spread id x y z f_s\n"
        + "dump_modify s sort id format float %.17g\n"
        + "rerun first.spread dump x y z\n",
    ]
    output = run_ok(tmp_path, "\nclear\n".join(decks), ranks)
    np.testing.assert_array_equal(
        read_columns(tmp_path / "first.dump"), read_columns(tmp_path / "alone.dump")
    )
    assert "3 of 11 evaluations were of all 3 members" in output
    found, wanted = (read_columns(tmp_path / f"{name}.spread") for name in ("first", "mean"))
    assert len(found) == len(wanted) == 3
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_allclose(a[:, 1:4], b[:, 1:4], rtol=0, atol=1e-9)
        np.testing.assert_allclose(a[:, 4], b[:, 4], rtol=0, atol=1e-5)
        assert a[:, 4].min() > 0.01


def test_first_member_and_the_spread_every_few_steps(twins, tmp_path):
    """`every` evaluates the others without a fix; minimisers do not evaluate them in every step."""
    write_data(tmp_path / "a.data", CASES["bulk"].atoms)
    files = " ".join(str(member) for member in twins)
    pair = f"pair_style qdml members first every 3\npair_coeff * * {files} Cd Se Cl"
    output = run_ok(
        tmp_path,
        trajectory("every", pair).replace("thermo 5", "thermo 100")
        + "run 0\nmin_style fire\nthermo 1000\nminimize 0 0 20 40\n",
    )
    # steps 0, 3, 6, 9 and the last, which prints
    assert "5 of 11 evaluations were of all 3 members" in output
    assert "committee of 3: the first alone" in output
    counts = [line.split() for line in output.splitlines() if "evaluations were of all" in line]
    complete, total = (int(counts[-1][k]) for k in (2, 4))
    assert 5 <= complete < total / 2  # a minimisation of 20 steps, every third and the last


def test_compute_pair_gets_the_spread_of_its_step(twins, tmp_path):
    """Under `members first` a value that is asked for between lines of output is not an old one."""
    write_data(tmp_path / "a.data", CASES["bulk"].atoms)
    files = " ".join(str(member) for member in twins)
    deck = "\nclear\n".join(
        system(Path(), "a.data", pair=f"pair_style qdml {words}\npair_coeff * * {files} Cd Se Cl")
        + "fix move all nve\nthermo 100\ncompute v all pair qdml\n"
        + f"fix out all ave/time 2 1 2 c_v[1] c_v[2] file {name}.values format ' %.17g'\nrun 6\n"
        for name, words in (("often", "members first every 1"), ("seldom", "members first"))
    )
    output = run_ok(tmp_path, deck)
    assert "4 of 7 evaluations were of all 3 members" in output
    often, seldom = (np.loadtxt(tmp_path / f"{name}.values") for name in ("often", "seldom"))
    np.testing.assert_array_equal(seldom, often)
    assert len(set(often[:, 1])) == 4


def test_restart_files_know_what_the_atoms_follow(twins, tmp_path):
    write_data(tmp_path / "a.data", CASES["bulk"].atoms)
    files = " ".join(str(member) for member in twins)
    pair = f"pair_style qdml members first every 4\npair_coeff * * {files} Cd Se Cl"
    deck = system(Path(), "a.data", pair=pair) + "run 0\nwrite_restart a.restart\nclear\n"
    deck += "read_restart a.restart\nfix move all nve\nthermo 100\nrun 10\n"
    output = run_ok(tmp_path, deck, ranks=2)
    assert output.count("committee of 3: the first alone") == 2
    assert "4 of 11 evaluations were of all 3 members" in output  # 0, 4, 8 and the last


def test_one_file_with_members_equals_their_files(twins, tmp_path):
    """Same bits, same spread; a restart file knows the committee by its one hash."""
    write_data(tmp_path / "a.data", CASES["bulk"].atoms)
    write_committee(tmp_path / "all.qdml", [read_members(path)[0] for path in twins])
    files = " ".join(str(member) for member in twins)
    decks = [
        system(Path(), "a.data", pair=f"pair_style qdml\npair_coeff * * {names} Cd Se Cl")
        + "compute values all pair qdml\n"
        + measure(name).replace("step pe", "step c_values[1] pe")
        + f'print "$(c_values[1]:%.17g) $(c_values[2]:%.17g)" file {name}.values\n'
        for name, names in (
            ("files", files),
            ("packed", "all.qdml"),
            ("both", f"all.qdml {twins[1]}"),
        )
    ]
    again = "thermo_style one\nwrite_restart a.restart\nclear\nread_restart a.restart\nrun 0\n"
    output = run_ok(tmp_path, "\nclear\n".join(decks) + again, ranks=2)
    one, many = (read_results(tmp_path, name) for name in ("packed", "files"))
    np.testing.assert_array_equal(one.forces, many.forces)
    assert (tmp_path / "packed.values").read_text() == (tmp_path / "files.values").read_text()
    assert output.count("committee of 4") == 2
    shutil.copy(twins[0], tmp_path / "all.qdml")
    done = run(tmp_path, "read_restart a.restart\nrun 0\n", ranks=2)
    assert "all.qdml has changed since the restart file was written" in done.stdout


def test_one_member_twice_equals_that_member(model, tmp_path):
    write_data(tmp_path / "a.data", CASES["slab"].atoms)
    pair = f"pair_style qdml precision double\npair_coeff * * {model} {model} Cd Se Cl"
    deck = system(model, "a.data", boundary="p p f", pair=pair) + (
        "compute values all pair qdml\nthermo_style custom step c_values[1]\nrun 0\n"
        'print "spread $(c_values[1]) $(c_values[2])"\n'
    )
    output = run_ok(
        tmp_path,
        system(model, "a.data", boundary="p p f")
        + measure("one")
        + "clear\n"
        + deck
        + measure("two"),
        ranks=2,
    )
    one, two = (read_results(tmp_path, name) for name in ("one", "two"))
    np.testing.assert_allclose(two.forces, one.forces, rtol=0, atol=1e-14)
    assert "spread 0 0" in output

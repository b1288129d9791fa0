# SPDX-License-Identifier: MIT
"""Restart files know the potential: path, content hash, keywords and the element of each type."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from lammps_cases import CASES
from lammps_runner import measure, read_results, run, run_ok, system, write_data
from qdml.modelfile import content_hash

MOVE = "fix move all nve\ntimestep 0.002\n"
START = "velocity all create 1500 8127 mom yes rot no\n" + MOVE


@pytest.fixture(scope="module")
def restart(model, committee, tmp_path_factory):
    """A folder with half.restart of potential.qdml, and where its trajectory goes on to."""
    folder = tmp_path_factory.mktemp("restart")
    shutil.copy(model, folder / "potential.qdml")
    write_data(folder / "start.data", CASES["bulk"].atoms)
    deck = system("potential.qdml", "start.data", pair=(
        "pair_style qdml precision double extrapolation off memory 500\n"
        "pair_coeff * * potential.qdml Cd Se Cl"
    )) + START + "run 10\nwrite_restart half.restart\n"  # fmt: skip
    run_ok(folder, deck + measure("whole", steps=10), ranks=2)
    return folder


@pytest.fixture
def copy(restart, tmp_path):
    for name in ("potential.qdml", "half.restart"):
        shutil.copy(restart / name, tmp_path)
    return tmp_path


@pytest.mark.parametrize("ranks", [1, 4])
def test_a_run_goes_on_from_the_restart_file_alone(restart, copy, ranks):
    output = run_ok(copy, "read_restart half.restart\n" + MOVE + measure("second", 10), ranks)
    assert "precision double" in output
    assert "types: 1 = Cd 2 = Se 3 = Cl" in output
    assert "(work arrays bound to 500 MiB)" in output
    whole, second = read_results(restart, "whole"), read_results(copy, "second")
    np.testing.assert_allclose(second.positions, whole.positions, rtol=0, atol=1e-9)


def test_a_changed_file_is_refused_with_both_hashes(committee, copy):
    before = content_hash(copy / "potential.qdml")
    shutil.copy(committee[1], copy / "potential.qdml")
    after = content_hash(copy / "potential.qdml")
    done = run(copy, "read_restart half.restart\n" + MOVE + "run 1\n", ranks=2)
    assert done.returncode != 0
    assert (
        f"potential.qdml has changed since the restart file was written: its hash is {after}, "
        f"the restart file names {before}" in done.stdout
    )
    assert done.stdout.count("ERROR") == 1


def test_a_missing_file_is_named(copy):
    (copy / "potential.qdml").unlink()
    done = run(copy, "read_restart half.restart\n" + MOVE + "run 1\n", ranks=2)
    assert done.returncode != 0
    assert "potential.qdml" in done.stdout
    assert "or give pair_coeff * * FILE.qdml with the elements after read_restart" in done.stdout


def test_pair_coeff_after_read_restart_chooses_another_file(model, committee, copy):
    (copy / "potential.qdml").unlink()
    deck = f"read_restart half.restart\npair_coeff * * {committee[1]} Cd Se Cl\n" + MOVE
    output = run_ok(copy, deck + "run 1\n", ranks=2)
    assert "WARNING: pair_coeff qdml: another potential than in the restart file" in output
    assert content_hash(model) in output
    assert content_hash(committee[1]) in output
    same = f"read_restart half.restart\npair_coeff * * {model} Cd Se Cl\n" + MOVE
    assert "another potential" not in run_ok(copy, same + "run 1\n")


def test_a_cut_restart_file_is_refused(copy):
    data = (copy / "half.restart").read_bytes()
    place = data.index(b"potential.qdml")
    # a path that claims to be longer than the file
    broken = data[: place - 4] + (60000).to_bytes(4, "little") + data[place:]
    (copy / "half.restart").write_bytes(broken)
    done = run(copy, "read_restart half.restart\n", ranks=2)
    assert done.returncode != 0
    assert "the restart file is damaged or ends early" in done.stdout


def test_a_committee_under_hybrid_repeats_its_pair_coeff(committee, copy):
    """LAMMPS keeps only the keywords of hybrid sub-styles; the hashes are compared all the same."""
    write_data(copy / "start.data", CASES["bulk"].atoms)
    files = " ".join(str(member) for member in committee[:2])
    coeff = f"pair_coeff * * qdml {files} Cd Se Cl\npair_coeff * * zero\n"
    pair = f"pair_style hybrid/overlay qdml precision double zero 5.0\n{coeff}"
    deck = system(committee[0], "start.data", pair=pair)
    run_ok(copy, deck + START + "run 2\nwrite_restart hybrid.restart\n" + measure("whole", 3))
    again = "read_restart hybrid.restart\n" + coeff + MOVE
    output = run_ok(copy, again + measure("second", 3), ranks=2)
    assert "precision double" in output
    assert "another potential" not in output
    whole, second = read_results(copy, "whole"), read_results(copy, "second")
    np.testing.assert_allclose(second.positions, whole.positions, rtol=0, atol=1e-9)

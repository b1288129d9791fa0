# SPDX-License-Identifier: MIT
"""The LAMMPS that benchmarks/gpu.py takes along: complete, relocatable, for any Python, small."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import pytest
from qdml.lammps import wheel_file

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))
import carry_lammps
import gpu

wheels = pytest.mark.skipif(
    wheel_file("lammps", "lammps/lmp") is None or wheel_file("mpich", "/libmpi.so.12") is None,
    reason="no `lammps` and `mpich` wheels in this environment",
)


@pytest.fixture(scope="module")
def carried(tmp_path_factory):
    """The folder, and the packages that are not in it."""
    folder = tmp_path_factory.mktemp("carried")
    return folder, carry_lammps.assemble(folder)


@wheels
def test_no_file_belongs_to_one_machine_or_one_python(carried):
    folder, required = carried
    files = [file for file in folder.rglob("*") if file.is_file()]
    for file in files:
        assert "cpython-" not in file.name
        content = file.read_bytes()
        for place in (sys.prefix, str(carry_lammps.ROOT)):
            assert place.encode() not in content, file
    assert not [file for file in (folder / "python").rglob("*.so*")]
    assert {entry.split()[0] for entry in required} == {"numpy", "scipy"}


@wheels
def test_the_packages_of_the_tests_are_there(carried):
    packages = {path.name for path in (carried[0] / "python").iterdir()}
    assert {"ase", "pytest", "_pytest", "pluggy"} <= packages
    assert not {"qdml", "numpy", "scipy", "jax"} & packages


@wheels
def test_lammps_runs_from_there_on_two_ranks_without_this_environment(carried, tmp_path):
    folder = carried[0]
    (tmp_path / "in.box").write_text("region box block 0 1 0 1 0 2\ncreate_box 1 box\n")
    done = subprocess.run(
        [folder / "bin/mpiexec.hydra", "-n", "2", folder / "bin/lmp", "-in", "in.box"],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin", "LD_LIBRARY_PATH": str(folder / "lib")},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "1 by 1 by 2 MPI processor grid" in done.stdout, done.stdout + done.stderr


@wheels
def test_archive_and_sources_may_be_sent(carried, tmp_path):
    packed = carry_lammps.pack(carried[0], tmp_path / "build/carry.tar.xz")
    assert packed > 2**20
    assert packed + carry_lammps.source_bytes() < carry_lammps.LIMIT


def test_without_the_archive_the_stage_says_how_to_make_it(tmp_path):
    options = argparse.Namespace(carried=tmp_path / "none", minutes=1, build=tmp_path)
    with pytest.raises(gpu.Skipped, match=r"none: benchmarks/carry_lammps\.py packs it"):
        gpu.lammps(gpu.Session(options))

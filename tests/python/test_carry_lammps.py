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
from support import carried_dots
from support.carried import unpack

FETCHED = 3 * 2**20  # bytes at most that the wheels add, where they are not at hand
MARGIN = 2**20  # bytes left for what is added to the sources

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
    compiled = folder / f"python-{carry_lammps.PYTHON[1]}"
    for file in files:
        # but for the folder of the lent machines' own Python
        assert "cpython-" not in file.name.replace("cpython-312", "")
        assert "cpython-" not in file.name or compiled in file.parents
        content = file.read_bytes()
        for place in (sys.prefix, str(carry_lammps.ROOT)):
            assert place.encode() not in content, file
    assert not [file for file in (folder / "python").rglob("*.so*")]
    names = {entry.split()[0].lower() for entry in required}
    assert names == {"numpy", "scipy"} | carry_lammps.THERE


@wheels
def test_the_packages_of_the_tests_are_there(carried):
    packages = {path.name for path in (carried[0] / "python").iterdir()}
    assert "ase" in packages
    assert not {"qdml", "numpy", "scipy", "jax", "pytest", "_pytest", "pygments"} & packages


@wheels
def test_what_the_training_needs_is_for_the_python_of_the_lent_machines(carried):
    if not list(carry_lammps.WHEELS.glob("*.whl")):
        pytest.skip("carry_lammps.py fetches the wheels, this test does not")
    folder = carried[0] / "python-cp312"
    packages = {path.name for path in folder.iterdir()}
    assert {
        "annotated_types",
        "pydantic",
        "pydantic_core",
        "typing_inspection",
        "vesin",
    } <= packages
    assert list(folder.glob("pydantic_core/*.cpython-312-x86_64-linux-gnu.so"))


@wheels
def test_dots_are_about_as_large_as_their_names_say(carried, monkeypatch, tmp_path):
    monkeypatch.setattr(carried_dots.carried, "folder", lambda: carried[0])
    for material, wanted in carried_dots.DIAMETERS:
        if wanted >= 500:
            dot = carried_dots.find_dot(material, wanted, tmp_path)
            assert dot.path.parent == carried[0] / "dots"
            assert abs(dot.n_atoms - wanted) < 0.08 * wanted
            assert dot.path.read_text().count(f"# {dot.elements[0]}") >= 1
    assert not list(tmp_path.iterdir())


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
@pytest.mark.slow
def test_archive_and_sources_may_be_sent(carried, tmp_path):
    archive = tmp_path / "build/carry.tar.xz"
    packed = carry_lammps.pack(carried[0], archive)
    unpack(archive, tmp_path)
    assert (tmp_path / "bin/lmp").read_bytes() == (carried[0] / "bin/lmp").read_bytes()
    missing = 0 if list(carry_lammps.WHEELS.glob("*.whl")) else FETCHED
    assert packed + missing + carry_lammps.source_bytes() < carry_lammps.LIMIT - MARGIN


def test_without_the_archive_the_stage_says_how_to_make_it(tmp_path):
    options = argparse.Namespace(carried=tmp_path / "none", minutes=1, build=tmp_path)
    with pytest.raises(gpu.Skipped, match=r"none: benchmarks/carry_lammps\.py packs it"):
        gpu.lammps(gpu.Session(options))

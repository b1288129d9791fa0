# SPDX-License-Identifier: MIT
"""`qdml lmp`, `qdml plugin-path` and the example decks, as a user types them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from ase.io import read
from lammps_cases import CASES
from lammps_runner import write_data
from qdml.errors import ConfigError
from qdml.lammps import PLUGIN_NAME, SHARED_CORES, find_lammps, plugin_folder

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def qdml(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "qdml.cli.main", *arguments],
        cwd=cwd,
        # Tests share the machine with whatever else runs on it; polling ranks would starve.
        env=os.environ | SHARED_CORES | environment,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def test_plugin_path_prints_the_folder(tmp_path):
    done = qdml("plugin-path", cwd=tmp_path)
    assert done.returncode == 0
    folder = Path(done.stdout.strip())
    assert folder == plugin_folder()
    assert (folder / PLUGIN_NAME).is_file()


def test_lmp_passes_arguments_ranks_threads_and_exit_code(tmp_path):
    (tmp_path / "in.quit").write_text('print "value $v"\ninfo config\nquit 7\n')
    done = qdml(
        *("lmp", "-n", "2", "-t", "2", "--", "-in", "in.quit", "-var", "v", "42"), cwd=tmp_path
    )
    assert done.returncode == 7
    assert "value 42" in done.stdout
    assert "using 2 OpenMP thread(s) per MPI task" in done.stdout
    assert "Loaded 1 plugins" in done.stdout


def test_lmp_without_arguments_says_what_to_type(tmp_path):
    done = qdml("lmp", "-n", "2", cwd=tmp_path)
    assert done.returncode == 2
    assert "qdml lmp -n 2 -- -in in.qd" in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("variable", ["QDML_LMP", "QDML_MPIRUN", "QDML_PLUGIN_PATH"])
def test_wrong_overrides_are_named(tmp_path, variable):
    done = qdml(
        *("lmp", "-n", "2", "--", "-h"), cwd=tmp_path, **{variable: str(tmp_path / "absent")}
    )
    assert done.returncode == 2
    assert variable in done.stderr
    assert "Traceback" not in done.stderr


def test_own_lammps_is_used(tmp_path, monkeypatch):
    program = tmp_path / "my-lmp"
    program.write_text("#!/bin/sh\nexit 0\n")
    program.chmod(0o755)
    monkeypatch.setenv("QDML_LMP", str(program))
    assert find_lammps() == program
    monkeypatch.setenv("QDML_LMP", str(tmp_path / "absent"))
    with pytest.raises(ConfigError, match="absent"):
        find_lammps()


@pytest.mark.parametrize("deck", ["in.nve", "in.nvt"])
def test_example_decks_run(model, tmp_path, deck):
    """On two ranks, few steps: the trajectory has elements and the log can be analysed."""
    atoms = CASES["dot, shrink-wrapped"].atoms
    write_data(tmp_path / "dot.data", atoms)
    variables = {"model": model, "steps": 100, "warmup": 20, "timestep": 0.001}
    words = [w for name, value in variables.items() for w in ("-var", name, str(value))]
    done = qdml("lmp", "-n", "2", "--", "-in", str(EXAMPLES / deck), *words, cwd=tmp_path)
    assert done.returncode == 0, done.stdout[-2500:]
    stem = deck.split(".")[1]
    frames = read(tmp_path / f"{stem}.lammpstrj", index=":")
    assert len(frames) == 3  # steps 0, 50, 100
    assert frames[0].get_chemical_formula() == atoms.get_chemical_formula()
    assert np.isfinite(frames[-1].positions).all()
    assert (tmp_path / f"{stem}.data").stat().st_size > 0
    log = (tmp_path / "log.lammps").read_text()
    assert "Loop time of" in log
    header = next(line.split() for line in log.splitlines() if line.split()[:1] == ["Step"])
    assert header == ["Step", "Time", "Temp", "PotEng", "KinEng", "TotEng", "Press"]

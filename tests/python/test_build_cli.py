# SPDX-License-Identifier: MIT
"""`qdml build`: files that agree with each other, messages and exit codes."""

import json
import os
import struct
import subprocess
import sys

import numpy as np
import pytest
from ase.data import atomic_masses, atomic_numbers
from ase.io import read
from qdml.cli.main import make_app, run_guarded

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def run_build(folder, *arguments):
    """Run the real command in its own process, so that exit code and streams are the user's."""
    command = [sys.executable, "-m", "qdml.cli.main", "build", *arguments]
    return subprocess.run(
        command,
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"COLUMNS": "200"},
    )


@pytest.fixture(scope="module")
def dot(tmp_path_factory):
    """Folder with the files of one small mixed-ligand dot."""
    folder = tmp_path_factory.mktemp("dot")
    done = run_build(folder, "CdSe", "--diameter", "12", "--ligands", "HCOO", "-o", "dot.extxyz")
    assert done.returncode == 0, done.stderr
    return folder, done.stdout


def test_prints_the_summary(dot):
    _, text = dot
    for part in (
        "formal charge",
        "charge account",
        "coordination Cd",
        "shortest distances",
        "wrote dot.extxyz",
    ):
        assert part in text


def test_lammps_data_equals_the_extxyz(dot):
    folder, _ = dot
    atoms = read(folder / "dot.extxyz")
    data = read(folder / "dot.data", format="lammps-data", atom_style="atomic", units="metal")
    assert data.get_chemical_symbols() == atoms.get_chemical_symbols()
    assert data.positions == pytest.approx(atoms.positions, abs=1e-7)  # extxyz has 8 decimals
    assert data.cell.array == pytest.approx(atoms.cell.array, abs=1e-7)
    lines = (folder / "dot.data").read_text().splitlines()
    first = lines.index("Masses") + 2
    types = json.loads((folder / "dot.json").read_text())["lammps_types"]
    assert types == ["Cd", "Se", "O", "C", "H"]
    for k, element in enumerate(types):
        number, mass, comment = lines[first + k].split(maxsplit=2)
        assert (int(number), comment) == (k + 1, f"# {element}")
        assert float(mass) == pytest.approx(atomic_masses[atomic_numbers[element]])


def test_extxyz_carries_regions_and_origin(dot):
    folder, _ = dot
    atoms = read(folder / "dot.extxyz")
    assert set(atoms.arrays["region"]) == {"core", "surface", "ligand"}
    assert atoms.info["material"] == "CdSe"
    assert atoms.info["ligands"] == "HCOO"
    assert atoms.info["formal_charge"] == 0


def test_json_describes_the_dot(dot):
    folder, _ = dot
    summary = json.loads((folder / "dot.json").read_text())
    atoms = read(folder / "dot.extxyz")
    assert summary["n_atoms"] == len(atoms) == sum(summary["composition"].values())
    assert summary["formal_charge"] == 0
    assert sum(summary["coordination"]["Cd"].values()) == summary["composition"]["Cd"]
    assert sum(summary["regions"].values()) == len(atoms)


def test_picture_is_a_drawn_png(dot):
    from matplotlib.image import imread

    folder, _ = dot
    path = folder / "dot.png"
    head = path.read_bytes()[:24]
    assert head[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", head[16:24])
    assert min(width, height) > 1000
    image = imread(path)[..., :3]
    drawn = (image < 0.95).any(axis=-1).mean()
    assert 0.1 < drawn < 0.9
    assert np.unique((image * 255).astype(int).reshape(-1, 3), axis=0).shape[0] > 500  # shaded


def test_preset_and_no_picture(tmp_path):
    done = run_build(tmp_path, "--preset", "Cd16Se13Cl6", "--no-picture")
    assert done.returncode == 0, done.stderr
    assert "Cd16Se13Cl6" in done.stdout
    assert sorted(p.name for p in tmp_path.iterdir()) == ["dot.data", "dot.extxyz", "dot.json"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["CdSx", "--diameter", "20"], "did you mean 'CdS'"),
        (["PbSe", "--diameter", "20", "--structure", "wurtzite"], "usual structure is rocksalt"),
        (["CdSe", "--diameter", "20", "--shape", "platelet"], "needs its thickness"),
        (["CdSe/CdS", "--diameter", "30"], "needs either --core-diameter"),
        (["--preset", "In107P73Cl102", "--remove-anions", "3"], "has remove anions 7, found 3"),
        (["CdSe", "--diameter", "3"], "too small"),
        (["CdSe"], "needs --diameter"),
        (["--diameter", "20"], "needs a material"),
        (["CdSe", "--diameter", "20", "-o", "dot.pdb"], "must end in .extxyz"),
        (["CdSe", "--diameter", "20", "-o", "no/dot.extxyz"], "does not exist"),
        (["InP", "--preset", "Cd16Se13Cl6"], "leave out one"),
        (["--preset", "In31P20Cl33", "--shape", "cube"], "has shape tetrahedron"),
        (["CdSe", "--diameter", "wide"], "diameter"),
        (["CdSe", "--diameter", "20", "--ligands", "NH3"], "hold no anion"),
        (["CdSe", "--diameter", "20", "--ligands", "CH3NH3,Cl"], "takes the place of Cs"),
        (
            ["CdSe", "--diameter", "20", "--ligands", "smiles(CC(=O)[O-])"],
            "ligand smiles(CC(=O)[O-",
        ),
        (["CdSe", "--diameter", "20", "--neck", "5"], "belong to a fused pair"),
        (["--exchange", "none.extxyz", "--ligands", "HCOO"], "no such file"),
        (["--exchange", "none.extxyz"], "takes a finished dot and --ligands"),
        (["CdSe", "--exchange", "none.extxyz", "--ligands", "HCOO"], "no material or preset"),
    ],
)
def test_user_mistakes_exit_2_without_files(tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    with pytest.raises(SystemExit) as stop:
        run_guarded(make_app(["build", *arguments]), ["build", *arguments])
    assert stop.value.code == 2
    assert message in " ".join(capsys.readouterr().err.split())
    assert list(tmp_path.iterdir()) == []


def test_no_traceback_for_a_mistake(tmp_path):
    done = run_build(tmp_path, "CdSx", "--diameter", "20")
    assert done.returncode == 2
    assert "did you mean 'CdS'" in done.stderr
    assert "Traceback" not in done.stderr


def test_help_has_an_example(tmp_path):
    done = run_build(tmp_path, "--help")
    assert done.returncode == 0
    assert "Example: qdml build CdSe" in " ".join(done.stdout.split())


def test_exchange_writes_the_new_dot(dot, tmp_path, capsys):
    folder, _ = dot
    words = ["build", "--exchange", str(folder / "dot.extxyz"), "--ligands", "Cl:1,Br:1"]
    words += ["--fraction", "0.5", "--no-picture", "-o", str(tmp_path / "new.extxyz")]
    with pytest.raises(SystemExit) as stop:
        run_guarded(make_app(words), words)
    assert stop.value.code == 0
    assert "charge account" in capsys.readouterr().out
    summary = json.loads((tmp_path / "new.json").read_text())
    assert summary["composition"] == {"Cd": 16, "Se": 13, "C": 3, "H": 3, "O": 6, "Br": 1, "Cl": 2}
    assert summary["formal_charge"] == sum(s["charge"] for s in summary["charge_account"]) == 0
    assert len(read(tmp_path / "new.extxyz")) == summary["n_atoms"]

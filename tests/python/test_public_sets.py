# SPDX-License-Identifier: MIT
"""The benchmark of public sets: its configurations load, its reader and its tables are right."""

from __future__ import annotations

import json
import lzma
import os
import sys
from pathlib import Path

import numpy as np
import pytest
from qdml_train.config import load_config
from qdml_train.sources import read_frames

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))
import public_sets

ROOT = Path(__file__).resolve().parents[2]
SHARED = Path(os.environ.get("QDML_SHARED_DATA", ROOT.parent / "shared" / "data"))


@pytest.mark.parametrize("name", list(public_sets.SETS))
def test_each_set_has_a_configuration_that_says_its_time(name):
    config = load_config(ROOT / "examples" / public_sets.SETS[name]["config"])
    assert config.train.time_budget == {"acac": 1800, "mlearn-si": 600}[name]
    assert config.data.test
    assert config.output == Path("fits") / name


def silicon(folder: Path) -> Path:
    entry = {
        "structure": {
            "lattice": {"matrix": [[5.4, 0, 0], [0, 5.4, 0], [0, 0, 5.4]]},
            "sites": [{"species": [{"element": "Si", "occu": 1}], "xyz": [x, 0.1, 0.2]}
                      for x in (0.0, 2.3)],
        },
        "outputs": {"energy": -10.5, "forces": [[0.1, 0, 0], [-0.1, 0, 0]],
                    "virial_stress": [1, 2, 3, 4, 5, 6]},
        "group": "Surface",
    }  # fmt: skip
    path = folder / "Si_test.json.xz"
    path.write_bytes(lzma.compress(json.dumps([entry]).encode()))
    return path


def test_mlearn_frames_are_read_in_ev(tmp_path):
    (atoms,) = public_sets.mlearn_frames(silicon(tmp_path))
    assert atoms.get_chemical_formula() == "Si2"
    assert atoms.pbc.all()
    assert atoms.info["origin"] == "Surface"
    assert atoms.get_potential_energy() == -10.5
    np.testing.assert_array_equal(atoms.get_forces()[:, 0], [0.1, -0.1])
    assert "stress" not in atoms.calc.results


@pytest.mark.skipif(not (SHARED / "mlearn_si").is_dir(), reason="no public data there")
def test_published_frames_are_all_there(tmp_path, monkeypatch):
    monkeypatch.setattr(public_sets, "SHARED", SHARED)
    public_sets.prepare_mlearn(tmp_path)
    assert len(read_frames(tmp_path / "training.extxyz")) == 214
    assert len(read_frames(tmp_path / "test.extxyz")) == 25


def row(energy: float, force: float, n_frames: int, n_atoms: int) -> dict:
    return {"n_frames": n_frames, "n_atoms": n_atoms, "energy_rmse_mev_per_atom": energy,
            "energy_mae_mev_per_atom": energy, "force_rmse_mev_per_angstrom": force,
            "force_mae_mev_per_angstrom": force}  # fmt: skip


def test_acac_errors_are_those_of_the_papers_units():
    """Papers give total energies of the 15 atoms in meV; ours are per atom."""
    summary = {"by_source": {
        "test/test_MD_300K.xyz.xz": row(0.1, 7.0, 650, 650 * 15),
        "test/test_MD_600K.xyz.xz": row(0.4, 30.0, 650, 650 * 15),
        "valid/train_300K.xyz.xz": row(9.0, 9.0, 50, 750),
    }}  # fmt: skip
    found = public_sets.acac_rows({"summary": summary})
    assert found["300K"] == {"energy_rmse_mev": 1.5, "force_rmse_mev_per_angstrom": 7.0}
    assert found["600K"]["energy_rmse_mev"] == 6.0
    entry = {"what": "x", "training_seconds": 60, "steps": 5, "test": found,
             "published": public_sets.ACAC}  # fmt: skip
    text = "\n".join(public_sets.table("acac", entry))
    assert "trained for 1.0 min, 5 steps" in text
    assert "300K: energy meV / force meV/Å 1.50 / 7.0   published: NequIP 0.81 / 5.9" in text


def test_mlearn_errors_by_group():
    groups = {"test/Surface": row(9.0, 90.0, 2, 60), "train/Surface": row(1.0, 1.0, 9, 9)}
    summary = {"by_split": {"test": row(5.0, 80.0, 25, 1573)}, "by_origin": groups}
    found = public_sets.mlearn_rows({"summary": summary})
    assert list(found) == ["all", "Surface"]
    entry = {"what": "x", "training_seconds": 30, "steps": 1, "test": found}
    text = "\n".join(public_sets.table("mlearn-si", entry))
    assert "all: 25 frames, energy MAE 5.00 meV/atom, force MAE 80.0, RMSE 80.0 meV/Å" in text

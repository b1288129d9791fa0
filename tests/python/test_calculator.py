# SPDX-License-Identifier: MIT
"""The ASE calculator and `qdml info`."""

from __future__ import annotations

import json

import models
import numpy as np
import pytest
import qdml
from ase import Atoms, units
from ase.build import bulk
from ase.calculators.calculator import PropertyNotImplementedError
from ase.calculators.fd import calculate_numerical_forces, calculate_numerical_stress
from ase.md.verlet import VelocityVerlet
from ase.optimize import BFGS
from qdml.cli.main import main
from qdml.errors import DataError, ModelFileError


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return models.random_model(tmp_path_factory.mktemp("models") / "m.qdml", channels=16)


@pytest.fixture
def cdse():
    atoms = bulk("CdSe", "zincblende", a=6.0, cubic=True)
    atoms.rattle(0.15, seed=1)
    shear = np.array([[0, 0.3, 0], [0, 0, 0.2], [0.4, 0, 0]])
    atoms.set_cell(atoms.cell.array + shear, scale_atoms=True)
    return atoms


def test_forces_and_stress_are_those_of_finite_differences(model, cdse):
    cdse.calc = qdml.Calculator(model, precision="double")
    forces, stress = cdse.get_forces(), cdse.get_stress()
    assert np.abs(forces).max() > 0.01
    assert np.abs(stress).max() > 1e-4
    np.testing.assert_allclose(
        forces[:2], calculate_numerical_forces(cdse, 1e-4, range(2)), atol=1e-6
    )
    np.testing.assert_allclose(stress, calculate_numerical_stress(cdse, 1e-4), atol=1e-7)


def test_per_atom_properties_sum_to_the_totals(model, cdse):
    cdse.calc = qdml.Calculator(model)
    energy = cdse.get_potential_energy()
    assert "energies" not in cdse.calc.results
    assert cdse.get_potential_energies().sum() == pytest.approx(energy, abs=1e-9)
    assert cdse.get_potential_energy(force_consistent=True) == energy
    stresses = cdse.get_stresses()
    assert stresses.shape == (8, 6)
    np.testing.assert_allclose(stresses.sum(axis=0), cdse.get_stress(), atol=1e-10)


def test_precisions_differ_by_rounding_only(model, cdse):
    forces = []
    for precision in ("mixed", "double"):
        cdse.calc = qdml.Calculator(model, precision=precision)
        forces.append(cdse.get_forces())
    assert 0 < np.abs(forces[0] - forces[1]).max() < 1e-4


def test_a_molecule_has_no_stress(model):
    atoms = Atoms("CdSe", [[0, 0, 0], [2.5, 0, 0]], calculator=qdml.Calculator(model))
    assert np.abs(atoms.get_forces()[0] + atoms.get_forces()[1]).max() < 1e-6
    with pytest.raises(PropertyNotImplementedError):
        atoms.get_stress()


def test_unknown_elements_are_refused_by_name(model):
    atoms = Atoms("CdTe", [[0, 0, 0], [2.5, 0, 0]], calculator=qdml.Calculator(model))
    with pytest.raises(DataError, match="also has Te"):
        atoms.get_potential_energy()


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ModelFileError, match=r"none\.qdml: cannot be read") as info:
        qdml.Calculator(tmp_path / "none.qdml")
    assert info.value.code == "cannot_open"


def test_energy_is_conserved_and_minimisation_converges_in_mixed_precision(model, cdse):
    cdse.calc = qdml.Calculator(model)
    with BFGS(cdse, logfile=None) as minimiser:
        assert minimiser.run(fmax=1e-3, steps=300)
    cdse.rattle(0.02, seed=2)
    start = cdse.get_total_energy()
    with VelocityVerlet(cdse, timestep=0.5 * units.fs) as dynamics:
        dynamics.run(100)
    moved = cdse.get_kinetic_energy()
    assert moved > 1e-3  # something happened
    assert abs(cdse.get_total_energy() - start) < 0.02 * moved


def test_version_is_public():
    assert qdml.__version__.count(".") == 2
    with pytest.raises(AttributeError, match="no attribute 'Engines'"):
        _ = qdml.Engines


@pytest.fixture
def info(capsys, monkeypatch):
    def run(*arguments) -> tuple[int, str, str]:
        monkeypatch.setenv("COLUMNS", "120")
        monkeypatch.setattr("sys.argv", ["qdml", "info", *map(str, arguments)])
        with pytest.raises(SystemExit) as done:
            main()
        captured = capsys.readouterr()
        return done.value.code or 0, captured.out, captured.err

    return run


def test_info_prints_json_and_a_table(model, info):
    code, out, _ = info(model, "--json")
    found = json.loads(out)
    assert code == 0
    assert found["species"] == ["Cd", "Se", "Cl"]
    assert found["hash"] == qdml.Calculator(model).engine.info["hash"]
    code, out, _ = info(model)
    for text in ("Cd, Se, Cl", "l_max 2", "cutoff 5 Å", "none: random numbers", found["hash"][:20]):
        assert text in out


def test_info_of_a_file_of_clebsch_gordan_paths(tmp_path, info):
    from path_models import CASES, architecture, random_path_model

    path, _, _ = random_path_model(
        tmp_path / "paths.qdml", architecture(**next(iter(CASES.values())))
    )

    code, out, _ = info(path)
    assert code == 0
    assert "clebsch-gordan, " in out
    assert "paths of each layer" in out
    assert "0e" in out


def test_info_of_a_bad_file_is_one_message_and_exit_code_2(tmp_path, info):
    bad = tmp_path / "bad.qdml"
    bad.write_bytes(b"short")
    code, out, err = info(bad)
    assert (code, out) == (2, "")
    assert "too_short" in err
    assert "Traceback" not in err

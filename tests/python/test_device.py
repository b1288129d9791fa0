# SPDX-License-Identifier: MIT
"""`device` of the Python engine: the emulated CUDA engine against JAX and the CPU, refusals."""

from __future__ import annotations

import numpy as np
import path_models
import pytest
from ase.build import bulk
from models import random_model
from qdml import Calculator
from qdml.engine import Engine
from qdml.errors import EngineError
from qdml_train.frames import frame_from_atoms
from qdml_train.predictor import JaxPotential
from test_engine_derivatives import TRICLINIC, structure


@pytest.fixture(scope="module")
def cdse():
    atoms = bulk("CdSe", "zincblende", a=6.0, cubic=True)
    atoms.rattle(0.15, seed=1)
    return atoms


@pytest.mark.parametrize(("l_max", "sums"), [(1, "summed"), (2, "separated"), (3, "summed")])
def test_the_cuda_engine_equals_jax(emulated_device, tmp_path, cdse, l_max, sums):
    path = random_model(
        tmp_path / "m.qdml", l_max=l_max, layers=3, zbl=True, kind=f"cartesian-{sums}"
    )
    expected = JaxPotential.from_file(path).predict([frame_from_atoms(cdse, "cdse", 0)])[0]
    for precision, tolerance in {"double": 1e-9, "mixed": 1e-4}.items():
        atoms = cdse.copy()
        atoms.calc = Calculator(path, precision=precision, device="gpu")
        assert atoms.calc.engine.info["device"] == emulated_device
        scale = max(1.0, np.abs(expected.forces).max())
        np.testing.assert_allclose(
            atoms.get_forces(), expected.forces, atol=tolerance * scale, rtol=0
        )
        np.testing.assert_allclose(
            atoms.get_stress(), expected.stress, atol=0.1 * tolerance * scale, rtol=0
        )
        np.testing.assert_allclose(
            atoms.get_potential_energy(), expected.energy, rtol=tolerance, atol=0
        )
        assert atoms.get_potential_energies().sum() == pytest.approx(atoms.get_potential_energy())


@pytest.mark.parametrize("name", path_models.CASES)
def test_path_files_on_the_device_equal_the_cpu(emulated_device, tmp_path, name):
    arch = path_models.architecture(**path_models.CASES[name])
    path = path_models.random_path_model(tmp_path / "m.qdml", arch, seed=4, zbl=True)[0]
    x, species = structure(seed=2)
    system = (x, species, TRICLINIC, (True,) * 3)
    expected = Engine(path, "double", device="cpu").compute(*system, per_atom=True)
    assert np.abs(expected.forces).max() > 0.02
    for precision, tolerance in {"double": 1e-8, "mixed": 1e-4}.items():
        engine = Engine(path, precision, device="gpu")
        assert engine.info["device"] == emulated_device
        found = engine.compute(*system, per_atom=True)
        for field in ("forces", "energies", "virials", "virial"):
            np.testing.assert_allclose(
                getattr(found, field), getattr(expected, field), atol=tolerance, rtol=tolerance
            )
        again = engine.compute(*system, per_atom=True)
        np.testing.assert_array_equal(again.forces, found.forces)


def test_without_a_card_gpu_is_refused_and_auto_takes_the_cpu(monkeypatch, tmp_path):
    path = random_model(tmp_path / "m.qdml")
    monkeypatch.setenv("QDML_DEVICE_LIBRARY", str(tmp_path / "nothing.so"))
    with pytest.raises(EngineError, match=r"no GPU can be used: the library .* was not found"):
        Engine(path, device="gpu")
    assert Engine(path, device="auto").info["device"] == "cpu"
    assert Engine(path).info["device"] == "cpu"
    with pytest.raises(ValueError, match="device must be 'auto', 'cpu' or 'gpu', not 'tpu'"):
        Engine(path, device="tpu")


def test_auto_takes_a_card_and_cpu_does_not(emulated_device, tmp_path):
    path = random_model(tmp_path / "m.qdml")
    assert Engine(path).info["device"] == emulated_device
    assert Engine(path, device="cpu").info["device"] == "cpu"

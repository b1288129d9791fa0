# SPDX-License-Identifier: MIT
"""SevenNet models converted: a stored one everywhere, random ones where sevenn is installed."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from qdml.calculator import Calculator
from qdml.errors import DataError
from qdml.modelfile import write_model

GOLDEN = Path(__file__).parents[1] / "golden"
HAS_SEVENN = importlib.util.find_spec("sevenn") is not None
needs_sevenn = pytest.mark.skipif(not HAS_SEVENN, reason="torch and sevenn are not installed")


@pytest.mark.parametrize("precision", ["double", "mixed"])
def test_the_stored_model_gives_the_energy_of_sevennet(precision):
    reference = json.loads((GOLDEN / "sevennet.json").read_text())
    atoms = Atoms(reference["numbers"], reference["positions"], cell=reference["cell"], pbc=True)
    atoms.calc = Calculator(GOLDEN / "sevennet.qdml", precision)
    # what the radial tables of 200 intervals leave
    assert atoms.get_potential_energy() == pytest.approx(reference["energy"], abs=1e-6)
    forces = np.array(reference["forces"])
    assert np.abs(forces).max() > 5e-4
    np.testing.assert_allclose(atoms.get_forces(), forces, atol=2e-6)


@needs_sevenn
@pytest.mark.parametrize("name", ["parity", "so3"])
def test_random_models_agree(tmp_path, name):
    import sevennet_models
    from qdml_train.imports.sevennet import convert

    model, config = sevennet_models.build(name, seed=3)
    imported = convert(model, config, "random", knots=1000)
    write_model(tmp_path / "m.qdml", imported.document, imported.tensors)
    atoms = sevennet_models.structure(seed=1)
    energy, forces = sevennet_models.evaluate(model, atoms, config["cutoff"])
    atoms.calc = Calculator(tmp_path / "m.qdml", "double")
    assert atoms.get_potential_energy() == pytest.approx(energy, abs=1e-6)
    np.testing.assert_allclose(atoms.get_forces(), forces, atol=1e-5)


@pytest.mark.skipif(HAS_SEVENN, reason="sevenn is installed")
def test_a_missing_sevenn_is_named():
    from qdml_train.imports.sevennet import import_checkpoint

    with pytest.raises(DataError, match="import-sevennet"):
        import_checkpoint("7net-0")


@needs_sevenn
def test_an_unknown_checkpoint_is_named():
    from qdml_train.imports.sevennet import import_checkpoint

    with pytest.raises(DataError, match="no-such-potential"):
        import_checkpoint("no-such-potential")


def test_tables_follow_the_functions():
    from qdml_train.imports.radial import bessel, multiply, tabulate, xplor_cutoff

    roots = np.arange(1, 4) * np.pi / 5.0

    def function(r):
        return multiply(bessel(r, roots, 0.4), xplor_cutoff(r, 4.5, 5.0))

    r = np.linspace(0.3, 4.99, 50)
    step = 1e-6
    slope = (function(r + step)[0] - function(r - step)[0]) / (2 * step)
    np.testing.assert_allclose(function(r)[1], slope, atol=1e-6)
    coarse, fine = tabulate(function, 5.0, 50), tabulate(function, 5.0, 100)
    # fourth and third order, as the switch-on at 4.5 Å is a knot of both
    assert coarse.value_error / fine.value_error == pytest.approx(16, rel=0.25)
    assert coarse.slope_error / fine.slope_error == pytest.approx(8, rel=0.25)
    with pytest.raises(ValueError, match="do not vanish"):
        tabulate(lambda x: bessel(x, roots * 1.1, 0.4), 5.0, 50)

# SPDX-License-Identifier: MIT
"""One table of structures through JAX and the engine; tests/lammps runs it through LAMMPS.

The reference is JAX in float64 evaluating the tensors of the file, so equations, file and engine
are compared, not the engine with itself.
"""

from __future__ import annotations

import numpy as np
import pytest
from lammps_cases import CASES
from models import random_model
from qdml import Calculator
from qdml_train.frames import frame_from_atoms
from qdml_train.predictor import JaxPotential

# l_max, layers, node channels, message channels, ZBL, readout widths, layout of the sums
POTENTIALS = {
    "l0-2-layers": (0, 2, 16, 16, False, (), "summed"),
    "l1-3-layers": (1, 3, 8, 16, True, (8,), "summed"),
    "l2-2-layers": (2, 2, 24, 32, True, (16,), "summed"),
    "l2-4-layers": (2, 4, 16, 16, False, (16, 8), "summed"),
    "l3-3-layers": (3, 3, 8, 16, True, (8,), "summed"),
    "l2-separated": (2, 3, 8, 16, True, (8,), "separated"),
    "l3-separated": (3, 3, 8, 16, False, (), "separated"),
}

ENERGY_RELATIVE = 1e-9  # issue's bound for float64 against float64, of the energy without E0
FORCE_DOUBLE = 1e-8  # eV/Å
FORCE_MIXED = 1e-4  # eV/Å, float32 kernels
STRESS_DOUBLE = 1e-9  # eV/Å³


@pytest.fixture(scope="module", params=POTENTIALS, ids=str)
def potential(request, tmp_path_factory):
    l_max, layers, channels, message_channels, zbl, readout, sums = POTENTIALS[request.param]
    return random_model(
        tmp_path_factory.mktemp("contract") / "random.qdml",
        l_max=l_max,
        layers=layers,
        channels=channels,
        message_channels=message_channels,
        zbl=zbl,
        readout=readout,
        seed=layers,
        kind=f"cartesian-{sums}",
    )


@pytest.fixture(scope="module")
def reference(potential):
    """Energies, forces and stresses of all cases by JAX, evaluated in one batch."""
    jax_potential = JaxPotential.from_file(potential)
    frames = [frame_from_atoms(case.atoms, name, 0) for name, case in CASES.items()]
    results = jax_potential.predict(frames)
    e0 = [float(jax_potential.reference[jax_potential.species(f)].sum()) for f in frames]
    return dict(zip(CASES, zip(results, e0, strict=True), strict=True))


@pytest.mark.parametrize("name", CASES)
def test_engine_equals_jax(name, potential, reference):
    result, e0 = reference[name]
    atoms = CASES[name].atoms.copy()
    atoms.calc = Calculator(potential, precision="double")
    scale = max(abs(result.energy - e0), 1.0)
    assert abs(atoms.get_potential_energy() - result.energy) / scale < ENERGY_RELATIVE
    np.testing.assert_allclose(atoms.get_forces(), result.forces, atol=FORCE_DOUBLE, rtol=0)
    np.testing.assert_allclose(atoms.get_stress(), result.stress, atol=STRESS_DOUBLE, rtol=0)

    atoms.calc = Calculator(potential, precision="mixed")
    scale = max(
        1.0, np.abs(result.forces).max()
    )  # random potentials have larger forces than real ones
    np.testing.assert_allclose(atoms.get_forces(), result.forces, atol=FORCE_MIXED * scale, rtol=0)

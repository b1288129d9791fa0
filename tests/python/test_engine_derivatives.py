# SPDX-License-Identifier: MIT
"""Forces and virial of the engine are derivatives of its energy, for any model and cell."""

from __future__ import annotations

import models
import numpy as np
import pytest
from qdml.engine import Engine

TRICLINIC = np.array([[5.0, 0.3, 0.2], [0.4, 4.6, 0.5], [0.3, -0.2, 6.0]])
STEP = 1e-3  # Å; truncation of the fourth-order formula is below 1e-8 eV/Å here


def structure(seed: int, n: int = 6) -> tuple[np.ndarray, np.ndarray]:
    """Positions (Å) at least 1.4 Å apart in TRICLINIC, images counted, and species."""
    rng = np.random.default_rng(seed)
    images = np.array(np.meshgrid(*[[-1, 0, 1]] * 3)).reshape(3, -1).T @ TRICLINIC
    points = np.empty((0, 3))
    while len(points) < n:
        x = rng.uniform(size=3) @ TRICLINIC
        d = (points[:, None] + images - x).reshape(-1, 3)
        if not len(points) or (np.linalg.norm(d, axis=1) > 1.4).all():
            points = np.vstack([points, x])
    return points, rng.integers(0, 3, n)


def central(energy, step: float = STEP) -> float:
    """Fourth-order central difference of energy(x) at 0."""
    near, far = energy(step) - energy(-step), energy(2 * step) - energy(-2 * step)
    return (8 * near - far) / (12 * step)


@pytest.fixture(scope="module")
def engine_of(tmp_path_factory):
    def make(precision: str = "double", **options) -> Engine:
        folder = tmp_path_factory.mktemp("models")
        defaults = {"channels": 12, "message_channels": 16, "cutoff": 4.0, "knots": 20}
        return Engine(models.random_model(folder / "m.qdml", **(defaults | options)), precision)

    return make


@pytest.mark.parametrize("layers", [1, 2, 3, 4])
@pytest.mark.parametrize("l_max", [0, 1, 2, 3])
@pytest.mark.parametrize("pbc", [(True, True, True), (True, False, True), (False,) * 3])
def test_forces_are_minus_the_gradient(engine_of, l_max, layers, pbc):
    zbl, readout = (layers + l_max) % 2 == 0, (8,) if layers % 2 else ()
    engine = engine_of(l_max=l_max, layers=layers, zbl=zbl, readout=readout, seed=layers)
    x, species = structure(seed=10 * l_max + layers)
    forces = engine.compute(x, species, TRICLINIC, pbc).forces
    assert np.abs(forces).max() > 0.05
    for i, k in [(0, 0), (1, 1), (2, 2), (3, 0), (4, 1), (5, 2)]:

        def energy(d, i=i, k=k):
            moved = x.copy()
            moved[i, k] += d
            return engine.compute(moved, species, TRICLINIC, pbc).energy

        assert forces[i, k] == pytest.approx(-central(energy), abs=1e-6)


@pytest.mark.parametrize("kind", ["cartesian-summed", "cartesian-separated"])
@pytest.mark.parametrize("l_max", [0, 1, 2, 3])
def test_virial_is_the_strain_derivative(engine_of, l_max, kind):
    engine = engine_of(l_max=l_max, layers=3, kind=kind)
    x, species = structure(seed=l_max)
    virial = engine.compute(x, species, TRICLINIC, (True,) * 3).virial
    assert np.abs(virial).max() > 0.05
    for a in range(3):
        for b in range(3):

            def energy(d, a=a, b=b):
                strain = np.eye(3)
                strain[a, b] += d
                return engine.compute(x @ strain, species, TRICLINIC @ strain, (True,) * 3).energy

            assert virial[a, b] == pytest.approx(-central(energy), abs=1e-6)


@pytest.mark.parametrize(
    ("l_max", "kind"),
    [(2, "cartesian-summed"), (3, "cartesian-summed"), (3, "cartesian-separated")],
)
def test_an_atom_that_sees_only_its_own_images(engine_of, l_max, kind):
    engine = engine_of(cutoff=6.0, l_max=l_max, kind=kind)
    cell = np.diag([2.6, 3.1, 2.9]) + 0.2
    found = engine.compute(np.zeros((1, 3)), [1], cell, (True,) * 3)
    assert np.abs(found.forces).max() < 1e-10
    doubled = engine.compute(
        np.array([[0, 0, 0], cell[1]]), [1, 1], cell * [[1], [2], [1]], (True,) * 3
    )
    assert doubled.energy == pytest.approx(2 * found.energy, abs=1e-9)
    np.testing.assert_allclose(doubled.virial, 2 * found.virial, atol=1e-9)

    def energy(d):
        strain = np.eye(3)
        strain[0, 1] += d
        return engine.compute(np.zeros((1, 3)), [1], cell @ strain, (True,) * 3).energy

    assert found.virial[0, 1] == pytest.approx(-central(energy), abs=1e-6)
    assert abs(found.virial[0, 1]) > 1e-3


def test_mixed_precision_is_within_its_tolerance(engine_of):
    options = {"channels": 32, "message_channels": 64, "layers": 3, "cutoff": 5.0}
    double, mixed = engine_of(**options), engine_of("mixed", **options)
    for seed in range(3):
        x, species = structure(seed, n=9)
        a = double.compute(x, species, TRICLINIC, (True,) * 3, per_atom=True)
        b = mixed.compute(x, species, TRICLINIC, (True,) * 3, per_atom=True)
        assert np.abs(a.forces).max() > 1
        assert np.abs(a.forces - b.forces).max() < 1e-4
        assert abs(a.energy - b.energy) < 1e-5 * len(x)
        assert np.abs(a.energies - b.energies).max() < 1e-5
        assert np.abs(a.virials - b.virials).max() < 1e-4


def test_atoms_share_energy_and_virial(engine_of):
    engine = engine_of()
    x, species = structure(seed=4)
    found = engine.compute(x, species, TRICLINIC, (True,) * 3, per_atom=True)
    assert found.energies.sum() == pytest.approx(found.energy, abs=1e-10)
    np.testing.assert_allclose(found.virials.sum(axis=0), found.virial, atol=1e-10)
    plain = engine.compute(x, species, TRICLINIC, (True,) * 3)
    assert plain.energies is None
    assert plain.energy == found.energy
    # without periodicity W = sum_i x_i F_i
    free = engine.compute(x, species)
    np.testing.assert_allclose(free.virial, x.T @ free.forces, atol=1e-9)

# SPDX-License-Identifier: MIT
"""What must not change the energy: rotation, reflection, permutation, translation, far atoms."""

from __future__ import annotations

import models
import numpy as np
import pytest
from qdml.engine import Engine
from qdml.modelfile import read_model
from scipy.spatial.transform import Rotation

N = 14


@pytest.fixture(scope="module", params=["summed-1", "summed-2", "summed-3", "separated-3"])
def engine(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "m.qdml"
    kind, degree = request.param.split("-")
    models.random_model(path, l_max=int(degree), channels=16, kind=f"cartesian-{kind}")
    return Engine(path, "double")


@pytest.fixture(scope="module")
def cluster():
    """Positions (Å), at least 1.5 Å apart, and species of a random cluster."""
    rng = np.random.default_rng(12)
    points = np.empty((0, 3))
    while len(points) < N:
        x = rng.uniform(0, 6.5, size=3)
        if not len(points) or (np.linalg.norm(points - x, axis=1) > 1.5).all():
            points = np.vstack([points, x])
    return points, rng.integers(0, 3, N)


@pytest.mark.parametrize("improper", [False, True])
def test_rotation_and_reflection(engine, cluster, improper):
    x, species = cluster
    before = engine.compute(x, species, per_atom=True)
    turn = Rotation.random(random_state=1).as_matrix() * (-1 if improper else 1)
    after = engine.compute(x @ turn.T, species, per_atom=True)
    assert after.energy == pytest.approx(before.energy, abs=1e-9)
    np.testing.assert_allclose(after.forces, before.forces @ turn.T, atol=1e-10)
    np.testing.assert_allclose(after.virial, turn @ before.virial @ turn.T, atol=1e-9)
    np.testing.assert_allclose(after.virials, turn @ before.virials @ turn.T, atol=1e-9)


def test_permutation(engine, cluster):
    x, species = cluster
    before = engine.compute(x, species, per_atom=True)
    order = np.random.default_rng(2).permutation(N)
    after = engine.compute(x[order], species[order], per_atom=True)
    np.testing.assert_allclose(after.forces, before.forces[order], atol=1e-10)
    np.testing.assert_allclose(after.energies, before.energies[order], atol=1e-10)


def test_translation_and_wrapping(engine, cluster):
    x, species = cluster
    cell = np.array([[7.0, 0, 0], [1.0, 7.5, 0], [-0.5, 0.7, 8.0]])
    before = engine.compute(x, species, cell, (True,) * 3)
    shifts = np.random.default_rng(3).integers(-3, 4, size=(N, 3)) @ cell
    after = engine.compute(x + shifts + [0.3, -9.0, 2.0], species, cell, (True,) * 3)
    assert after.energy == pytest.approx(before.energy, abs=1e-9)
    np.testing.assert_allclose(after.forces, before.forces, atol=1e-9)
    assert np.abs(after.forces.sum(axis=0)).max() < 1e-10


def test_far_copies_add_up(engine, cluster):
    x, species = cluster
    one = engine.compute(x, species)
    two = engine.compute(np.vstack([x, x + 100.0]), np.tile(species, 2))
    assert two.energy == pytest.approx(2 * one.energy, abs=1e-9)
    np.testing.assert_allclose(two.forces, np.tile(one.forces, (2, 1)), atol=1e-11)


def test_isolated_atom_has_exactly_its_reference_energy(engine):
    _, tensors = read_model(engine.info["path"])
    for precision in ("mixed", "double"):
        same = Engine(engine.info["path"], precision)
        for species, reference in enumerate(tensors["energy.reference"]):
            found = same.compute(np.zeros((1, 3)), [species], 50 * np.eye(3), (True,) * 3)
            assert found.energy == reference
            assert not found.forces.any()


def test_an_atom_leaves_smoothly(engine, cluster):
    """Energy and force follow an atom through the cutoff without a step or a kink."""
    x = np.array([[0.0, 0, 0], [1.9, 0, 0], [0, 0, 0]])
    rc = engine.cutoff

    def at(r):
        x[2, 0] = 1.9 + r  # only atom 1 is near atom 2
        return engine.compute(x, [0, 1, 2])

    outside = at(rc + 1e-9)
    for d in (1e-3, 1e-4):
        inside = at(rc - d)
        # value falls as d^3, force as d^2; a step would not fall at all
        assert abs(inside.energy - outside.energy) < 50 * d**3 + 1e-12
        assert np.abs(inside.forces - outside.forces).max() < 150 * d**2 + 1e-12
    assert not outside.forces[2].any()
    assert np.abs(at(rc - 0.5).forces[2]).max() > 1e-6

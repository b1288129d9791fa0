# SPDX-License-Identifier: MIT
"""The engine on `clebsch-gordan` potentials: derivatives, symmetry, images, ranks, threads."""

from __future__ import annotations

import numpy as np
import path_models
import pytest
from qdml.engine import Engine, build_neighbor_list
from test_engine_derivatives import TRICLINIC, central, structure
from test_engine_graph import check_domains, run

PERIODIC = (True,) * 3


@pytest.fixture(scope="module", params=list(path_models.CASES))
def case(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "m.qdml"
    arch = path_models.architecture(**path_models.CASES[request.param])
    return path_models.random_path_model(path, arch, seed=4, zbl=request.param == "one layer")


def test_equals_the_reference_in_jax(case):
    jax_model = pytest.importorskip("qdml_train.model.paths")
    path, arch, tensors = case
    x, species = structure(seed=2)
    start, neighbor, _, vector = build_neighbor_list(x, TRICLINIC, PERIODIC, arch["cutoff"])
    center = np.repeat(np.arange(len(x)), np.diff(start))
    found = Engine(path, "double").compute(x, species, TRICLINIC, PERIODIC, per_atom=True)
    if "zbl.r_max" in tensors:  # the reference has no pair term, so take it away on both sides
        bare = path.with_name("bare.qdml")
        tensors = {k: v for k, v in tensors.items() if k != "zbl.r_max"}
        path_models.random_path_model(bare, arch, seed=4)
        found = Engine(bare, "double").compute(x, species, TRICLINIC, PERIODIC, per_atom=True)
    energies, gradient = jax_model.energy_and_edge_gradient(
        arch, tensors, species, center, neighbor, vector
    )
    forces = np.zeros_like(x)
    np.add.at(forces, center, gradient)
    np.add.at(forces, neighbor, -gradient)
    np.testing.assert_allclose(found.energies, energies, atol=1e-12 * np.abs(energies).max())
    np.testing.assert_allclose(found.forces, forces, atol=1e-12)
    np.testing.assert_allclose(found.virial, -vector.T @ gradient, atol=1e-11)


def test_forces_are_minus_the_gradient(case):
    engine = Engine(case[0], "double")
    x, species = structure(seed=1)
    forces = engine.compute(x, species, TRICLINIC, PERIODIC).forces
    assert np.abs(forces).max() > 0.02
    for i, k in [(0, 0), (1, 1), (2, 2), (5, 1)]:

        def energy(d, i=i, k=k):
            moved = x.copy()
            moved[i, k] += d
            return engine.compute(moved, species, TRICLINIC, PERIODIC).energy

        assert forces[i, k] == pytest.approx(-central(energy), abs=1e-6)


def test_virial_is_the_strain_derivative(case):
    engine = Engine(case[0], "double")
    x, species = structure(seed=3)
    virial = engine.compute(x, species, TRICLINIC, PERIODIC).virial
    assert np.abs(virial).max() > 0.02
    for a, b in [(0, 0), (0, 1), (2, 1), (2, 2)]:

        def energy(d, a=a, b=b):
            strain = np.eye(3)
            strain[a, b] += d
            return engine.compute(x @ strain, species, TRICLINIC @ strain, PERIODIC).energy

        assert virial[a, b] == pytest.approx(-central(energy), abs=1e-6)


def test_rotation_inversion_and_order_of_atoms(case):
    path, arch, _ = case
    engine = Engine(path, "double")
    x, species = structure(seed=5)
    found = engine.compute(x, species, TRICLINIC, PERIODIC, per_atom=True)
    rotation, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))
    rotation *= np.sign(np.linalg.det(rotation))
    # models whose harmonics all count as even are symmetric under rotations alone
    for q in (rotation, -rotation) if arch["edge_parity"] == "natural" else (rotation,):
        turned = engine.compute(x @ q, species, TRICLINIC @ q, PERIODIC, per_atom=True)
        np.testing.assert_allclose(turned.energies, found.energies, atol=1e-11)
        np.testing.assert_allclose(turned.forces, found.forces @ q, atol=1e-11)
    order = np.random.default_rng(2).permutation(len(x))
    mixed = engine.compute(x[order], species[order], TRICLINIC, PERIODIC, per_atom=True)
    np.testing.assert_allclose(mixed.energies, found.energies[order], atol=1e-11)
    np.testing.assert_allclose(mixed.forces, found.forces[order], atol=1e-11)


def test_isolated_atom_and_own_images(case):
    path, arch, tensors = case
    engine = Engine(path, "double")
    alone = engine.compute(np.zeros((1, 3)), [1])
    assert np.abs(alone.forces).max() == 0
    if arch["layers"][0]["self_connection"] == "none":
        assert alone.energy == tensors["energy.reference"][1]
    far = engine.compute(np.diag([0.0, 50.0, 0.0])[:2], [1, 1])
    assert far.energy == pytest.approx(2 * alone.energy, abs=1e-11)
    cell = np.diag([2.8, 3.3, 3.1])
    one = engine.compute(np.zeros((1, 3)), [1], cell, PERIODIC)
    assert abs(one.energy - alone.energy) > 1e-4
    both = engine.compute(np.array([[0, 0, 0], cell[1]]), [1, 1], cell * [[1], [2], [1]], PERIODIC)
    assert both.energy == pytest.approx(2 * one.energy, abs=1e-10)
    np.testing.assert_allclose(both.virial, 2 * one.virial, atol=1e-10)


def test_mixed_precision_is_within_its_tolerance(case):
    x, species = structure(seed=6)
    a, b = (
        Engine(case[0], p).compute(x, species, TRICLINIC, PERIODIC, per_atom=True)
        for p in ("double", "mixed")
    )
    assert np.abs(a.forces - b.forces).max() < 1e-5
    assert np.abs(a.energies - b.energies).max() < 1e-5
    assert np.abs(a.virials - b.virials).max() < 1e-4


@pytest.fixture(scope="module")
def domain_model(tmp_path_factory):
    arch = path_models.architecture(["16x0e", "16x0e+16x1e+16x2e", "16x0e"], natural=False)
    return path_models.random_path_model(tmp_path_factory.mktemp("models") / "d.qdml", arch)[0]


@pytest.mark.parametrize("precision", ["double", "mixed"])
def test_domains_with_ghosts_equal_the_whole(domain_model, precision):
    # features of the second layer, then the gradients of its three paths into 0e
    check_domains(domain_model, precision, [16 * 9, 16 * 3])


def test_threads_change_no_bit(domain_model):
    one = run(domain_model, "mixed", OMP_NUM_THREADS="1")[1]
    np.testing.assert_array_equal(run(domain_model, "mixed", OMP_NUM_THREADS="3")[1], one)


@pytest.mark.parametrize("isa", ["baseline", "avx2", "avx512"])
def test_instruction_sets_agree(domain_model, isa):
    best, expected = run(domain_model, "double")
    order = ["baseline", "avx2", "avx512"]
    if order.index(isa) > order.index(best):
        pytest.skip(f"this processor has {best} at most")
    for precision, tolerance in (("double", 1e-9), ("mixed", 1e-4)):
        used, found = run(domain_model, precision, QDML_ISA=isa)
        assert used == isa
        np.testing.assert_allclose(found[1:], expected[1:], atol=tolerance)

# SPDX-License-Identifier: MIT
"""Symmetries, derivatives, padding and limits of the potential in JAX."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ase import Atoms
from qdml_train.model.potential import predict
from qdml_train.neighbors import build_neighbors
from qdml_train.packing import Sample, Shape, assemble, fitting_shape
from scipy.spatial.transform import Rotation
from train_helpers import (
    CUTOFF,
    SPECIES,
    cluster,
    crystal,
    frame,
    predict_one,
    small_architecture,
    small_potential,
    small_tensors,
)

POTENTIAL = small_potential()


def sample(atoms: Atoms) -> Sample:
    numbers = {"H": 0, "C": 1, "O": 2}
    species = np.array([numbers[s] for s in atoms.symbols], dtype=np.int32)
    return Sample(species, build_neighbors(frame(atoms), CUTOFF), None, None, None)


def evaluate(samples: list[Sample], shape: Shape, dtype: type) -> list[np.ndarray]:
    architecture = small_architecture(layers=2)  # compiles three times faster than three layers
    with jax.enable_x64(dtype is np.float64):
        tensors = {k: jnp.asarray(v, dtype) for k, v in small_tensors(architecture).items()}
        graphs, _ = assemble(samples, shape, CUTOFF, dtype)
        out = jax.jit(predict, static_argnums=(1, 3))(tensors, architecture, graphs, shape.graphs)
        return [np.asarray(x) for x in out]


@pytest.fixture(scope="module", params=["l2", "l3", "l2-separated", "l3-separated"])
def potential(request):
    degree, _, separated = request.param.partition("-")
    if request.param == "l2":
        return POTENTIAL
    return small_potential(int(degree[1:]), separated=bool(separated))


@pytest.mark.parametrize("improper", [False, True], ids=["rotation", "reflection"])
@pytest.mark.parametrize("make", [cluster, crystal])
def test_equivariance(make, improper, potential):
    atoms = make()
    q = Rotation.random(random_state=4).as_matrix() * (-1 if improper else 1)
    turned = atoms.copy()
    turned.positions = atoms.positions @ q.T
    turned.cell = atoms.cell.array @ q.T
    a, b = predict_one(potential, atoms), predict_one(potential, turned)
    assert np.abs(a.forces).max() > 0.01
    assert b.energy == pytest.approx(a.energy, rel=1e-12)
    np.testing.assert_allclose(b.forces, a.forces @ q.T, atol=1e-11)
    if a.stress is not None:
        from ase.stress import voigt_6_to_full_3x3_stress as full

        np.testing.assert_allclose(full(b.stress), q @ full(a.stress) @ q.T, atol=1e-12)


def test_permutation_and_translation():
    atoms = cluster()
    order = np.random.default_rng(5).permutation(len(atoms))
    moved = atoms[order]
    moved.positions += [3.0, -2.0, 1.0]
    a, b = predict_one(POTENTIAL, atoms), predict_one(POTENTIAL, moved)
    assert b.energy == pytest.approx(a.energy, rel=1e-13)
    np.testing.assert_allclose(b.forces, a.forces[order], atol=1e-11)


@pytest.mark.parametrize(
    ("make", "l_max", "layers", "separated"),
    [
        (cluster, 0, 2, False), (cluster, 1, 2, False), (cluster, 2, 3, False),
        (crystal, 2, 3, False), (cluster, 3, 3, False), (crystal, 3, 3, True),
    ],
)  # fmt: skip
def test_forces_are_central_differences(make, l_max, layers, separated):
    potential = small_potential(l_max, layers, separated=separated)
    atoms = make()
    forces = predict_one(potential, atoms).forces
    h = 1e-4  # truncation h² F''' and rounding 1e-13 / h both stay below 1e-6
    shifted = []
    for i in range(min(len(atoms), 3)):
        for axis in range(3):
            for sign in (1, -1):
                copy = atoms.copy()
                copy.positions[i, axis] += sign * h
                shifted.append(frame(copy))
    energies = np.array([r.energy for r in potential.predict(shifted)]).reshape(-1, 3, 2)
    numeric = -(energies[..., 0] - energies[..., 1]) / (2 * h)
    np.testing.assert_allclose(forces[: len(numeric)], numeric, atol=1e-6)


def test_stress_is_the_strain_derivative():
    atoms = crystal()
    stress = predict_one(POTENTIAL, atoms).stress
    h = 1e-5
    frames, pairs = [], ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))
    for i, j in pairs:
        for sign in (1, -1):
            strain = np.eye(3)
            strain[i, j] += 0.5 * sign * h
            strain[j, i] += 0.5 * sign * h
            copy = atoms.copy()
            copy.set_cell(atoms.cell.array @ strain, scale_atoms=True)
            frames.append(frame(copy))
    energies = np.array([r.energy for r in POTENTIAL.predict(frames)]).reshape(6, 2)
    numeric = (energies[:, 0] - energies[:, 1]) / (2 * h) / atoms.get_volume()
    np.testing.assert_allclose(stress, numeric, atol=1e-7)


def test_isolated_atom_has_exactly_e0():
    reference = small_tensors(small_architecture())["energy.reference"]
    for k, symbol in enumerate(SPECIES):
        result = predict_one(POTENTIAL, Atoms(symbol))
        assert result.energy == reference[k]
        assert not result.forces.any()


def test_two_far_copies_have_twice_the_energy():
    atoms = cluster()
    far = atoms.copy()
    far.positions += 50.0
    double = predict_one(POTENTIAL, atoms + far).energy
    assert double == pytest.approx(2 * predict_one(POTENTIAL, atoms).energy, rel=1e-13)


def test_energy_and_forces_are_smooth_through_the_cutoff():
    """Third atom leaves the range of the first two; E and F follow R ~ (rc - r)³."""
    results = []
    distances = CUTOFF + np.array([-1e-3, -1e-5, 0.0, 1e-5])
    for r in distances:
        atoms = Atoms("CO", [[0, 0, 0], [0, 0, r]])
        results.append(predict_one(POTENTIAL, atoms))
    beyond = results[-1]
    assert not beyond.forces.any()
    assert results[2].energy == beyond.energy
    # the spline's last interval is a pure cube of the distance to the cutoff
    assert abs(results[0].energy - beyond.energy) < 1e-6
    assert np.abs(results[0].forces).max() < 1e-3
    assert np.abs(results[1].forces).max() < 1e-7
    assert np.abs(results[0].forces).max() > 0.0


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 1e-6), (np.float64, 1e-12)])
def test_padding_changes_nothing(dtype, tolerance):
    """More rows, slots and structures than needed; tolerance relative to the largest number."""
    samples = [sample(cluster(seed=1)), sample(crystal())]
    tight = fitting_shape(samples)
    loose = Shape(tight.atoms + 7, tight.slots + 5, tight.graphs + 3)
    a, b = evaluate(samples, tight, dtype), evaluate(samples, loose, dtype)
    n = tight.atoms
    for x, y in ((a[0], b[0][:2]), (a[1], b[1][:n]), (a[2], b[2][:2])):
        np.testing.assert_allclose(y, x, rtol=0, atol=tolerance * max(np.abs(x).max(), 1.0) * 4)
    assert not b[0][2:].any()
    assert not b[1][n:].any()


def test_batch_equals_singles():
    atoms = [cluster(seed=2), crystal(1), cluster(5, seed=3)]
    samples = [sample(a) for a in atoms]
    together = evaluate(samples, fitting_shape(samples), np.float64)
    start = 0
    for g, a in enumerate(atoms):
        alone = evaluate(samples[g : g + 1], fitting_shape(samples[g : g + 1]), np.float64)
        assert together[0][g] == pytest.approx(alone[0][0], rel=1e-12)
        np.testing.assert_allclose(together[1][start : start + len(a)], alone[1], atol=1e-12)
        np.testing.assert_allclose(together[2][g], alone[2][0], atol=1e-11)
        start += len(a)


def test_repulsion_is_the_published_formula():
    """Two atoms inside r_max: only ZBL is added, against the formula written out here."""
    with_zbl, without = small_potential(0, 1, zbl=True), small_potential(0, 1, zbl=False)
    r, r_max = 0.9, 1.7  # C-O of the small potential
    pair = Atoms("CO", [[0, 0, 0], [0, 0, r]])
    added = predict_one(with_zbl, pair).energy - predict_one(without, pair).energy
    a = 0.46850 / (6**0.23 + 8**0.23)
    phi = (
        0.18175 * np.exp(-3.19980 * r / a)
        + 0.50986 * np.exp(-0.94229 * r / a)
        + 0.28022 * np.exp(-0.40290 * r / a)
        + 0.02817 * np.exp(-0.20162 * r / a)
    )
    x = r / r_max
    fade = 1 - 28 * x**6 + 48 * x**7 - 21 * x**8
    assert added == pytest.approx(14.399645478425668 * 48 / r * phi * fade, rel=1e-10)


def test_neighbor_list_counts_images_of_the_same_atom():
    atoms = Atoms("C", cell=np.eye(3) * 3.0, pbc=True)
    edges = build_neighbors(frame(atoms), CUTOFF)
    assert len(edges.center) == 6  # six faces at 3.0 Å; edges of the cube at 4.24 Å are beyond
    np.testing.assert_allclose(edges.vector[edges.reverse], -edges.vector)
    assert edges.n_slots == 6

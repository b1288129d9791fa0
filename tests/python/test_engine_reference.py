# SPDX-License-Identifier: MIT
"""The engine computes what docs/conventions.md says, against a plain numpy reading of that page."""

from __future__ import annotations

import models
import numpy as np
import pytest
import reference
from qdml.engine import Engine, build_neighbor_list
from qdml.modelfile import read_model

CELL = np.array([[5.2, 0.3, 0.0], [-0.6, 5.0, 0.4], [0.2, 0.3, 5.6]])


@pytest.fixture(scope="module")
def crystal():
    rng = np.random.default_rng(5)
    grid = np.array(np.meshgrid(*[[0, 0.5]] * 3)).reshape(3, -1).T
    return grid @ CELL + rng.normal(scale=0.25, size=(8, 3)), rng.integers(0, 3, 8)


# every pair (l_in, l_out) occurs, in the first layer and in later ones
@pytest.mark.parametrize("kind", ["cartesian-summed", "cartesian-separated"])
@pytest.mark.parametrize(
    "degrees",
    [
        (0,), (1, 0), (2, 0), (0, 1, 0, 0), (0, 2, 0), (1, 1, 2, 0), (2, 2, 1, 0),
        (0, 3, 0, 0), (3, 3, 1, 0), (1, 3, 2, 0), (2, 3, 0),
    ],
    ids=lambda d: "-".join(map(str, d)),
)  # fmt: skip
def test_energies_are_those_of_the_equations(tmp_path, crystal, degrees, kind):
    x, species = crystal
    path = models.random_model(
        tmp_path / "m.qdml", degrees=degrees, channels=5, message_channels=16, cutoff=4.2,
        knots=11, readout=(7,) * (len(degrees) % 3), seed=len(degrees), kind=kind,
    )  # fmt: skip
    document, tensors = read_model(path)
    start, neighbor, _, vector = build_neighbor_list(x, CELL, [True] * 3, 4.2)
    center = np.repeat(np.arange(8), np.diff(start))
    edges = list(zip(center, neighbor, vector, strict=True))
    expected = reference.energies(document, tensors, species, edges)
    found = Engine(path, "double").compute(x, species, CELL, [True] * 3, per_atom=True)
    assert np.std(expected - tensors["energy.reference"][species]) > 1e-3
    np.testing.assert_allclose(found.energies, expected, rtol=1e-13, atol=1e-11)

    step, i, k = 1e-3, 2, 1  # and the forces, for degrees that do not repeat
    moved = []
    for d in (step, -step, 2 * step, -2 * step):
        y = x.copy()
        y[i, k] += d
        moved.append(Engine(path, "double").compute(y, species, CELL, [True] * 3).energy)
    slope = (8 * (moved[0] - moved[1]) - (moved[2] - moved[3])) / (12 * step)
    assert found.forces[i, k] == pytest.approx(-slope, abs=1e-6)


def test_zbl_alone_against_its_formula(tmp_path):
    path = models.random_model(tmp_path / "m.qdml", layers=1, l_max=0, seed=2)
    document, tensors = read_model(path)
    engine = Engine(path, "double")
    for r in (0.7, 1.2, 1.9):
        x = np.array([[0, 0, 0], [0, r, 0.0]])
        edges = [(0, 1, x[1]), (1, 0, -x[1])]
        species = np.array([0, 2])
        expected = reference.energies(document, tensors, species, edges).sum()
        assert engine.compute(x, species).energy == pytest.approx(expected, abs=1e-10)

# SPDX-License-Identifier: MIT
"""Every Cartesian path is its Clebsch-Gordan path (e3nn as oracle), and keeps unit variance."""

from __future__ import annotations

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
from qdml.cartesian import PARTNERS, PATHS, degree_terms, layer_terms, n_terms
from qdml_train.model.message import STORED, full, message, path_mixing

N_PATHS = 23
N_COMPONENTS = 16  # of degrees 0 to 3


def layer_output(components: np.ndarray, degree: int, direction: np.ndarray, row, separated: bool):
    """Output components of a full layer for features of one degree and constant radial functions.

    components [edges, 2l+1]; row [23]. Returns a list of arrays [edges].
    """
    zeros = jnp.zeros((len(direction), 1))
    features = [zeros] * N_COMPONENTS
    for m in range(2 * degree + 1):
        features[degree**2 + m] = jnp.asarray(components[:, m : m + 1])
    radial = [jnp.full((len(direction), 1), r) for r in row]
    out = message(features, jnp.asarray(direction), radial, 3, 3, separated)
    return [np.asarray(x)[:, 0] for x in out]


def path_output(
    k: int, components: np.ndarray, direction: np.ndarray, separated: bool
) -> np.ndarray:
    """Output of path k alone: components [edges, 2 l_in + 1] -> [edges, 2 l_out + 1], float64."""
    l_in, _, l_out = PATHS[k]
    row = path_mixing(3, 3, separated)[layer_terms(3, 3).index(k)]
    out = layer_output(components, l_in, direction, row, separated)
    if separated:
        slots = [(degree, j) for degree in range(4) for j in degree_terms(3, 3, degree)]
    else:
        slots = [(degree, k if degree == l_out else None) for degree in range(4)]
    start = 0
    for degree, j in slots:
        stop = start + 2 * degree + 1
        if j == k:
            found = np.stack(out[start:stop], axis=1)
        else:
            assert not np.any(out[start:stop]), "a path feeds one sum only"
        start = stop
    assert start == len(out)
    return found


def random_directions(rng: np.random.Generator, n: int) -> np.ndarray:
    x = rng.normal(size=(n, 3))
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def harmonics(degree: int, direction: np.ndarray) -> np.ndarray:
    """e3nn's spherical harmonics [edges, 2 degree + 1]."""
    import e3nn_jax as e3nn

    vector = e3nn.IrrepsArray("1o", jnp.asarray(direction))
    return np.asarray(e3nn.spherical_harmonics(degree, vector, normalize=True).array)


def direction_tensor(degree: int, r: np.ndarray) -> np.ndarray:
    """Stored components of [r̂ ... r̂], from the definition of the symmetric traceless part."""
    eye = np.eye(3)
    if degree == 0:
        return np.ones((len(r), 1))
    if degree == 1:
        return r
    if degree == 2:
        t = np.einsum("ni,nj->nij", r, r) - eye / 3
    else:
        t = np.einsum("ni,nj,nk->nijk", r, r, r)
        for names in ("nijk", "njki", "nkij"):
            t = t - np.einsum(f"ni,jk->{names}", r, eye) / 5
    return np.stack([t[(slice(None), *index)] for index in STORED[degree]], axis=1)


def spherical_to_cartesian(degree: int) -> np.ndarray:
    """Matrix from e3nn's components to ours, found from the harmonics of random directions.

    Both sides are linear in [r̂ ... r̂], so a least-squares fit is exact.
    """
    direction = random_directions(np.random.default_rng(1), 40)
    theirs, ours = harmonics(degree, direction), direction_tensor(degree, direction)
    matrix, *_ = np.linalg.lstsq(theirs, ours, rcond=None)
    assert np.abs(theirs @ matrix - ours).max() < 1e-12
    return matrix


@pytest.mark.parametrize("separated", [False, True], ids=["summed", "separated"])
@pytest.mark.parametrize("k", range(N_PATHS))
def test_path_equals_clebsch_gordan(k, separated):
    """Component by component, up to one constant per path, to 1e-12."""
    import e3nn_jax as e3nn

    l_in, l_edge, l_out = PATHS[k]
    rng = np.random.default_rng(k)
    with jax.enable_x64(True):
        direction = random_directions(rng, 30)
        theirs_in = rng.normal(size=(30, 2 * l_in + 1))
        coupling = np.asarray(e3nn.clebsch_gordan(l_in, l_edge, l_out), dtype=float)
        theirs_out = np.einsum("ea,eb,abc->ec", theirs_in, harmonics(l_edge, direction), coupling)
        expected = theirs_out @ spherical_to_cartesian(l_out)
        found = path_output(k, theirs_in @ spherical_to_cartesian(l_in), direction, separated)
    constant = (found * expected).sum() / (expected**2).sum()
    assert abs(constant) > 0.1
    np.testing.assert_allclose(found, constant * expected, rtol=0, atol=1e-12 * abs(constant) * 5)


def orthonormal_basis(degree: int) -> np.ndarray:
    """[2l+1, 2l+1]: rows are the stored components of orthonormal tensors (all 3^l elements)."""
    n = 2 * degree + 1
    elements = np.empty((n, *(3,) * degree))
    for m in range(n):
        tensor = full([float(m == q) for q in range(n)], degree)
        for index in itertools.product(range(3), repeat=degree):
            elements[(m, *index)] = tensor[tuple(sorted(index))]
    rows = elements.reshape(n, -1)
    return np.linalg.inv(np.linalg.cholesky(rows @ rows.T))


@pytest.mark.parametrize("separated", [False, True], ids=["summed", "separated"])
@pytest.mark.parametrize("k", range(N_PATHS))
def test_path_keeps_unit_variance(k, separated):
    """PATH_NORM: the sum over an orthonormal basis of the input is that of the output, 2 l_out + 1.

    By isotropy that sum does not depend on r̂, so it is the mean over directions as well.
    """
    l_in, _, l_out = PATHS[k]
    direction = random_directions(np.random.default_rng(k), 1).repeat(2 * l_in + 1, axis=0)
    with jax.enable_x64(True):
        out = path_output(k, orthonormal_basis(l_in), direction, separated)
    basis = orthonormal_basis(l_out)
    coefficients = np.linalg.solve(basis.T, out.T)
    shared = 1 if separated else len(degree_terms(3, 3, l_out))
    assert (coefficients**2).sum() * shared == pytest.approx(2 * l_out + 1, rel=1e-6)


@pytest.mark.parametrize(
    ("l_in", "l_out", "count"),
    [(0, 0, 1), (0, 2, 3), (1, 1, 5), (2, 2, 11), (2, 0, 3), (0, 3, 4), (3, 0, 4), (3, 3, 23),
     (1, 3, 10), (2, 3, 17), (3, 1, 10), (3, 2, 17)],
)  # fmt: skip
def test_terms_of_a_layer(l_in, l_out, count):
    """Every triangle of natural parity with an edge degree of at most 3, or 2 below degree 3."""
    assert len(layer_terms(l_in, l_out)) == count == n_terms(l_in, l_out)
    if 3 in (l_in, l_out):
        assert count == sum(
            abs(a - b) <= e <= a + b and (a + b + e) % 2 == 0
            for a in range(l_in + 1) for b in range(l_out + 1) for e in range(4)
        )  # fmt: skip


@pytest.mark.parametrize("k", sorted(PARTNERS))
def test_partners_couple_the_same_degrees_in_the_same_layers(k):
    partner, _ = PARTNERS[k]
    assert PATHS[k][0] == PATHS[partner][0]
    assert PATHS[k][2] == PATHS[partner][2]
    for l_in, l_out in itertools.product(range(4), repeat=2):
        terms = layer_terms(l_in, l_out)
        assert k not in terms or partner in terms


@pytest.mark.parametrize("separated", [False, True], ids=["summed", "separated"])
@pytest.mark.parametrize("l_in", range(4))
@pytest.mark.parametrize("l_out", range(4))
def test_message_is_the_one_of_the_conventions(l_in, l_out, separated):
    """Against docs/conventions.md written out with full tensors (tests/python/reference.py)."""
    rng = np.random.default_rng(10 * l_in + l_out)
    channels = 2
    sender = {d: rng.normal(size=(channels, 2 * d + 1)) for d in range(l_in + 1)}
    radial = rng.normal(size=(n_terms(l_in, l_out), channels))
    direction = random_directions(rng, 1)
    expected = reference.message(sender, direction[0], radial, l_in, l_out, separated)
    with jax.enable_x64(True):
        features = [jnp.asarray(sender[d][:, m]) for d in sender for m in range(2 * d + 1)]
        found = message(
            features, jnp.asarray(direction[0]), [jnp.asarray(r) for r in radial], l_in, l_out,
            separated,
        )  # fmt: skip
    found = [np.asarray(x) for x in found]
    start = 0
    for degree in range(l_out + 1):
        slots = len(degree_terms(l_in, l_out, degree)) if separated else 1
        for slot in range(slots):
            stop = start + 2 * degree + 1
            block = expected[degree][slot * channels : (slot + 1) * channels]
            np.testing.assert_allclose(np.stack(found[start:stop], axis=1), block, atol=1e-13)
            start = stop
    assert start == len(found)

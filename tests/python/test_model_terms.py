# SPDX-License-Identifier: MIT
"""Every Cartesian path is its Clebsch-Gordan path (e3nn as oracle), and keeps unit variance."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from qdml_train.model.architecture import layer_terms
from qdml_train.model.message import PATHS, message, path_mixing

# Cartesian basis of degree 2: E[m] = dT/d(component m) with zz = -xx - yy.
BASIS_2 = np.zeros((5, 3, 3))
for _m, _entries in enumerate(
    ([(0, 0, 1), (2, 2, -1)], [(1, 1, 1), (2, 2, -1)], [(0, 1, 1), (1, 0, 1)],
     [(1, 2, 1), (2, 1, 1)], [(2, 0, 1), (0, 2, 1)])
):  # fmt: skip
    for _i, _j, _value in _entries:
        BASIS_2[_m, _i, _j] = _value


def path_output(k: int, components: np.ndarray, direction: np.ndarray) -> np.ndarray:
    """Output of path k alone: components [edges, 2 l_in + 1] -> [edges, 2 l_out + 1], float64."""
    l_in, _, l_out = PATHS[k]
    terms = layer_terms(2, 2)
    row = path_mixing(2, 2)[terms.index(k)]
    zeros = [jnp.zeros((len(direction), 1))] * 9
    features = list(zeros)
    for m in range(2 * l_in + 1):
        features[l_in**2 + m] = jnp.asarray(components[:, m : m + 1])
    radial = [jnp.full((len(direction), 1), r) for r in row]
    out = message(features, jnp.asarray(direction), radial, 2, 2)
    other = [out[m] for m in range(9) if not l_out**2 <= m < (l_out + 1) ** 2]
    assert all(not np.asarray(x).any() for x in other), "a path feeds one degree only"
    return np.concatenate([np.asarray(x) for x in out[l_out**2 : (l_out + 1) ** 2]], axis=1)


def random_directions(rng: np.random.Generator, n: int) -> np.ndarray:
    x = rng.normal(size=(n, 3))
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def harmonics(degree: int, direction: np.ndarray) -> np.ndarray:
    """e3nn's spherical harmonics [edges, 2 degree + 1]."""
    import e3nn_jax as e3nn

    vector = e3nn.IrrepsArray("1o", jnp.asarray(direction))
    return np.asarray(e3nn.spherical_harmonics(degree, vector, normalize=True).array)


def spherical_to_cartesian(degree: int) -> np.ndarray:
    """Matrix from e3nn's components to ours, found from the harmonics of random directions.

    Both sides are linear in r̂ (l = 1) or in [r̂ r̂] (l = 2), so a least-squares fit is exact.
    """
    direction = random_directions(np.random.default_rng(1), 40)
    theirs = harmonics(degree, direction)
    if degree == 0:
        ours = np.ones((40, 1))
    elif degree == 1:
        ours = direction
    else:
        t = direction[:, :, None] * direction[:, None, :] - np.eye(3) / 3
        ours = np.stack([t[:, 0, 0], t[:, 1, 1], t[:, 0, 1], t[:, 1, 2], t[:, 2, 0]], axis=1)
    matrix, *_ = np.linalg.lstsq(theirs, ours, rcond=None)
    assert np.abs(theirs @ matrix - ours).max() < 1e-12
    return matrix


@pytest.mark.parametrize("k", range(11))
def test_path_equals_clebsch_gordan(k):
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
        found = path_output(k, theirs_in @ spherical_to_cartesian(l_in), direction)
    constant = (found * expected).sum() / (expected**2).sum()
    assert abs(constant) > 0.1
    np.testing.assert_allclose(found, constant * expected, rtol=0, atol=1e-12 * abs(constant) * 5)


@pytest.mark.parametrize("k", range(11))
def test_path_keeps_unit_variance(k):
    """Unit-variance input in an orthonormal basis gives unit-variance output (PATH_NORM)."""
    l_in, _, l_out = PATHS[k]
    rng = np.random.default_rng(100 + k)
    n = 20_000
    direction = random_directions(rng, n)
    if l_in == 2:
        t = rng.normal(size=(n, 3, 3))
        t = 0.5 * (t + t.transpose(0, 2, 1))
        t -= np.trace(t, axis1=1, axis2=2)[:, None, None] * np.eye(3) / 3
        t *= np.sqrt(5 / (t**2).sum(axis=(1, 2)).mean())
        components = np.stack([t[:, 0, 0], t[:, 1, 1], t[:, 0, 1], t[:, 1, 2], t[:, 2, 0]], axis=1)
    else:
        components = rng.normal(size=(n, 2 * l_in + 1))
    n_paths = sum(PATHS[j][2] == l_out for j in range(11))
    with jax.enable_x64(True):
        out = path_output(k, components, direction) * np.sqrt(n_paths)
    if l_out == 2:
        tensor = np.einsum("em,mij->eij", out, BASIS_2)
        variance = (tensor**2).sum(axis=(1, 2)).mean() / 5
    else:
        variance = (out**2).mean()
    assert variance == pytest.approx(1.0, abs=0.05)  # 20 000 samples: 1 % standard error


@pytest.mark.parametrize(
    ("l_in", "l_out", "count"), [(0, 0, 1), (0, 2, 3), (1, 1, 5), (2, 2, 11), (2, 0, 3)]
)
def test_terms_of_a_layer(l_in, l_out, count):
    from qdml.modelfile import n_terms

    assert len(layer_terms(l_in, l_out)) == count == n_terms(l_in, l_out)

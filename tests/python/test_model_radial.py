# SPDX-License-Identifier: MIT
"""The spline basis is scipy's uniform cubic B-spline, smooth and zero at the cutoff."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from qdml_train.model.radial import knot_inputs, radial_network, spline_basis
from scipy.interpolate import BSpline

CUTOFF, KNOTS = 5.0, 20


def coefficients() -> np.ndarray:
    c = np.random.default_rng(0).normal(size=KNOTS + 3)
    c[-3:] = 0.0
    return c


def test_interpolation_equals_scipy_with_two_derivatives():
    c = coefficients()
    spacing = CUTOFF / KNOTS
    # coefficient m is centred at (m - 1) spacing: the first of its five knots is two before
    knots = (np.arange(KNOTS + 7) - 3.0) * spacing
    spline = BSpline(knots, c, 3)
    r = np.linspace(0.01, CUTOFF - 0.01, 237)
    with jax.enable_x64(True):

        def value(x):
            return spline_basis(x, CUTOFF, KNOTS) @ jnp.asarray(c)

        first = jax.grad(value)
        for order, function in enumerate((value, first, jax.grad(first))):
            found = np.asarray(jax.vmap(function)(jnp.asarray(r)))
            np.testing.assert_allclose(found, spline(r, nu=order), rtol=0, atol=1e-10)


def test_weights_are_those_of_the_conventions_page():
    n, t = 7, 0.3
    r = (n + t) * CUTOFF / KNOTS
    with jax.enable_x64(True):
        row = np.asarray(spline_basis(jnp.asarray(r), CUTOFF, KNOTS))
    b = [
        (1 - t) ** 3 / 6,
        (3 * t**3 - 6 * t**2 + 4) / 6,
        (-3 * t**3 + 3 * t**2 + 3 * t + 1) / 6,
        t**3 / 6,
    ]
    expected = np.zeros(KNOTS + 3)
    expected[n : n + 4] = b
    np.testing.assert_allclose(row, expected, atol=1e-14)


def test_zero_at_and_beyond_the_cutoff():
    c = jnp.asarray(coefficients(), jnp.float32)
    for r in (CUTOFF, CUTOFF * 1.5, 100.0):
        row = spline_basis(jnp.float32(r), CUTOFF, KNOTS)
        slope = jax.grad(lambda x: spline_basis(x, CUTOFF, KNOTS) @ c)(jnp.float32(r))
        assert float(row @ c) == 0.0
        assert float(slope) == 0.0


def test_network_is_exactly_zero_at_the_last_three_knots():
    inputs = knot_inputs(CUTOFF, KNOTS, 8)
    rng = np.random.default_rng(1)
    weights = [jnp.asarray(rng.normal(size=s)) for s in ((8, 16), (16, 12))]
    out = np.asarray(radial_network(weights, jnp.asarray(inputs)))
    assert not out[-3:].any()
    assert np.abs(out[:-3]).max() > 0.1
    np.testing.assert_allclose(inputs[0], inputs[2])  # even continuation below zero

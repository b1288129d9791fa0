# SPDX-License-Identifier: MIT
"""Radial functions: a network evaluated at the knots, interpolated by uniform cubic B-splines.

The interpolation is part of the model, so the engine, which only has the coefficients, computes the
same function (docs/conventions.md, "Radial functions").
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

SILU_SCALE = 1.6791767
"""1 / sqrt(E[silu(x)²]) for a standard normal x: keeps activations at unit second moment."""


def spline_basis(r: jax.Array, cutoff: float, knots: int) -> jax.Array:
    """All K+3 cubic B-spline weights of each distance, [..., K+3]; four of them are not zero.

    r in Å; distances beyond the cutoff are treated as the cutoff, where the weights of all
    coefficients but the last three (which are zero in every table) vanish with two derivatives.
    Dense on purpose: interpolation and its gradients are then matrix products, without any
    scatter; measured twice as fast as gathering four rows on a CPU.
    """
    u = jnp.minimum(r * (knots / cutoff), knots)[..., None]
    x = jnp.abs(u - (jnp.arange(knots + 3, dtype=r.dtype) - 1.0))
    near = 2.0 / 3.0 - x * x * (1.0 - 0.5 * x)
    far = (2.0 - x) ** 3 / 6.0
    return jnp.where(x < 1.0, near, jnp.where(x < 2.0, far, 0.0))


def envelope(x: np.ndarray) -> np.ndarray:
    """Polynomial switch 1 - 28 x⁶ + 48 x⁷ - 21 x⁸ of x = r / cutoff; 0 for x >= 1.

    Value and two derivatives vanish at 1. Source: DimeNet (arXiv 2003.03123) eq. 8 with p = 6.
    """
    inside = 1.0 - x**6 * (28.0 - x * (48.0 - 21.0 * x))
    return np.where(x < 1.0, inside, 0.0)


def knot_inputs(cutoff: float, knots: int, n_bessel: int) -> np.ndarray:
    """Inputs of the radial network at the knots, [K+3, n_bessel]: Bessel functions x envelope.

    Knot m lies at (m - 1) cutoff / K; the one below zero continues the functions evenly. The last
    three rows are zero. `sqrt(2/rc) sin(nπr/rc)/r`, scaled to unit second moment over (0, rc).
    """
    r = np.abs((np.arange(knots + 3) - 1.0) * cutoff / knots)
    n = np.arange(1, n_bessel + 1)
    x = r[:, None] / cutoff
    # sin(nπx)/(πx) has the limit n at x = 0, which numpy's sinc(nx) = sin(nπx)/(nπx) takes
    bessel = n * np.sinc(n * x)
    inputs = bessel * envelope(x)
    inputs[-3:] = 0.0
    return inputs / np.sqrt((inputs**2).mean())


def knot_inputs_with_slope(
    cutoff: float, knots: int, n_bessel: int
) -> tuple[np.ndarray, np.ndarray]:
    """Bessel functions x envelope at r = n cutoff / K, n = 0..K, and their slopes per Å.

    Both [K+1, n_bessel]; scaled like `knot_inputs`; zero at the cutoff.
    """
    x = (np.arange(knots + 1) / knots)[:, None]
    n = np.arange(1, n_bessel + 1)
    bessel = n * np.sinc(n * x)
    with np.errstate(invalid="ignore", divide="ignore"):
        slope = np.where(x > 0, n * (np.cos(n * np.pi * x) - np.sinc(n * x)) / x, 0.0)
    inner = -168.0 * x**5 * (1.0 - x) ** 2  # derivative of the envelope
    inputs = bessel * envelope(x)
    slopes = (slope * envelope(x) + bessel * inner) / cutoff
    inputs[-1] = slopes[-1] = 0.0
    scale = np.sqrt((inputs**2).mean())
    return inputs / scale, slopes / scale


def radial_network(weights: list[jax.Array], inputs: jax.Array) -> jax.Array:
    """Multilayer perceptron without bias, silu between layers: [K+3, n_bessel] -> [K+3, out].

    Zero inputs give zero outputs, so the last three knots stay exactly zero.
    """
    x = inputs
    for k, weight in enumerate(weights):
        x = x @ weight / np.sqrt(weight.shape[0])
        if k < len(weights) - 1:
            x = SILU_SCALE * jax.nn.silu(x)
    return x

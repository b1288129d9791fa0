# SPDX-License-Identifier: MIT
"""Radial networks of the NequIP family with exact derivatives, and their cubic Hermite tables.

Everything in float64 numpy. A pair (value, derivative) travels through the network: derivatives
with respect to r by the chain rule, no finite differences.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

Dual = tuple[np.ndarray, np.ndarray]
"""A function of r and its derivative: value, d/dr."""


def bessel(r: np.ndarray, roots: np.ndarray, prefactor: float) -> Dual:
    """`prefactor sin(k r) / r` for wave numbers k [n] (1/Å), [R, n]; the limit at r = 0."""
    k = roots[None, :]
    safe = np.where(r > 0, r, 1.0)[:, None]
    at_zero = (r == 0)[:, None]
    value = np.where(at_zero, k, np.sin(k * safe) / safe)
    slope = np.where(at_zero, 0.0, (k * np.cos(k * safe) - np.sin(k * safe) / safe) / safe)
    return prefactor * value, prefactor * slope


def xplor_cutoff(r: np.ndarray, on: float, cutoff: float) -> Dual:
    """XPLOR switch: 1 below `on`, then (rc² - r²)² (rc² + 2 r² - 3 on²) / (rc² - on²)³.

    Its second derivative jumps at `on`. Source: HOOMD-blue, "Pair potentials".
    """
    width = (cutoff**2 - on**2) ** 3
    a, b = cutoff**2 - r**2, cutoff**2 + 2 * r**2 - 3 * on**2
    inside = r < on
    value = np.where(inside, 1.0, a**2 * b / width)
    slope = np.where(inside, 0.0, 12 * r * a * (on**2 - r**2) / width)
    return value, slope


def polynomial_cutoff(r: np.ndarray, cutoff: float, p: float) -> Dual:
    """1 - (p+1)(p+2)/2 x^p + p(p+2) x^(p+1) - p(p+1)/2 x^(p+2), x = r / rc.

    Source: DimeNet (arXiv 2003.03123) eq. 8.
    """
    x = r / cutoff
    a, b, c = (p + 1) * (p + 2) / 2, p * (p + 2), p * (p + 1) / 2
    value = 1 - a * x**p + b * x ** (p + 1) - c * x ** (p + 2)
    slope = -a * p * x ** (p - 1) + b * (p + 1) * x**p - c * (p + 2) * x ** (p + 1)
    return value, slope / cutoff


def multiply(a: Dual, b: Dual) -> Dual:
    """Product rule; b [R] multiplies the columns of a [R, n]."""
    value, slope = b[0][:, None], b[1][:, None]
    return a[0] * value, a[1] * value + a[0] * slope


def network(x: Dual, weights: Sequence[np.ndarray], silu_scale: float) -> Dual:
    """Multilayer perceptron without bias: linear, `silu_scale` silu, ..., linear."""
    value, slope = x
    for k, weight in enumerate(weights):
        value, slope = value @ weight, slope @ weight
        if k + 1 < len(weights):
            sigmoid = 1 / (1 + np.exp(-value))
            slope = silu_scale * slope * sigmoid * (1 + value * (1 - sigmoid))
            value = silu_scale * value * sigmoid
    return value, slope


@dataclass(frozen=True)
class Table:
    """Hermite table [K+1, 2, F] and its largest errors between the knots.

    value_error: in the unit of the functions; slope_error: per Å; `largest` is max |R| beyond 1 Å.
    """

    values: np.ndarray
    value_error: float
    slope_error: float
    largest: float


def tabulate(function: Callable[[np.ndarray], Dual], cutoff: float, knots: int) -> Table:
    """Values and derivatives at the knots n cutoff / K; errors measured at 3 points in between.

    The errors count distances beyond 1 Å, as no two atoms come closer. The last knot is set to
    exactly zero. Raises ValueError when the functions do not vanish there.
    """
    spacing = cutoff / knots
    value, slope = function(np.arange(knots + 1) * spacing)
    largest = float(np.abs(value[knots // int(max(cutoff, 1)) :]).max())
    left = max(np.abs(value[-1]).max(), np.abs(slope[-1]).max())
    if left > 1e-6 * max(largest, 1e-300):
        raise ValueError(f"the radial functions do not vanish at the cutoff: {left:.1e} is left")
    value[-1] = slope[-1] = 0.0
    table = np.stack([value, slope * spacing], axis=1)
    value_error = slope_error = 0.0
    first = int(np.ceil(1.0 / spacing))
    for t in (0.25, 0.5, 0.75):
        exact = function((np.arange(first, knots) + t) * spacing)
        a, b = table[first:-1], table[first + 1 :]
        found = (1 + 2 * t) * (1 - t) ** 2 * a[:, 0] + t**2 * (3 - 2 * t) * b[:, 0]
        found += t * (1 - t) ** 2 * a[:, 1] + t**2 * (t - 1) * b[:, 1]
        found_slope = 6 * t * (t - 1) * (a[:, 0] - b[:, 0])
        found_slope += (1 - t) * (1 - 3 * t) * a[:, 1] + t * (3 * t - 2) * b[:, 1]
        value_error = max(value_error, float(np.abs(found - exact[0]).max()))
        slope_error = max(slope_error, float(np.abs(found_slope / spacing - exact[1]).max()))
    return Table(table, value_error, slope_error, largest)

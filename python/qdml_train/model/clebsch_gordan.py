# SPDX-License-Identifier: MIT
"""Real Clebsch-Gordan coefficients and spherical harmonics in the basis of e3nn, numpy only.

Basis: the components of degree l are ordered m = -l..l of real harmonics about the y axis, so that
degree 1 is (x, y, z). The coefficients are the 3j symbols of that basis (Frobenius norm 1) times
sqrt(2 l_out + 1), as e3nn's tensor product with "component" normalisation uses them.
"""

from __future__ import annotations

from functools import cache
from math import factorial, sqrt

import numpy as np

MAX_DEGREE = 3


def _complex_coefficient(j1: int, m1: int, j2: int, m2: int, j3: int, m3: int) -> float:
    """<j1 m1 j2 m2 | j3 m3>, Racah's formula (Varshalovich et al. 1988, eq. 8.2.1)."""
    if m3 != m1 + m2:
        return 0.0
    f = factorial
    scale = (2 * j3 + 1) * f(j3 + j1 - j2) * f(j3 - j1 + j2) * f(j1 + j2 - j3)
    scale *= f(j3 + m3) * f(j3 - m3)
    scale /= f(j1 + j2 + j3 + 1) * f(j1 - m1) * f(j1 + m1) * f(j2 - m2) * f(j2 + m2)
    total = 0.0
    for v in range(max(-j1 + j2 + m3, -j1 + m1, 0), min(j2 + j3 + m1, j3 - j1 + j2, j3 + m3) + 1):
        total += (
            (-1.0) ** (v + j2 + m2)
            * f(j2 + j3 + m1 - v)
            * f(j1 - m1 + v)
            / (f(v) * f(j3 - j1 + j2 - v) * f(j3 + m3 - v) * f(v + j1 - j2 - m3))
        )
    return sqrt(scale) * total


def _real_to_complex(degree: int) -> np.ndarray:
    """Columns: real harmonics in complex ones; the factor (-i)^l makes the 3j symbols real."""
    q = np.zeros((2 * degree + 1, 2 * degree + 1), complex)
    for m in range(1, degree + 1):
        q[degree - m, degree + m] = 1 / sqrt(2)
        q[degree - m, degree - m] = -1j / sqrt(2)
        q[degree + m, degree + m] = (-1) ** m / sqrt(2)
        q[degree + m, degree - m] = 1j * (-1) ** m / sqrt(2)
    q[degree, degree] = 1
    return (-1j) ** degree * q


@cache
def wigner_3j(l1: int, l2: int, l3: int) -> np.ndarray:
    """Real 3j symbol [2 l1 + 1, 2 l2 + 1, 2 l3 + 1] of norm 1, with the signs of e3nn."""
    if not abs(l1 - l2) <= l3 <= l1 + l2:
        raise ValueError(f"degrees {l1}, {l2}, {l3} form no triangle")
    symbol = np.array(
        [
            [
                [_complex_coefficient(l1, a, l2, b, l3, c) for c in range(-l3, l3 + 1)]
                for b in range(-l2, l2 + 1)
            ]
            for a in range(-l1, l1 + 1)
        ]
    )
    q1, q2, q3 = (_real_to_complex(degree) for degree in (l1, l2, l3))
    real = np.einsum("ij,kl,mn,ikn->jlm", q1, q2, np.conj(q3.T), symbol)
    assert np.abs(real.imag).max() < 1e-12
    real = real.real
    real[np.abs(real) < 1e-14] = 0.0
    return real / np.linalg.norm(real)


def coupling(l_in: int, l_edge: int, l_out: int) -> np.ndarray:
    """Coefficients of a path [2 l_in + 1, 2 l_edge + 1, 2 l_out + 1]: 3j times sqrt(2 l_out + 1).

    With l_edge = 0 this is the unit matrix.
    """
    return sqrt(2 * l_out + 1) * wigner_3j(l_in, l_edge, l_out)


def harmonics(direction, degree: int) -> list:
    """The 2 degree + 1 real harmonics of unit vectors [..., 3], each [...]; |Y_l|² = 2 l + 1.

    Works for numpy and JAX arrays. Source: explicit polynomials in e3nn's order of components.
    """
    x, y, z = (direction[..., k] for k in range(3))
    if degree == 0:
        return [x * 0 + 1]
    if degree == 1:
        return [sqrt(3) * x, sqrt(3) * y, sqrt(3) * z]
    xz, polar, tilt = x * z, y * y - 0.5 * (x * x + z * z), 0.5 * (z * z - x * x)
    if degree == 2:
        return [
            sqrt(15) * xz,
            sqrt(15) * x * y,
            sqrt(5) * polar,
            sqrt(15) * y * z,
            sqrt(15) * tilt,
        ]
    if degree == 3:
        around = 4 * y * y - x * x - z * z
        return [
            sqrt(35 / 2) * (xz * z + tilt * x),
            sqrt(105) * xz * y,
            sqrt(21 / 8) * x * around,
            sqrt(7) * y * (y * y - 1.5 * (x * x + z * z)),
            sqrt(21 / 8) * z * around,
            sqrt(105) * tilt * y,
            sqrt(35 / 2) * (tilt * z - xz * x),
        ]
    raise ValueError(f"degree {degree}; harmonics are written out up to {MAX_DEGREE}")

# SPDX-License-Identifier: MIT
"""The message of one edge in Cartesian form, and its relation to Clebsch-Gordan paths.

Components as in docs/conventions.md: s; v = (x, y, z); T = (xx, yy, xy, yz, zx), zz = -xx - yy.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from qdml_train.model.architecture import layer_terms

# (l_in, l_edge, l_out) of the Clebsch-Gordan path that each term stands for; terms 4 and 9 carry
# an admixture of terms 5 and 10, see `path_mixing`.
PATHS = (
    (0, 0, 0), (1, 1, 0), (2, 2, 0),
    (0, 1, 1), (1, 2, 1), (1, 0, 1), (2, 1, 1),
    (0, 2, 2), (1, 1, 2), (2, 2, 2), (2, 0, 2),
)  # fmt: skip

# Factors that give every output component (every element of an orthonormal basis, for l = 2 with
# |T|² = 5) unit variance for unit-variance input and random directions. Derived from
# E[r̂r̂ᵀ] = 1/3, E|(r̂r̂ᵀ - 1/3)v|² = 2/3, E(r̂Tr̂)² = 2|T|²/15, E|Tr̂|² = |T|²/3,
# E|[r̂v]|² = 5/3, E|[r̂ Tr̂] - T/3|² = 7/18 per unit component; checked by a test.
PATH_NORM = np.sqrt(
    [1, 1, 3 / 2, 3, 9 / 2, 1, 9 / 5, 15 / 2, 3, 90 / 7, 1]
)  # fmt: skip


def path_mixing(l_in: int, l_out: int) -> np.ndarray:
    """Matrix [P, P] from radial functions of paths to radial functions of terms.

    `R_term = path_mixing.T @ R_path`: rows are paths, columns are terms. Paths are normalised
    (`PATH_NORM`) and divided by the square root of the number of paths into the same degree.
    """
    terms = layer_terms(l_in, l_out)
    mixing = np.zeros((len(terms), len(terms)))
    for row, k in enumerate(terms):
        n_paths = sum(PATHS[j][2] == PATHS[k][2] for j in terms)
        mixing[row, row] = PATH_NORM[k] / np.sqrt(n_paths)
        # (1,2,1) = term 4 - 1/3 term 5 and (2,2,2) = term 9 - 1/3 term 10
        if k in (4, 9):
            mixing[row, terms.index(k + 1)] = -mixing[row, row] / 3.0
    return mixing


def message(
    features: list[jax.Array], direction: jax.Array, radial: list[jax.Array], l_in: int, l_out: int
) -> list[jax.Array]:
    """The output components of all edges.

    features: components of the sender, 1, 4 or 9 arrays [..., C] (s, then v, then T);
    direction: r̂ [..., 3]; radial: one array [..., C] per term of the layer.
    Returns 1, 4 or 9 arrays [..., C]. Leading axes are edges of any layout.
    """
    x, y, z = (direction[..., k, None] for k in range(3))
    radial_of = dict(zip(layer_terms(l_in, l_out), radial, strict=True))
    s = features[0]
    scalar = radial_of[0] * s
    if l_in >= 1:
        vx, vy, vz = features[1:4]
        d = x * vx + y * vy + z * vz
        scalar = scalar + radial_of[1] * d
    if l_in >= 2:
        xx, yy, xy, yz, zx = features[4:9]
        wx = xx * x + xy * y + zx * z
        wy = xy * x + yy * y + yz * z
        wz = zx * x + yz * y - (xx + yy) * z
        scalar = scalar + radial_of[2] * (x * wx + y * wy + z * wz)
    out = [scalar]
    if l_out >= 1:
        along = radial_of[3] * s
        if l_in >= 1:
            along = along + radial_of[4] * d
        vector = [along * x, along * y, along * z]
        if l_in >= 1:
            vector = [a + radial_of[5] * b for a, b in zip(vector, (vx, vy, vz), strict=True)]
        if l_in >= 2:
            vector = [a + radial_of[6] * b for a, b in zip(vector, (wx, wy, wz), strict=True)]
        out += vector
    if l_out >= 2:
        # terms 7, 8 and 9 are all of the form [r̂ q]
        along = radial_of[7] * s
        q = [along * x, along * y, along * z]
        if l_in >= 1:
            q = [a + radial_of[8] * b for a, b in zip(q, (vx, vy, vz), strict=True)]
        if l_in >= 2:
            q = [a + radial_of[9] * b for a, b in zip(q, (wx, wy, wz), strict=True)]
        qx, qy, qz = q
        trace = (x * qx + y * qy + z * qz) / 3.0
        tensor = [
            x * qx - trace,
            y * qy - trace,
            0.5 * (x * qy + y * qx),
            0.5 * (y * qz + z * qy),
            0.5 * (z * qx + x * qz),
        ]
        if l_in >= 2:
            tensor = [
                a + radial_of[10] * b for a, b in zip(tensor, (xx, yy, xy, yz, zx), strict=True)
            ]
        out += tensor
    return out


def split_components(rows: jax.Array, degree: int, channels: int) -> list[jax.Array]:
    """Cut rows [..., n C] into the n = (degree + 1)² component arrays [..., C]."""
    return list(jnp.split(rows, (degree + 1) ** 2, axis=-1)) if degree else [rows[..., :channels]]

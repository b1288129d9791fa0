# SPDX-License-Identifier: MIT
"""The message of one edge in Cartesian form, and its relation to Clebsch-Gordan paths.

A term contracts the sender's tensor with r̂ some times, then symmetrises with r̂ some times; both
follow from its path (l_in, l_edge, l_out) in `qdml.cartesian`. Components: docs/conventions.md.
"""

from __future__ import annotations

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
from qdml.cartesian import PARTNERS, PATHS, degree_terms, layer_terms

# Components that are stored of a symmetric traceless tensor of each rank (0, 1, 2 for x, y, z);
# those with two or more z that are not listed follow from the vanishing trace.
STORED = (
    ((),),
    ((0,), (1,), (2,)),
    ((0, 0), (1, 1), (0, 1), (1, 2), (0, 2)),
    ((0, 0, 0), (0, 0, 1), (0, 1, 1), (1, 1, 1), (0, 0, 2), (0, 1, 2), (1, 1, 2)),
)
# The others of a symmetric tensor that keeps its trace, in the order xzz, yzz, zzz of the rest.
ELIMINATED = ((), (), ((2, 2),), ((0, 2, 2), (1, 2, 2), (2, 2, 2)))

Components = dict[tuple[int, ...], jax.Array]
"""Components of a symmetric tensor by their sorted indices."""

# Factors that give every output component (of an orthonormal basis, |A|² = 2l + 1 in full
# components) unit variance for unit-variance input and random directions: squares, in the order of
# `PATHS`. By isotropy the mean over r̂ may be replaced by a sum over the basis of the input at one
# r̂, so they are rational; a test recomputes every one of them.
PATH_NORM = np.sqrt(
    [
        1, 1, 3 / 2, 3, 9 / 2, 1, 9 / 5, 15 / 2, 3, 90 / 7, 1,
        5 / 2, 15 / 2, 45 / 14, 25 / 2, 125 / 4, 15 / 7,
        35 / 2, 15 / 2, 175 / 4, 3, 75 / 4, 1,
    ]
)  # fmt: skip


def path_mixing(l_in: int, l_out: int, separated: bool = False) -> np.ndarray:
    """Matrix [P, P] from radial functions of paths to radial functions of terms.

    `R_term = path_mixing.T @ R_path`: rows are paths, columns are terms. Paths are normalised
    (`PATH_NORM`). Summed: divided by the square root of the number of paths into the same degree,
    and a path's partner term takes its share. Separated: each path has its own sum, where
    `message` and `linear_out` do both.
    """
    terms = layer_terms(l_in, l_out)
    mixing = np.diag(PATH_NORM[terms])
    if separated:
        return mixing
    for row, k in enumerate(terms):
        mixing[row] /= np.sqrt(len(degree_terms(l_in, l_out, PATHS[k][2])))
        if k in PARTNERS:
            partner, factor = PARTNERS[k]
            mixing[row, terms.index(partner)] = -factor * mixing[row, row]
    return mixing


def message(
    features: list[jax.Array],
    direction: jax.Array,
    radial: list[jax.Array],
    l_in: int,
    l_out: int,
    separated: bool = False,
) -> list[jax.Array]:
    """The output components of all edges.

    features: (l_in + 1)² components of the sender, arrays [..., C], degree by degree;
    direction: r̂ [..., 3]; radial: one array [..., C] per term of the layer.
    Returns arrays [..., C]: for each degree the 2l+1 components of its sum, or of each term's path
    when `separated`. Leading axes are edges of any layout.
    """
    unit = [direction[..., k, None] for k in range(3)]
    radial_of = dict(zip(layer_terms(l_in, l_out), radial, strict=True))

    @cache
    def contracted(degree: int, times: int) -> list[jax.Array]:
        """Sender's tensor of one degree contracted with r̂ so many times, stored components."""
        if times == 0:
            return features[degree**2 : (degree + 1) ** 2]
        return contract(contracted(degree, times - 1), degree - times + 1, unit)

    out: list[jax.Array] = []
    for degree in range(l_out + 1):
        terms = degree_terms(l_in, l_out, degree)
        slots = [[k] for k in terms] if separated else [terms]
        for slot in slots:
            weighted = [(k, radial_of[k]) for k in slot]
            if separated and slot[0] in PARTNERS:
                partner, factor = PARTNERS[slot[0]]
                weighted.append((partner, -factor * radial_of[slot[0]]))
            # the rank of what is left of the sender's tensor says how often r̂ must be multiplied
            parts: dict[int, list[jax.Array]] = {}
            for k, factor in weighted:
                sender, edge, _ = PATHS[k]
                times = (sender + edge - degree) // 2
                add(parts, sender - times, [factor * x for x in contracted(sender, times)])
            out += symmetrised(parts, degree, unit)
    return out


def add(parts: dict[int, list[jax.Array]], rank: int, terms: list[jax.Array]) -> None:
    """Add components to the part of a rank."""
    old = parts.get(rank)
    parts[rank] = terms if old is None else [a + b for a, b in zip(old, terms, strict=True)]


def symmetrised(
    parts: dict[int, list[jax.Array]], degree: int, unit: list[jax.Array]
) -> list[jax.Array]:
    """Σ_k [r̂ ... r̂ parts[k]] with degree - k factors r̂, stored components of rank `degree`."""
    value: Components | None = None
    for rank in range(degree):
        if rank in parts:
            new = full(parts[rank], rank)
            value = new if value is None else {i: value[i] + x for i, x in new.items()}
        if value is not None:
            value = multiply(value, rank, unit)
    result = traceless(value, degree) if value is not None else None
    if degree in parts:
        direct = parts[degree]
        result = direct if result is None else [a + b for a, b in zip(result, direct, strict=True)]
    return result


def full(stored: list[jax.Array], rank: int) -> Components:
    """All components of a symmetric traceless tensor."""
    found = dict(zip(STORED[rank], stored, strict=True))
    for index in ELIMINATED[rank]:
        rest = index[:-2]
        pair = [tuple(sorted((c, c, *rest))) for c in (0, 1)]
        found[index] = -(found[pair[0]] + found[pair[1]])
    return found


def contract(stored: list[jax.Array], rank: int, unit: list[jax.Array]) -> list[jax.Array]:
    """A · r̂ of a symmetric traceless tensor: stored components of rank - 1."""
    a = full(stored, rank)
    return [
        sum(a[tuple(sorted((*index, c)))] * unit[c] for c in range(3)) for index in STORED[rank - 1]
    ]


def multiply(a: Components, rank: int, unit: list[jax.Array]) -> Components:
    """Symmetric part of r̂ ⊗ A, with its trace."""
    product = {}
    for index in (*STORED[rank + 1], *ELIMINATED[rank + 1]):
        total = 0.0
        for c in sorted(set(index)):
            rest = list(index)
            rest.remove(c)
            total = total + index.count(c) / (rank + 1) * unit[c] * a[tuple(rest)]
        product[index] = total
    return product


def traceless(a: Components, rank: int) -> list[jax.Array]:
    """Stored components of the symmetric traceless part: A - δ trace(A) terms."""
    if rank < 2:
        return [a[index] for index in STORED[rank]]
    if rank == 2:
        third = (a[0, 0] + a[1, 1] + a[2, 2]) / 3.0
        return [a[i] - third if i[0] == i[1] else a[i] for i in STORED[2]]
    # A_abc - (δ_ab t_c + δ_ac t_b + δ_bc t_a)/5 with t_a = A_abb
    fifth = [sum(a[tuple(sorted((c, b, b)))] for b in range(3)) / 5.0 for c in range(3)]
    stored = []
    for index in STORED[3]:
        value = a[index]
        for position in range(3):
            rest = index[:position] + index[position + 1 :]
            if rest[0] == rest[1]:
                value = value - fifth[index[position]]
        stored.append(value)
    return stored


def split_components(rows: jax.Array, degree: int, channels: int) -> list[jax.Array]:
    """Cut rows [..., n C] into the n = (degree + 1)² component arrays [..., C]."""
    return list(jnp.split(rows, (degree + 1) ** 2, axis=-1)) if degree else [rows[..., :channels]]

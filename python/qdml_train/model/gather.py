# SPDX-License-Identifier: MIT
"""Gather of sender rows and its transpose, both without scatter.

The edge list is symmetric: row i of the slots [atom, neighbour] holds the senders of i and, read
backwards through `reverse`, the edges on which i is the sender. The transpose of "fetch the row of
the sender" is therefore again a fetch followed by a sum over an axis. XLA's scatter-add on CPUs is
serial and many times slower.
"""

from __future__ import annotations

import jax


@jax.custom_vjp
def gather_senders(rows: jax.Array, neighbor: jax.Array, reverse: jax.Array) -> jax.Array:
    """rows [A, W] -> [A, K, W], the row of every slot's neighbour.

    neighbor [A, K] atom index; reverse [A, K] flat index (i K + k) of the opposite edge.
    """
    return rows[neighbor.reshape(-1)].reshape(*neighbor.shape, rows.shape[-1])


@jax.custom_vjp
def sum_receivers(edges: jax.Array, neighbor: jax.Array, reverse: jax.Array) -> jax.Array:
    """edges [A, K, W] -> [A, W], the sum over the edges on which the atom is the sender."""
    flat = edges.reshape(-1, edges.shape[-1])
    return flat[reverse.reshape(-1)].reshape(edges.shape).sum(axis=1)


def _gather_forward(rows, neighbor, reverse):
    return gather_senders(rows, neighbor, reverse), (neighbor, reverse)


def _gather_backward(indices, cotangent):
    return sum_receivers(cotangent, *indices), None, None


def _sum_forward(edges, neighbor, reverse):
    return sum_receivers(edges, neighbor, reverse), (neighbor, reverse)


def _sum_backward(indices, cotangent):
    return gather_senders(cotangent, *indices), None, None


gather_senders.defvjp(_gather_forward, _gather_backward)
sum_receivers.defvjp(_sum_forward, _sum_backward)

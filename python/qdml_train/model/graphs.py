# SPDX-License-Identifier: MIT
"""A padded batch of structures and what a potential says of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import jax

Tensors = Mapping[str, jax.Array]
"""Arrays of a `.qdml` file by name."""


class Graphs(NamedTuple):
    """A padded batch of structures: A atom rows, K neighbour slots per row, G structures.

    An empty slot is an edge of an atom to itself with a vector longer than the cutoff: it carries
    nothing, and the list stays symmetric. Padding atoms have only empty slots and graph index -1.
    """

    species: jax.Array  # [A] int32, model species
    neighbor: jax.Array  # [A, K] int32, row of the sender
    reverse: jax.Array  # [A, K] int32, flat slot of the opposite edge
    edge_vector: jax.Array  # [A, K, 3] r_ij = x_j - x_i, Å
    graph: jax.Array  # [A] int32, structure of the atom, -1 for padding


class Prediction(NamedTuple):
    """Results per structure and atom; the reference energies E0 are not included."""

    energy: jax.Array  # [G] eV
    forces: jax.Array  # [A, 3] eV/Å
    virial: jax.Array  # [G, 3, 3] symmetric, V σ = Σ r ⊗ ∂E/∂r, eV (ASE's sign of σ)

# SPDX-License-Identifier: MIT
"""Potentials of Clebsch-Gordan paths over padded batches: sums in JAX or by the engine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from qdml_train.model import native, paths
from qdml_train.model.architecture import PathArchitecture
from qdml_train.model.gather import gather_senders
from qdml_train.model.graphs import Graphs, Tensors
from qdml_train.model.layout import PathLayout


def network_energies(
    tensors: Tensors,
    architecture: PathArchitecture,
    graphs: Graphs,
    remat: bool,
    use_native: bool,
) -> jax.Array:
    """As `potential.network_energies`, over the slots of a padded batch as edges."""
    content = architecture.content

    def make_sums(vector: jax.Array) -> paths.Sums:
        moved = graphs._replace(edge_vector=vector)
        return (native_sums if use_native else jax_sums)(content, moved)

    return paths.network_energies(
        content, tensors, graphs.species, graphs.edge_vector, make_sums, remat
    )


def jax_sums(content: Mapping[str, Any], graphs: Graphs) -> paths.Sums:
    """The sums in JAX."""
    n_atoms, n_slots = graphs.neighbor.shape

    def gather(rows: jax.Array) -> jax.Array:
        flat = rows.reshape(n_atoms, -1)
        senders = gather_senders(flat, graphs.neighbor, graphs.reverse)
        return senders.reshape(n_atoms * n_slots, *rows.shape[1:])

    def reduce(edges: jax.Array) -> jax.Array:
        return edges.reshape(n_atoms, n_slots, *edges.shape[1:]).sum(axis=1)

    vectors = graphs.edge_vector.reshape(-1, 3)
    return paths.sums_over_edges(vectors, content["cutoff"], gather, reduce)


def native_sums(content: Mapping[str, Any], graphs: Graphs) -> paths.Sums:
    """The sums by the engine's kernels."""
    n_atoms, n_slots = graphs.neighbor.shape
    cutoff, knots = content["cutoff"], content["knots"]
    plan = native.edge_plan(
        graphs.edge_vector, graphs.neighbor, graphs.reverse, cutoff, knots, hermite=True
    )

    def sums(
        layer: Mapping[str, Any], sent: Mapping[str, jax.Array], table: jax.Array
    ) -> list[jax.Array]:
        layout = PathLayout.of_layer(layer, cutoff, n_slots)
        rows = jnp.concatenate([x.reshape(n_atoms, -1) for x in sent.values()], axis=1)
        return layout.split_sums(native.sums(layout, rows, table, graphs.edge_vector, plan))

    return sums

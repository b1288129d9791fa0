# SPDX-License-Identifier: MIT
"""Energies, forces and stress of a padded batch from the tensors of a `.qdml` file.

Works in the dtype of its arrays: float32 in training, float64 (inside `jax.enable_x64(True)`) for
tests and the export proof. Edge vectors are the only coordinates: forces and virial follow from
the gradient with respect to them.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from ase.data import atomic_numbers

from qdml_train.model import native, path_batch, paths, prior
from qdml_train.model.architecture import (
    AnyArchitecture,
    Architecture,
    Layer,
    PathArchitecture,
)
from qdml_train.model.gather import gather_senders, sum_receivers
from qdml_train.model.graphs import Graphs, Prediction, Tensors
from qdml_train.model.layout import CartesianLayout, PathLayout
from qdml_train.model.message import message, split_components
from qdml_train.model.radial import spline_basis


class Edges(NamedTuple):
    """What the layers share of the edges, for JAX or (`plan`) for the engine's kernels."""

    vector: jax.Array  # [A, K, 3] Å
    direction: jax.Array | None = None  # [A, K, 3]
    basis: jax.Array | None = None  # [A, K, knots+3] spline weights
    plan: jax.Array | None = None  # native.edge_plan


def cartesian_layout(architecture: Architecture, layer: Layer, n_slots: int) -> CartesianLayout:
    """What the engine's kernels must know of a layer."""
    return CartesianLayout(
        layer.l_in, layer.l_out, architecture.separated, architecture.cutoff, n_slots
    )


def make_edges(architecture: Architecture, graphs: Graphs, use_native: bool) -> Edges:
    vector = graphs.edge_vector
    cutoff, knots = architecture.cutoff, architecture.knots
    if use_native:
        plan = native.edge_plan(vector, graphs.neighbor, graphs.reverse, cutoff, knots)
        return Edges(vector, plan=plan)
    r = jnp.sqrt((vector**2).sum(axis=-1))
    return Edges(vector, vector / r[..., None], spline_basis(r, cutoff, knots))


def sums_of_messages(
    architecture: Architecture,
    layer: Layer,
    sent: jax.Array,
    table: jax.Array,
    edges: Edges,
    graphs: Graphs,
) -> jax.Array:
    """A of docs/conventions.md, [A, components, C]: the sums of one degree one after the other.

    sent [A, (l_in+1)², C], table [knots+3, terms, C].
    """
    n_atoms, n_slots = graphs.neighbor.shape
    if edges.plan is not None:
        layout = cartesian_layout(architecture, layer, n_slots)
        return native.sums(layout, sent, table, edges.vector, edges.plan)
    rows = sent.reshape(n_atoms, -1)
    senders = gather_senders(rows, graphs.neighbor, graphs.reverse)
    radial = (edges.basis @ table.reshape(len(table), -1)).reshape(n_atoms, n_slots, -1)
    messages = message(
        split_components(senders, layer.l_in, table.shape[-1]),
        edges.direction,
        jnp.split(radial, table.shape[1], axis=-1),
        layer.l_in,
        layer.l_out,
        architecture.separated,
    )
    # one sum per component: XLA fuses each with the products that make its terms
    return jnp.stack([m.sum(axis=1) for m in messages], axis=1)


def interaction(
    tensors: Tensors,
    t: int,
    architecture: Architecture,
    features: list[jax.Array],
    edges: Edges,
    graphs: Graphs,
) -> list[jax.Array]:
    """One layer of docs/conventions.md. features: per degree [A, 2l+1, F_l]."""
    prefix = f"layers.{t}"
    layer, separated = architecture.layers[t], architecture.separated
    n_atoms = len(graphs.species)
    table = tensors[f"{prefix}.radial"]
    channels = table.shape[-1]
    sent = [
        h @ tensors[f"{prefix}.linear_in.l{degree}.weight"] for degree, h in enumerate(features)
    ]
    sent = jnp.concatenate(sent, axis=1)
    received = sums_of_messages(architecture, layer, sent, table, edges, graphs)
    z, stop = [], 0
    for degree in range(layer.l_out + 1):
        slots, components = layer.n_slots(degree, separated), 2 * degree + 1
        start, stop = stop, stop + slots * components
        block = received[:, start:stop].reshape(n_atoms, slots, components, channels)
        block = block.swapaxes(1, 2).reshape(n_atoms, components, slots * channels)
        value = block @ tensors[f"{prefix}.linear_out.l{degree}.weight"]
        name = f"{prefix}.self_connection.l{degree}.weight"
        if name in tensors:
            value = value + paths.of_species(tensors[name], features[degree], graphs.species)
        z.append(value)
    width = layer.channels_out[0]
    gates = jax.nn.silu(z[0][..., width:])
    out = [jax.nn.silu(z[0][..., :width])]
    start = 0
    for degree in range(1, layer.l_out + 1):
        stop = start + layer.channels_out[degree]
        out.append(z[degree] * gates[..., start:stop])
        start = stop
    return out


def has_native(architecture: AnyArchitecture) -> bool:
    """Whether the engine's own kernels can evaluate an architecture here."""
    if not native.is_available():
        return False
    if isinstance(architecture, PathArchitecture):
        return all(
            PathLayout.of_layer(layer, architecture.cutoff, 0).has_kernels()
            for layer in architecture.content["layers"]
        )
    return all(
        cartesian_layout(architecture, layer, 0).has_kernels(architecture.message_channels)
        for layer in architecture.layers
    )


def network_energies(
    tensors: Tensors,
    architecture: AnyArchitecture,
    graphs: Graphs,
    remat: bool = False,
    use_native: bool = False,
) -> jax.Array:
    """σ ε of every atom, [A], eV; without E0 and ZBL. Exactly 0 for an atom without neighbours.

    `remat` computes the layers again in the backward pass instead of keeping their arrays;
    `use_native` takes the engine's kernels for the messages, where `has_native`.
    """
    if isinstance(architecture, PathArchitecture):
        return path_batch.network_energies(tensors, architecture, graphs, remat, use_native)
    dtype = graphs.edge_vector.dtype
    one_hot = jax.nn.one_hot(graphs.species, len(architecture.species), dtype=dtype)
    features = [(one_hot @ tensors["embedding.weight"])[:, None, :]]
    edges = None if remat else make_edges(architecture, graphs, use_native)
    for t in range(len(architecture.layers)):

        def step(tensors: Tensors, features: Any, edge_vector: Any, t: int = t) -> Any:
            moved = graphs._replace(edge_vector=edge_vector)
            # what the layers share of the edges are the widest arrays: made again as well
            own = make_edges(architecture, moved, use_native) if remat else edges
            return interaction(tensors, t, architecture, features, own, moved)

        own = {k: v for k, v in tensors.items() if k.startswith(f"layers.{t}.")}
        features = (jax.checkpoint(step) if remat else step)(own, features, graphs.edge_vector)
    x = features[0][:, 0]
    for k in range(len(architecture.readout) + 1):
        x = x @ tensors[f"readout.{k}.weight"]
        if k < len(architecture.readout):
            x = jax.nn.silu(x)
    return x[:, 0] * (one_hot @ tensors["energy.scale"])


def repulsion_energies(
    tensors: Tensors, architecture: AnyArchitecture, graphs: Graphs
) -> jax.Array:
    """½ Σ_j zbl(r_ij) of every atom, [A], eV."""
    r = jnp.sqrt((graphs.edge_vector**2).sum(axis=-1))
    z = jnp.asarray(np.array([atomic_numbers[s] for s in architecture.species]), r.dtype)
    neighbor_species = graphs.species[graphs.neighbor]
    r_max = tensors["zbl.r_max"][graphs.species[:, None], neighbor_species]
    pair = prior.pair_energy(r, z[graphs.species][:, None], z[neighbor_species], r_max)
    return 0.5 * pair.sum(axis=1)


def atom_energies(
    tensors: Tensors,
    architecture: AnyArchitecture,
    graphs: Graphs,
    remat: bool = False,
    use_native: bool = False,
) -> jax.Array:
    """E_i - E0 of every atom, [A], eV: network and, where the file has it, ZBL."""
    energies = network_energies(tensors, architecture, graphs, remat, use_native)
    if "zbl.r_max" in tensors:
        energies = energies + repulsion_energies(tensors, architecture, graphs)
    return energies


def predict(
    tensors: Tensors,
    architecture: AnyArchitecture,
    graphs: Graphs,
    n_graphs: int,
    remat: bool = False,
    use_native: bool = False,
) -> Prediction:
    """Energies, forces and virials of a batch, by one reverse pass."""
    member = graph_membership(graphs, n_graphs)

    def total(edge_vector: jax.Array) -> tuple[jax.Array, jax.Array]:
        moved = graphs._replace(edge_vector=edge_vector)
        energies = atom_energies(tensors, architecture, moved, remat, use_native)
        return energies.sum(), energies

    gradient, energies = jax.grad(total, has_aux=True)(graphs.edge_vector)
    forces = gradient.sum(axis=1) - sum_receivers(gradient, graphs.neighbor, graphs.reverse)
    outer = jnp.einsum("aki,akj->aij", graphs.edge_vector, gradient)
    virial = (member @ outer.reshape(len(outer), 9)).reshape(-1, 3, 3)
    return Prediction(member @ energies, forces, 0.5 * (virial + virial.transpose(0, 2, 1)))


def graph_membership(graphs: Graphs, n_graphs: int) -> jax.Array:
    """[G, A] matrix of zeros and ones that sums atoms into structures; padding belongs nowhere."""
    return (graphs.graph[None, :] == jnp.arange(n_graphs)[:, None]).astype(graphs.edge_vector.dtype)

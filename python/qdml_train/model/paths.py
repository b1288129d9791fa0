# SPDX-License-Identifier: MIT
"""Potentials made of any list of Clebsch-Gordan paths, in JAX: the reference of the engine.

The equations of docs/conventions.md, "Clebsch-Gordan paths", for tensors as they lie in the file.
Written to be read: dense coefficients, one path at a time, no packing. Training takes the sums from
the engine's kernels where it can (`native.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from qdml.paths import channels_of, path_channels

from qdml_train.model.clebsch_gordan import coupling, harmonics

_ACTIVATIONS = {"silu": jax.nn.silu, "tanh": jnp.tanh}


def radial_functions(table: jax.Array, r: jax.Array, cutoff: float) -> jax.Array:
    """Cubic Hermite interpolation: table [K+1, 2, F] at distances r [E] (Å) -> [E, F].

    Row n holds the values at n Δ and the derivatives times Δ, Δ = cutoff / K. Source: the two-point
    Hermite polynomials; the value and first derivative are continuous and exact at the knots. The
    last row is zero, and so is everything from the cutoff on.
    """
    knots = table.shape[0] - 1
    u = jnp.minimum(r * (knots / cutoff), knots)
    n = jnp.minimum(jax.lax.stop_gradient(u).astype(int), knots - 1)
    t = (u - n)[:, None]
    value = (1 + 2 * t) * (1 - t) ** 2 * table[n, 0] + t**2 * (3 - 2 * t) * table[n + 1, 0]
    return value + t * (1 - t) ** 2 * table[n, 1] + t**2 * (t - 1) * table[n + 1, 1]


def messages(
    layer: Mapping[str, Any],
    sender: Mapping[str, jax.Array],
    direction: jax.Array,
    radial: jax.Array,
) -> list[jax.Array]:
    """One array [E, 2 l_out + 1, C] per path: R ⊙ CG(H, Y).

    sender: per irrep of the message [E, 2 l + 1, C]; direction r̂ [E, 3]; radial [E, ΣC].
    """
    ends = np.cumsum(path_channels(layer))[:-1]
    out = []
    for path, factor in zip(layer["paths"], jnp.split(radial, ends, axis=1), strict=True):
        features = sender[path[0]]
        l_in, l_edge, l_out = int(path[0][0]), path[1], int(path[2][0])
        y = jnp.stack(harmonics(direction, l_edge), -1)
        product = jnp.einsum("eac,eb,abm->emc", features, y, coupling(l_in, l_edge, l_out))
        out.append(factor[:, None, :] * product)
    return out


def gate(layer: Mapping[str, Any], z: Mapping[str, jax.Array]) -> dict[str, jax.Array]:
    """Features [N, 2 l + 1, F] per irrep from pre-activations; the gates follow the scalars 0e."""
    activation = {k: _ACTIVATIONS[name] for k, name in layer["activation"].items()}
    widths = channels_of(layer["irreps_out"])
    gates, features = z["0e"][..., widths["0e"] :] if "0e" in z else None, {}
    for name, width in widths.items():
        if name[0] == "0":
            features[name] = activation["even" if name == "0e" else "odd"](z[name][..., :width])
        else:
            features[name] = z[name] * activation["gate"](gates[..., :width])
            gates = gates[..., width:]
    return features


Sums = Callable[[Mapping[str, Any], Mapping[str, jax.Array], jax.Array], list[jax.Array]]
"""Layer, features to send per irrep [N, 2 l + 1, C] and radial table -> sums of the messages to
every atom, one array [N, 2 l_out + 1, C] per path."""


def sums_over_edges(
    edge_vector: jax.Array,
    cutoff: float,
    gather: Callable[[jax.Array], jax.Array],
    reduce: Callable[[jax.Array], jax.Array],
) -> Sums:
    """The sums for r_ij [E, 3] (Å). `gather`: rows of atoms [N, M, C] to the senders of the edges
    [E, M, C]; `reduce`: arrays of edges to sums over the edges of every center."""
    r = jnp.sqrt((edge_vector**2).sum(-1))
    direction = edge_vector / r[:, None]

    def sums(
        layer: Mapping[str, Any], sent: Mapping[str, jax.Array], table: jax.Array
    ) -> list[jax.Array]:
        senders = {name: gather(rows) for name, rows in sent.items()}
        radial = radial_functions(table, r, cutoff)
        return [reduce(m) for m in messages(layer, senders, direction, radial)]

    return sums


def of_species(weight: jax.Array, h: jax.Array, species: jax.Array) -> jax.Array:
    """Linear map chosen by the species of the atom: h [N, M, F], weight [S, F, F'] -> [N, M, F'].

    One matrix product with the species as part of the inner index: no gather of weight matrices,
    and therefore no scatter in their gradient.
    """
    n_species, f_in, f_out = weight.shape
    one_hot = jax.nn.one_hot(species, n_species, dtype=h.dtype)
    wide = h[:, :, None, :] * one_hot[:, None, :, None]
    return wide.reshape(*h.shape[:2], n_species * f_in) @ weight.reshape(-1, f_out)


def interaction(
    tensors: Mapping[str, Any],
    t: int,
    layer: Mapping[str, Any],
    h: Mapping[str, jax.Array],
    species: jax.Array,
    sums: Sums,
) -> dict[str, jax.Array]:
    """Features [N, 2 l + 1, F] per irrep after layer t, from those before it."""

    def weight(kind: str, name: str) -> jax.Array:
        return jnp.asarray(tensors[f"layers.{t}.{kind}.{name}.weight"])

    sent = {
        name: h[name] @ weight("linear_in", name) for name in channels_of(layer["irreps_message"])
    }
    received = sums(layer, sent, jnp.asarray(tensors[f"layers.{t}.radial"]))
    z = {}
    for name in channels_of(layer["irreps_out"]):
        into = [s for s, p in zip(received, layer["paths"], strict=True) if p[2] == name]
        z[name] = jnp.concatenate(into, axis=-1) @ weight("linear_out", name)
        if layer["self_connection"] != "none" and name in h:
            w = weight("self_connection", name)
            is_chosen = layer["self_connection"] == "species"
            z[name] = z[name] + (of_species(w, h[name], species) if is_chosen else h[name] @ w)
    return gate(layer, z)


def network_energies(
    architecture: Mapping[str, Any],
    tensors: Mapping[str, Any],
    species: jax.Array,
    edge_vector: jax.Array,
    make_sums: Callable[[jax.Array], Sums],
    remat: bool = False,
) -> jax.Array:
    """σ ε of every atom, [N], eV; species [N], edge vectors (Å) as `make_sums` wants them.

    `remat` computes the layers again in the backward pass instead of keeping their arrays.
    """
    h = {"0e": jnp.asarray(tensors["embedding.weight"])[species][:, None, :]}
    shared = None if remat else make_sums(edge_vector)
    for t, layer in enumerate(architecture["layers"]):

        def step(tensors: Any, h: Any, edge_vector: Any, t: int = t, layer: Any = layer):
            # what the layers share of the edges is made again as well
            sums = shared if shared is not None else make_sums(edge_vector)
            return interaction(tensors, t, layer, h, species, sums)

        own = {k: v for k, v in tensors.items() if k.startswith(f"layers.{t}.")}
        h = (jax.checkpoint(step) if remat else step)(own, h, edge_vector)
    x = h["0e"][:, 0]
    n_maps = len(architecture["readout"]) + 1
    for k in range(n_maps):
        x = x @ jnp.asarray(tensors[f"readout.{k}.weight"])
        x = jax.nn.silu(x) if k + 1 < n_maps else x
    return jnp.asarray(tensors["energy.scale"])[species] * x[:, 0]


def atom_energies(
    architecture: Mapping[str, Any],
    tensors: Mapping[str, Any],
    species: jax.Array,
    center: jax.Array,
    neighbor: jax.Array,
    edge_vector: jax.Array,
) -> jax.Array:
    """Energies [N] (eV), E0 included, of atoms with species [N], edges [E] and r_ij [E, 3] (Å)."""

    def make_sums(vectors: jax.Array) -> Sums:
        return sums_over_edges(
            vectors,
            architecture["cutoff"],
            lambda rows: rows[neighbor],
            lambda edges: jax.ops.segment_sum(edges, center, num_segments=len(species)),
        )

    energies = network_energies(architecture, tensors, species, edge_vector, make_sums)
    return jnp.asarray(tensors["energy.reference"])[species] + energies


def energy_and_edge_gradient(
    architecture: Mapping[str, Any],
    tensors: Mapping[str, Any],
    species: np.ndarray,
    center: np.ndarray,
    neighbor: np.ndarray,
    edge_vector: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Atom energies [N] (eV) and dE/dr_ij [E, 3] (eV/Å) in float64.

    F_i = Σ_{e: center i} g_e - Σ_{e: neighbour i} g_e; W = -Σ_e r_e ⊗ g_e.
    """
    with jax.enable_x64(True):
        fixed = {k: jnp.asarray(np.asarray(v), jnp.float64) for k, v in tensors.items()}
        graph = (jnp.asarray(species), jnp.asarray(center), jnp.asarray(neighbor))

        def total(vectors: jax.Array) -> tuple[jax.Array, jax.Array]:
            energies = atom_energies(architecture, fixed, *graph, vectors)
            return energies.sum(), energies

        vectors = jnp.asarray(edge_vector, jnp.float64)
        (_, energies), gradient = jax.jit(jax.value_and_grad(total, has_aux=True))(vectors)
        return np.asarray(energies), np.asarray(gradient)

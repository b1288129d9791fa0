# SPDX-License-Identifier: MIT
"""Potentials made of any list of Clebsch-Gordan paths, in JAX: the reference of the engine.

The equations of docs/conventions.md, "Clebsch-Gordan paths", for tensors as they lie in the file.
Written to be read: dense coefficients, one path at a time, no packing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from qdml.paths import channels_of, path_channels

from qdml_train.model.clebsch_gordan import coupling, harmonics

_ACTIVATIONS = {"silu": jax.nn.silu, "tanh": jnp.tanh}


def radial_functions(table: jax.Array, r: jax.Array, cutoff: float) -> jax.Array:
    """Cubic Hermite interpolation: table [K+1, 2, F] at distances r [E] (Å, < cutoff) -> [E, F].

    Row n holds the values at n Δ and the derivatives times Δ, Δ = cutoff / K. Source: the two-point
    Hermite polynomials; the value and first derivative are continuous and exact at the knots.
    """
    knots = table.shape[0] - 1
    u = r * (knots / cutoff)
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
    """One array [E, C, 2 l_out + 1] per path: R ⊙ CG(H, Y).

    sender: per irrep of the message [E, C, 2 l + 1]; direction r̂ [E, 3]; radial [E, ΣC].
    """
    ends = np.cumsum(path_channels(layer))[:-1]
    out = []
    for path, factor in zip(layer["paths"], jnp.split(radial, ends, axis=1), strict=True):
        features = sender[path[0]]
        l_in, l_edge, l_out = int(path[0][0]), path[1], int(path[2][0])
        y = jnp.stack(harmonics(direction, l_edge), -1)
        product = jnp.einsum("eca,eb,abm->ecm", features, y, coupling(l_in, l_edge, l_out))
        out.append(factor[:, :, None] * product)
    return out


def gate(layer: Mapping[str, Any], z: Mapping[str, jax.Array]) -> dict[str, jax.Array]:
    """Features [N, F, 2 l + 1] per irrep from pre-activations; the gates follow the scalars 0e."""
    activation = {k: _ACTIVATIONS[name] for k, name in layer["activation"].items()}
    widths = channels_of(layer["irreps_out"])
    gates, features = z["0e"][:, widths["0e"] :] if "0e" in z else None, {}
    for name, width in widths.items():
        if name[0] == "0":
            features[name] = activation["even" if name == "0e" else "odd"](z[name][:, :width])
        else:
            features[name] = z[name] * activation["gate"](gates[:, :width])
            gates = gates[:, width:]
    return features


def atom_energies(
    architecture: Mapping[str, Any],
    tensors: Mapping[str, Any],
    species: jax.Array,
    center: jax.Array,
    neighbor: jax.Array,
    edge_vector: jax.Array,
) -> jax.Array:
    """Energies [N] (eV) of atoms with model species [N], edges [E] and r_ij [E, 3] (Å).

    The edges must be shorter than the cutoff. Self-connections, gate and read-out act per atom.
    """
    cutoff, n = architecture["cutoff"], species.shape[0]
    r = jnp.sqrt((edge_vector**2).sum(-1))
    direction = edge_vector / r[:, None]
    h = {"0e": jnp.asarray(tensors["embedding.weight"])[species][:, :, None]}
    for t, layer in enumerate(architecture["layers"]):

        def weight(kind: str, name: str, t: int = t) -> jax.Array:
            return jnp.asarray(tensors[f"layers.{t}.{kind}.{name}.weight"])

        message = channels_of(layer["irreps_message"])
        sender = {
            name: jnp.einsum("nfm,fc->ncm", h[name], weight("linear_in", name)) for name in message
        }
        radial = radial_functions(jnp.asarray(tensors[f"layers.{t}.radial"]), r, cutoff)
        along = {name: x[neighbor] for name, x in sender.items()}
        sums = [
            jax.ops.segment_sum(m, center, num_segments=n)
            for m in messages(layer, along, direction, radial)
        ]
        z = {}
        for name in channels_of(layer["irreps_out"]):
            into = [s for s, p in zip(sums, layer["paths"], strict=True) if p[2] == name]
            joined = jnp.concatenate(into, axis=1)
            z[name] = jnp.einsum("ncm,cf->nfm", joined, weight("linear_out", name))
            if layer["self_connection"] != "none" and name in h:
                w = weight("self_connection", name)
                rule = "ncm,cf->nfm"
                if layer["self_connection"] == "species":
                    w, rule = w[species], "ncm,ncf->nfm"
                z[name] = z[name] + jnp.einsum(rule, h[name], w)
        h = gate(layer, z)
    x = h["0e"][:, :, 0]
    n_maps = len(architecture["readout"]) + 1
    for k in range(n_maps):
        x = x @ jnp.asarray(tensors[f"readout.{k}.weight"])
        x = jax.nn.silu(x) if k + 1 < n_maps else x
    reference, scale = (jnp.asarray(tensors[f"energy.{k}"]) for k in ("reference", "scale"))
    return reference[species] + scale[species] * x[:, 0]


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

# SPDX-License-Identifier: MIT
"""Trainable parameters, and how they fold into the tensors of a `.qdml` file.

Parameters are plain numbers of unit variance; every factor (fan-in, path normalisation, average
number of neighbours, second moment of silu) is applied here, so that training, export and engine
all run on one set of tensors and share one set of equations.
"""

from __future__ import annotations

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from qdml.cartesian import n_terms

from qdml_train.model.architecture import Architecture
from qdml_train.model.message import path_mixing
from qdml_train.model.radial import SILU_SCALE, knot_inputs, radial_network

Tensors = Mapping[str, jax.Array]


class Weights(nnx.Module):
    """Container of the trainable arrays, `weights[name]`; has no behaviour of its own."""

    def __init__(self, shapes: Mapping[str, tuple[int, ...]], rngs: nnx.Rngs) -> None:
        for name, shape in shapes.items():
            setattr(self, _attribute(name), nnx.Param(jax.random.normal(rngs.params(), shape)))


def _attribute(name: str) -> str:
    return name.replace(".", "__")


def parameter_shapes(
    architecture: Architecture, n_bessel: int, radial_hidden: tuple[int, ...]
) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the trainable arrays. Linear maps carry the names of the file."""
    n_species, channels = len(architecture.species), architecture.message_channels
    shapes: dict[str, tuple[int, ...]] = {
        "embedding.weight": (n_species, architecture.layers[0].channels_in[0])
    }
    for t, layer in enumerate(architecture.layers):
        prefix = f"layers.{t}"
        widths = [n_bessel, *radial_hidden, n_terms(layer.l_in, layer.l_out) * channels]
        for k in range(len(widths) - 1):
            shapes[f"{prefix}.radial_network.{k}"] = (widths[k], widths[k + 1])
        for degree, width in enumerate(layer.channels_in):
            shapes[f"{prefix}.linear_in.l{degree}.weight"] = (width, channels)
        for degree, width in enumerate(layer.channels_out):
            width += layer.n_gates if degree == 0 else 0
            slots = layer.n_slots(degree, architecture.separated)
            shapes[f"{prefix}.linear_out.l{degree}.weight"] = (slots * channels, width)
            if t > 0 and degree <= layer.l_in:
                shapes[f"{prefix}.self_connection.l{degree}.weight"] = (
                    n_species,
                    layer.channels_in[degree],
                    width,
                )
    widths = [architecture.layers[-1].channels_out[0], *architecture.readout, 1]
    for k in range(len(widths) - 1):
        shapes[f"readout.{k}.weight"] = (widths[k], widths[k + 1])
    return shapes


def initial_parameters(
    architecture: Architecture, n_bessel: int, radial_hidden: tuple[int, ...], seed: int
) -> dict[str, jax.Array]:
    """Standard normal start values, float32, as a flat dictionary."""
    shapes = parameter_shapes(architecture, n_bessel, radial_hidden)
    state = nnx.to_pure_dict(nnx.state(Weights(shapes, nnx.Rngs(params=seed)), nnx.Param))
    return {name: state[_attribute(name)] for name in shapes}


def fold(
    parameters: Tensors, architecture: Architecture, avg_neighbors: float
) -> dict[str, jax.Array]:
    """Tensors of the file (all but `energy.*` and `zbl.*`) from the trainable parameters.

    Pure and differentiable; works in the dtype of the parameters.
    """
    dtype = parameters["embedding.weight"].dtype
    tensors: dict[str, jax.Array] = {"embedding.weight": parameters["embedding.weight"]}
    n_bessel = parameters["layers.0.radial_network.0"].shape[0]
    inputs = jnp.asarray(knot_inputs(architecture.cutoff, architecture.knots, n_bessel), dtype)
    for t, layer in enumerate(architecture.layers):
        prefix = f"layers.{t}"
        # Features of layers t > 0 left a silu (directly or as a gate) and have its second moment.
        feature_scale = 1.0 if t == 0 else SILU_SCALE
        network = [
            parameters[f"{prefix}.radial_network.{k}"]
            for k in range(sum(name.startswith(f"{prefix}.radial_network.") for name in parameters))
        ]
        mixing = path_mixing(layer.l_in, layer.l_out, architecture.separated)
        mixing = mixing / np.sqrt(avg_neighbors)
        radial = radial_network(network, inputs)
        radial = radial.reshape(-1, len(mixing), architecture.message_channels)
        tensors[f"{prefix}.radial"] = jnp.einsum("kpc,pq->kqc", radial, jnp.asarray(mixing, dtype))
        for degree in range(layer.l_in + 1):
            name = f"{prefix}.linear_in.l{degree}.weight"
            weight = parameters[name]
            tensors[name] = weight * (feature_scale / np.sqrt(weight.shape[0]))
        for degree in range(layer.l_out + 1):
            name = f"{prefix}.linear_out.l{degree}.weight"
            # with a self-connection two terms of unit variance are added
            has_self = t > 0 and degree <= layer.l_in
            share = np.sqrt(0.5) if has_self else 1.0
            weight = parameters[name]
            tensors[name] = weight * (share / np.sqrt(weight.shape[0]))
            if has_self:
                name = f"{prefix}.self_connection.l{degree}.weight"
                weight = parameters[name]
                tensors[name] = weight * (share * feature_scale / np.sqrt(weight.shape[1]))
    for k in range(len(architecture.readout) + 1):
        name = f"readout.{k}.weight"
        weight = parameters[name]
        tensors[name] = weight * (SILU_SCALE / np.sqrt(weight.shape[0]))
    return tensors

# SPDX-License-Identifier: MIT
"""What a fit trains: start values, what stays fixed, and the file's tensors from both.

Two kinds: `FreshNetwork` starts from random numbers, `TunedNetwork` (tuned.py) from a `.qdml` file.
Energies are those of the network alone: E0 and the repulsion are off the labels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from qdml_train.model.architecture import AnyArchitecture, Architecture
from qdml_train.model.parameters import fold, initial_parameters
from qdml_train.model.potential import Graphs, Prediction, graph_membership, predict

Arrays = Mapping[str, jax.Array]

SHIFT = "energy.shift"
"""Parameter [levels, S]: energies per atom, in `SHIFT_UNIT`, on top of the E0 of each level."""
SHIFT_UNIT = 0.1  # eV


class Network(Protocol):
    """A trainable potential without its energy references."""

    architecture: AnyArchitecture
    frozen: dict[str, np.ndarray]
    """Arrays that are not trained, float64."""
    shifted: tuple[bool, ...]
    """For each level of theory, whether training moves its E0."""

    def start(self, seed: int) -> dict[str, jax.Array]:
        """Trainable parameters before the first step, float32."""

    def tensors(self, parameters: Arrays, frozen: Arrays) -> dict[str, jax.Array]:
        """Tensors of the file but `energy.reference` and `zbl.r_max`; pure, differentiable."""


@dataclass
class FreshNetwork:
    """The network of a configuration, from standard normal numbers."""

    architecture: Architecture
    avg_neighbors: float
    energy_scale: float  # σ of all species, eV
    n_bessel: int
    radial_hidden: tuple[int, ...]
    shifted: tuple[bool, ...] = (False,)
    frozen: dict[str, np.ndarray] = field(default_factory=dict)

    def start(self, seed: int) -> dict[str, jax.Array]:
        """As `Network.start`."""
        found = initial_parameters(self.architecture, self.n_bessel, self.radial_hidden, seed)
        if any(self.shifted):
            found[SHIFT] = jnp.zeros((len(self.shifted), len(self.architecture.species)))
        return found

    def tensors(self, parameters: Arrays, frozen: Arrays) -> dict[str, jax.Array]:
        """As `Network.tensors`."""
        tensors = fold(parameters, self.architecture, self.avg_neighbors)
        dtype = parameters["embedding.weight"].dtype
        tensors["energy.scale"] = jnp.full(len(self.architecture.species), self.energy_scale, dtype)
        return tensors


def predict_labels(
    network: Network,
    parameters: Arrays,
    frozen: Arrays,
    graphs: Graphs,
    levels: jax.Array,
    remat: bool = False,
    use_native: bool = False,
) -> Prediction:
    """Energies, forces and virials as the labels of a batch have them; levels [G] of the frames."""
    n_graphs = len(levels)
    tensors = network.tensors(parameters, frozen)
    found = predict(tensors, network.architecture, graphs, n_graphs, remat, use_native)
    if SHIFT not in parameters:
        return found
    moved = jnp.asarray(network.shifted, graphs.edge_vector.dtype)[:, None]
    shift = SHIFT_UNIT * moved * parameters[SHIFT]  # [levels, S]
    one_hot = jax.nn.one_hot(graphs.species, shift.shape[1], dtype=shift.dtype)
    composition = graph_membership(graphs, n_graphs) @ one_hot  # [G, S]
    return found._replace(energy=found.energy + (composition * shift[levels]).sum(axis=1))


def shift_of(network: Network, parameters: Mapping[str, Any], level: int = 0) -> np.ndarray:
    """Energies per species (eV) that training added to the E0 of a level, [S]; float64."""
    if SHIFT not in parameters or not network.shifted[level]:
        return np.zeros(len(network.architecture.species))
    return SHIFT_UNIT * np.asarray(parameters[SHIFT], dtype=float)[level]

# SPDX-License-Identifier: MIT
"""One training step and one validation step: pure functions, compiled once per batch shape."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.flatten_util import ravel_pytree

from qdml_train.config import TrainSection
from qdml_train.model.architecture import Architecture
from qdml_train.model.parameters import fold
from qdml_train.model.potential import Graphs, Prediction, predict
from qdml_train.optimizer import make_optimizer
from qdml_train.packing import Labels

# Residuals are measured in these units, so that weights near 1 make sense for any material.
ENERGY_UNIT = 0.01  # eV/atom
FORCE_UNIT = 0.1  # eV/Å
VIRIAL_UNIT = 0.1  # eV/atom

Parameters = Mapping[str, jax.Array]


class TrainState(NamedTuple):
    """Everything a step changes. All parameters are one vector: updating some forty arrays one by
    one costs more (compilation and dispatch) than the arithmetic."""

    parameters: jax.Array  # [P]
    average: jax.Array  # [P] exponential moving average, what is validated and exported
    optimizer: Any
    step: jax.Array  # int32


class Sums(NamedTuple):
    """Sums over a batch, added up on the host in float64.

    Squares and their counts (of frames, or of components) carry the weights of the labels, so that
    the reported errors are those of the data the fit cares for; padding has weight 0.
    """

    loss: jax.Array  # times the number of frames
    n_frames: jax.Array
    energy_squares: jax.Array  # (eV/atom)²
    n_energies: jax.Array
    force_squares: jax.Array  # (eV/Å)²
    n_forces: jax.Array  # components
    virial_squares: jax.Array  # (eV/atom)²
    n_virials: jax.Array


@dataclass
class Steps:
    """The compiled functions of a fit."""

    architecture: Architecture
    avg_neighbors: float
    energy_scale: tuple[float, ...]  # σ per species, eV
    section: TrainSection
    n_traces: int = 0
    train: Callable[..., Any] = field(init=False)
    evaluate: Callable[..., Any] = field(init=False)
    unravel: Callable[[jax.Array], Parameters] = field(init=False)

    def __post_init__(self) -> None:
        self.optimizer = make_optimizer(self.section)
        self.train = jax.jit(self._train, donate_argnums=0)
        self.evaluate = jax.jit(self._evaluate)

    def initial_state(self, parameters: Parameters) -> TrainState:
        """State before the first step; fixes the order of the arrays in the vector."""
        vector, self.unravel = ravel_pytree(dict(parameters))
        return TrainState(vector, jnp.array(vector), self.optimizer.init(vector), jnp.int32(0))

    def predict(self, parameters: Parameters, graphs: Graphs, n_graphs: int) -> Prediction:
        """Network part of the model (E0 and ZBL are off the labels)."""
        tensors = fold(parameters, self.architecture, self.avg_neighbors)
        tensors["energy.scale"] = jnp.asarray(self.energy_scale, graphs.edge_vector.dtype)
        return predict(tensors, self.architecture, graphs, n_graphs)

    def _train(
        self, state: TrainState, graphs: Graphs, labels: Labels, rate: jax.Array
    ) -> tuple[TrainState, Sums, jax.Array]:
        """One update; returns the new state, the sums of the batch and the gradient's norm."""
        self.n_traces += 1  # runs while tracing only
        tree = self.unravel(state.parameters)
        gradient_tree, sums = jax.grad(self._loss, has_aux=True)(tree, graphs, labels)
        gradient, _ = ravel_pytree(gradient_tree)
        norm = jnp.linalg.norm(gradient)
        updates, optimizer = self.optimizer.update(gradient, state.optimizer, state.parameters)
        parameters = state.parameters - rate * updates
        # early on the average follows quickly, so that it does not remember the random start
        step = state.step + 1
        decay = jnp.minimum(self.section.ema, (1.0 + step) / (10.0 + step))
        average = decay * state.average + (1.0 - decay) * parameters
        return TrainState(parameters, average, optimizer, step), sums, norm

    def _evaluate(self, vector: jax.Array, graphs: Graphs, labels: Labels) -> Sums:
        self.n_traces += 1
        return self._loss(self.unravel(vector), graphs, labels)[1]

    def _loss(
        self, parameters: Parameters, graphs: Graphs, labels: Labels
    ) -> tuple[jax.Array, Sums]:
        prediction = self.predict(parameters, graphs, len(labels.n_atoms))
        return loss_and_sums(prediction, labels, self.section)


def loss_and_sums(
    prediction: Prediction, labels: Labels, section: TrainSection
) -> tuple[jax.Array, Sums]:
    """Weighted Huber loss: mean over labelled frames (energy, virial) and components (forces)."""
    per_atom = 1.0 / labels.n_atoms
    d_energy = (prediction.energy - labels.energy) * per_atom
    d_force = prediction.forces - labels.forces
    d_virial = (prediction.virial - labels.virial) * per_atom[:, None, None]

    has_energy = (labels.energy_weight > 0).astype(d_energy.dtype)
    has_force = (labels.force_weight > 0).astype(d_energy.dtype)
    has_virial = (labels.virial_weight > 0).astype(d_energy.dtype)
    n_energies, n_atoms, n_virials = has_energy.sum(), has_force.sum(), has_virial.sum()

    def huber(residual: jax.Array, unit: float) -> jax.Array:
        return 2.0 * optax.losses.huber_loss(residual / unit, delta=section.huber)

    energy = (labels.energy_weight * huber(d_energy, ENERGY_UNIT)).sum()
    force = (labels.force_weight[:, None] * huber(d_force, FORCE_UNIT)).sum()
    virial = (labels.virial_weight[:, None, None] * huber(d_virial, VIRIAL_UNIT)).sum()
    loss = (
        section.energy_weight * energy / jnp.maximum(n_energies, 1.0)
        + section.force_weight * force / jnp.maximum(3.0 * n_atoms, 1.0)
        + section.stress_weight * virial / jnp.maximum(9.0 * n_virials, 1.0)
    )
    n_frames = jnp.maximum(jnp.maximum(n_energies, n_virials), 1.0)
    return loss, Sums(
        loss=loss * n_frames,
        n_frames=n_frames,
        energy_squares=(labels.energy_weight * d_energy**2).sum(),
        n_energies=labels.energy_weight.sum(),
        force_squares=(labels.force_weight[:, None] * d_force**2).sum(),
        n_forces=3.0 * labels.force_weight.sum(),
        virial_squares=(labels.virial_weight[:, None, None] * d_virial**2).sum(),
        n_virials=9.0 * labels.virial_weight.sum(),
    )

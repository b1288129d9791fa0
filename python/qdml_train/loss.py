# SPDX-License-Identifier: MIT
"""The loss of a batch and the sums from which errors are reported."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from qdml_train.config import TrainSection
from qdml_train.model.potential import Prediction
from qdml_train.packing import Labels

# Residuals are measured in these units, so that weights near 1 make sense for any material.
ENERGY_UNIT = 0.01  # eV/atom
FORCE_UNIT = 0.1  # eV/Å
VIRIAL_UNIT = 0.1  # eV/atom


class Counts(NamedTuple):
    """Labels over which the loss is a mean: those with a weight."""

    energies: jax.Array  # frames
    forces: jax.Array  # components
    virials: jax.Array  # components

    @property
    def frames(self) -> jax.Array:
        """Frames with an energy or a virial, at least 1: the weight of a loss in a mean of them."""
        return jnp.maximum(jnp.maximum(self.energies, self.virials / 9.0), 1.0)


class Sums(NamedTuple):
    """Sums over a batch, added up on the host in float64.

    Squares and their counts (of frames, or of components) carry the weights of the labels, so that
    the reported errors are those of the data the fit cares for; padding has weight 0.
    """

    loss: jax.Array  # times the number of frames
    n_frames: jax.Array  # of the whole step
    energy_squares: jax.Array  # (eV/atom)²
    n_energies: jax.Array
    force_squares: jax.Array  # (eV/Å)²
    n_forces: jax.Array  # components
    virial_squares: jax.Array  # (eV/atom)²
    n_virials: jax.Array


def count_labels(labels: Labels) -> Counts:
    """Over all leading axes."""
    dtype = labels.energy.dtype
    return Counts(
        (labels.energy_weight > 0).sum().astype(dtype),
        3.0 * (labels.force_weight > 0).sum().astype(dtype),
        9.0 * (labels.virial_weight > 0).sum().astype(dtype),
    )


def loss_and_sums(
    prediction: Prediction, labels: Labels, section: TrainSection, counts: Counts | None = None
) -> tuple[jax.Array, Sums]:
    """Weighted Huber loss: mean over labelled frames (energy, virial) and components (forces).

    `counts` are those of the whole step where this batch is a part of it: the losses of the parts
    then add up to that of one large batch.
    """
    counts = count_labels(labels) if counts is None else counts
    per_atom = 1.0 / labels.n_atoms
    d_energy = (prediction.energy - labels.energy) * per_atom
    d_force = prediction.forces - labels.forces
    d_virial = (prediction.virial - labels.virial) * per_atom[:, None, None]

    def huber(residual: jax.Array, unit: float) -> jax.Array:
        return 2.0 * optax.losses.huber_loss(residual / unit, delta=section.huber)

    energy = (labels.energy_weight * huber(d_energy, ENERGY_UNIT)).sum()
    force = (labels.force_weight[:, None] * huber(d_force, FORCE_UNIT)).sum()
    virial = (labels.virial_weight[:, None, None] * huber(d_virial, VIRIAL_UNIT)).sum()
    loss = (
        section.energy_weight * energy / jnp.maximum(counts.energies, 1.0)
        + section.force_weight * force / jnp.maximum(counts.forces, 1.0)
        + section.stress_weight * virial / jnp.maximum(counts.virials, 1.0)
    )
    return loss, Sums(
        loss=loss * counts.frames,
        n_frames=counts.frames,
        energy_squares=(labels.energy_weight * d_energy**2).sum(),
        n_energies=labels.energy_weight.sum(),
        force_squares=(labels.force_weight[:, None] * d_force**2).sum(),
        n_forces=3.0 * labels.force_weight.sum(),
        virial_squares=(labels.virial_weight[:, None, None] * d_virial**2).sum(),
        n_virials=9.0 * labels.virial_weight.sum(),
    )

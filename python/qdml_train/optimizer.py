# SPDX-License-Identifier: MIT
"""Optimisers and the learning-rate schedule; the rate is an argument of the step."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
import optax
from jax.flatten_util import ravel_pytree

from qdml_train.config import TrainSection

MUON_RMS = 1.0
"""Root mean square of Muon's matrix updates: that of Adam's first steps, so that both take one
learning rate. Liu et al. 2025 (arXiv:2502.16982, section 2.2) set 0.2, Adam's size in language
models; our parameters have unit variance, and 240 steps on Lennard-Jones frames left force errors
of 452 meV/Å with 0.2, 138 with 0.6, 62 with 1.2 (AdamW 167)."""

SCHEDULE_FREE_B1 = 0.9
"""Share of the average in the point where gradients are taken (Defazio et al. 2024,
arXiv:2405.15682, eq. 6)."""


def make_optimizer(
    section: TrainSection, unravel: Callable[[jax.Array], Any]
) -> optax.GradientTransformationExtraArgs:
    """Transformation of the gradient [P] of all parameters; the result times -rate is the step.

    `unravel` gives the arrays of a vector (Muon works on matrices). `update` takes the argument
    `rate`.
    """
    if section.optimizer == "schedule_free":
        chosen = _schedule_free(section)
    else:
        chosen = optax.chain(
            optax.clip_by_global_norm(section.clip),
            _muon(unravel) if section.optimizer == "muon" else optax.scale_by_adam(b1=0.9, b2=0.99),
            optax.add_decayed_weights(section.weight_decay),
        )
    return optax.with_extra_args_support(chosen)


def evaluated(section: TrainSection, state: Any, parameters: jax.Array) -> jax.Array | None:
    """The average [P] that the optimiser itself keeps, or None."""
    if section.optimizer != "schedule_free":
        return None
    return optax.contrib.schedule_free_eval_params(state, parameters)


def _muon(unravel: Callable[[jax.Array], Any]) -> optax.GradientTransformation:
    """Orthogonalised momentum for every matrix (the last two axes of an array), Adam for the rest.

    Jordan et al. 2024; the sign of a direction, so that the caller multiplies with -rate.
    """

    def axes(tree: Any) -> Any:
        def numbers(path: Any, x: jax.Array) -> Any:
            # tables of energies per element are no linear maps
            is_map = x.ndim > 1 and "energy." not in jax.tree_util.keystr(path)
            return optax.contrib.MuonDimensionNumbers(x.ndim - 2, x.ndim - 1) if is_map else None

        return jax.tree_util.tree_map_with_path(numbers, tree)

    inner = optax.contrib.muon(
        1.0, adam_b2=0.99, consistent_rms=MUON_RMS, muon_weight_dimension_numbers=axes
    )

    def init(vector: jax.Array) -> Any:
        return inner.init(unravel(vector))

    def update(gradient: jax.Array, state: Any, params: jax.Array) -> tuple[jax.Array, Any]:
        updates, state = inner.update(unravel(gradient), state, unravel(params))
        return -ravel_pytree(updates)[0], state

    return optax.GradientTransformation(init, update)


def _schedule_free(section: TrainSection) -> optax.GradientTransformationExtraArgs:
    """Adam with averaging instead of a decaying rate; the averaged point is `evaluated`."""

    def at(rate: jax.Array | float) -> optax.GradientTransformation:
        base = optax.chain(
            optax.clip_by_global_norm(section.clip),
            optax.scale_by_adam(b1=0.0, b2=0.99),  # averaging takes the place of momentum
            optax.add_decayed_weights(section.weight_decay),
            optax.scale(-rate),
        )
        return optax.contrib.schedule_free(base, rate, b1=SCHEDULE_FREE_B1)

    def update(
        gradient: jax.Array, state: Any, params: jax.Array, *, rate: jax.Array, **_: Any
    ) -> tuple[jax.Array, Any]:
        updates, state = at(rate).update(gradient, state, params)
        return -updates / rate, state

    return optax.GradientTransformationExtraArgs(at(1.0).init, update)


def learning_rate(section: TrainSection, progress: float) -> float:
    """Linear warm-up, then a cosine to `final_learning_rate`; progress 0..1 of the schedule.

    Constant after the warm-up for the schedule-free optimiser.
    """
    progress = min(max(progress, 0.0), 1.0)
    if progress < section.warmup:
        return section.learning_rate * max(progress / section.warmup, 1e-2)
    if section.optimizer == "schedule_free":
        return section.learning_rate
    x = (progress - section.warmup) / (1.0 - section.warmup)
    low = section.final_learning_rate
    return section.learning_rate * (low + (1.0 - low) * 0.5 * (1.0 + math.cos(math.pi * x)))

# SPDX-License-Identifier: MIT
"""Optimiser chain and learning-rate schedule; the rate is an argument of the step."""

from __future__ import annotations

import math

import optax

from qdml_train.config import TrainSection


def make_optimizer(section: TrainSection) -> optax.GradientTransformation:
    """Clip, Adam or Muon direction, decoupled weight decay; to be multiplied by -learning rate.

    Muon orthogonalises the updates of matrices; vectors and stacks of matrices get Adam.
    """
    if section.optimizer == "muon":
        direction = optax.chain(
            optax.contrib.muon(
                learning_rate=1.0, adam_b2=0.999, consistent_rms=0.2, weight_decay=0.0
            ),
            optax.scale(-1.0),  # muon(learning_rate=1) already carries the minus sign
        )
    else:
        direction = optax.scale_by_adam(b1=0.9, b2=0.99)
    return optax.chain(
        optax.clip_by_global_norm(section.clip),
        direction,
        optax.add_decayed_weights(section.weight_decay),
    )


def learning_rate(section: TrainSection, progress: float) -> float:
    """Linear warm-up, then a cosine to `final_learning_rate`; progress 0..1 of the schedule."""
    progress = min(max(progress, 0.0), 1.0)
    if progress < section.warmup:
        return section.learning_rate * max(progress / section.warmup, 1e-2)
    x = (progress - section.warmup) / (1.0 - section.warmup)
    low = section.final_learning_rate
    return section.learning_rate * (low + (1.0 - low) * 0.5 * (1.0 + math.cos(math.pi * x)))

# SPDX-License-Identifier: MIT
"""Optimiser chain and learning-rate schedule; the rate is an argument of the step."""

from __future__ import annotations

import math

import optax

from qdml_train.config import TrainSection


def make_optimizer(section: TrainSection) -> optax.GradientTransformation:
    """Clip, Adam direction, decoupled weight decay; to be multiplied by -learning rate."""
    return optax.chain(
        optax.clip_by_global_norm(section.clip),
        optax.scale_by_adam(b1=0.9, b2=0.99),
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

# SPDX-License-Identifier: MIT
"""What a fit will cost: one compiled and timed step per batch shape, nothing written."""

from __future__ import annotations

import datetime
import time
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from rich.console import Console

from qdml_train.loop import Fit
from qdml_train.monitor import duration
from qdml_train.packing import Shape

TIMED = 3
"""Steps that are timed per shape, after the first."""


@dataclass(frozen=True)
class ShapeCost:
    """Cost of a training step of one shape."""

    shape: Shape
    n_batches: int  # per epoch
    memory: int | None  # bytes of arguments, results and temporaries, if the backend says
    compile_seconds: float
    step_seconds: float


def measure(fit: Fit) -> list[ShapeCost]:
    """Compile and time a step of every training shape. The state of the fit is left as it was."""
    steps = fit.epoch(0)
    frozen = fit.steps.frozen
    costs = []
    for shape in sorted({shape for shape, _ in steps}):
        members = [step for step in steps if step[0] == shape]
        graphs, labels = fit.arrays(members[0])
        state = jax.tree.map(lambda x: x.copy(), fit.state)  # the step takes its argument away
        rate = np.float32(fit.config.train.learning_rate)
        start = time.perf_counter()
        compiled = fit.steps.train.lower(state, frozen, graphs, labels, rate).compile()
        compile_seconds = time.perf_counter() - start
        state = jax.block_until_ready(compiled(state, frozen, graphs, labels, rate)[0])
        times = []
        for _ in range(TIMED):
            start = time.perf_counter()
            state = jax.block_until_ready(compiled(state, frozen, graphs, labels, rate)[0])
            times.append(time.perf_counter() - start)
        costs.append(
            ShapeCost(
                shape, len(members), _memory(compiled), compile_seconds, float(np.median(times))
            )
        )
    return costs


def _memory(compiled: Any) -> int | None:
    analysis = compiled.memory_analysis()
    if analysis is None:
        return None
    return int(
        analysis.argument_size_in_bytes
        + analysis.output_size_in_bytes
        + analysis.temp_size_in_bytes
        - analysis.alias_size_in_bytes
    )


def report(fit: Fit, costs: list[ShapeCost], console: Console) -> dict[str, Any]:
    """Print memory, step time, epochs and the expected end; returns the numbers."""

    def say(text: str) -> None:
        console.print(text, highlight=False, markup=False, soft_wrap=True)

    section = fit.config.train
    epoch_seconds = sum(c.n_batches * c.step_seconds for c in costs)
    steps = sum(c.n_batches for c in costs)
    for c in costs:
        memory = "unknown" if c.memory is None else f"{c.memory / 1e6:.0f} MB"
        say(
            f"dry run: batch of {c.shape.atoms} atoms, {c.shape.slots} neighbours, "
            f"{c.shape.graphs} frames: memory {memory}, {1e3 * c.step_seconds:.1f} ms per step, "
            f"{c.n_batches} steps per epoch, compiled in {c.compile_seconds:.1f} s"
        )
    by_budget = None if section.time_budget is None else section.time_budget / epoch_seconds
    limits = [x for x in (section.epochs, by_budget) if x is not None]
    epochs = min(limits)
    seconds = epochs * epoch_seconds
    end = datetime.datetime.now() + datetime.timedelta(seconds=seconds)
    say(
        f"dry run: {fit.n_parameters} parameters, {steps} steps per epoch of "
        f"{duration(epoch_seconds)} without validation; about {epochs:.0f} epochs, "
        f"{epochs * steps:.0f} steps in {duration(seconds)}; started now it ends about "
        f"{end:%Y-%m-%d %H:%M}"
    )
    if epochs < 20:
        say("dry run: fewer than 20 epochs: raise train.time_budget or take a smaller model.preset")
    say(f"dry run: on {jax.devices()[0].device_kind}, nothing was written")
    return {
        "memory": max((c.memory or 0 for c in costs), default=0),
        "epoch_seconds": epoch_seconds,
        "epochs": epochs,
        "seconds": seconds,
    }

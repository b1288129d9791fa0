# SPDX-License-Identifier: MIT
"""One training step and one validation step: pure functions, compiled once per batch shape."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jax.sharding import Mesh, PartitionSpec
from qdml.errors import ConfigError

from qdml_train.committee import Spread, committee_prediction
from qdml_train.config import TrainSection
from qdml_train.devices import AXIS
from qdml_train.loss import Counts, Sums, count_labels, loss_and_sums
from qdml_train.model.network import Network, predict_labels
from qdml_train.model.potential import Graphs, Prediction, has_native
from qdml_train.optimizer import evaluated, make_optimizer
from qdml_train.packing import Labels

Parameters = Mapping[str, jax.Array]


class TrainState(NamedTuple):
    """Everything a step changes. All parameters are one vector: updating some forty arrays one by
    one costs more (compilation and dispatch) than the arithmetic.

    In a committee every array has a first axis of members.
    """

    parameters: jax.Array  # [P]
    average: jax.Array  # [P] moving average, what is validated and exported
    optimizer: Any
    step: jax.Array  # int32


def choose_native(section: TrainSection, network: Network) -> bool:
    """What `train.kernels` means here. Raises ConfigError where kernels asked for are missing."""
    found = section.kernels != "jax" and has_native(network.architecture)
    if section.kernels == "native" and not found:
        raise ConfigError(
            "train.kernels: native, but the engine's kernels serve potentials of kind cartesian "
            f"on CPUs with the binding qdml._native; this fit is on {jax.default_backend()}: "
            "use auto or jax"
        )
    return found


@dataclass
class Steps:
    """The compiled functions of a fit.

    `train(state, frozen, graphs, labels, rate)` takes arrays stacked over the batches of a step
    (first axis; second after the members of a committee) and divides these batches among the
    devices of `mesh`. It returns the state, the sums and the norm of the gradient; a step that is
    not finite leaves the state as it was. `evaluate(average, frozen, graphs, labels)` takes one
    batch. `gradient(parameters, frozen, graphs, labels)` is that of one member.
    """

    network: Network
    section: TrainSection
    mesh: Mesh | None = None
    n_traces: int = 0
    train: Callable[..., Any] = field(init=False)
    evaluate: Callable[..., Any] = field(init=False)
    gradient: Callable[..., Any] = field(init=False)
    unravel: Callable[[jax.Array], Parameters] = field(init=False)
    use_native: bool = field(init=False)
    """Whether the messages are computed by the engine's kernels (`train.kernels`)."""

    def __post_init__(self) -> None:
        self.use_native = choose_native(self.section, self.network)
        self.train = jax.jit(self._train, donate_argnums=0)
        self.evaluate = jax.jit(self._evaluate)
        self.gradient = jax.jit(self._gradient)
        self.frozen = {k: jnp.asarray(v, jnp.float32) for k, v in self.network.frozen.items()}

    def initial_state(self, seeds: Sequence[int]) -> TrainState:
        """State before the first step of the members with these seeds; one seed: no member axis."""
        states = []
        for seed in seeds:
            # the vector keeps the order of the arrays
            vector, self.unravel = ravel_pytree(dict(self.network.start(seed)))
            self.optimizer = make_optimizer(self.section, self.unravel)
            optimizer = self.optimizer.init(vector)
            states.append(TrainState(vector, jnp.array(vector), optimizer, jnp.int32(0)))
        if len(states) == 1:
            return states[0]
        return jax.tree.map(lambda *x: jnp.stack(x), *states)

    def _train(
        self,
        state: TrainState,
        frozen: Parameters,
        graphs: Graphs,
        labels: Labels,
        rate: jax.Array,
    ) -> tuple[TrainState, Sums, jax.Array]:
        self.n_traces += 1  # runs while tracing only
        step = self._step
        batches = PartitionSpec(AXIS)
        if self.section.committee > 1:
            step = jax.vmap(step, in_axes=(0, None, 0, 0, None))
            batches = PartitionSpec(None, AXIS)
        if self.mesh is not None:
            everywhere = PartitionSpec()
            step = jax.shard_map(
                step,
                mesh=self.mesh,
                in_specs=(everywhere, everywhere, batches, batches, everywhere),
                out_specs=everywhere,
                check_vma=False,
            )
        return step(state, frozen, graphs, labels, rate)

    def _step(
        self,
        state: TrainState,
        frozen: Parameters,
        graphs: Graphs,
        labels: Labels,
        rate: jax.Array,
    ) -> tuple[TrainState, Sums, jax.Array]:
        """One update of one member, on each device with its share of the batches."""
        counts = count_labels(labels)
        if self.mesh is not None:
            counts = jax.lax.psum(counts, AXIS)
        gradient, sums = self._gradient(state.parameters, frozen, graphs, labels, counts)
        if self.mesh is not None:
            gradient, sums = jax.lax.psum((gradient, sums), AXIS)
        has_labels = counts.energies + counts.forces + counts.virials > 0
        sums = sums._replace(n_frames=jnp.where(has_labels, counts.frames, 0.0))
        norm = jnp.linalg.norm(gradient)
        updates, optimizer = self.optimizer.update(
            gradient, state.optimizer, state.parameters, rate=rate
        )
        parameters = state.parameters - rate * updates
        # early on the average follows quickly, so that it does not remember the random start
        step = state.step + 1
        decay = jnp.minimum(self.section.ema, (1.0 + step) / (10.0 + step))
        average = evaluated(self.section, optimizer, parameters)
        if average is None:
            average = decay * state.average + (1.0 - decay) * parameters
        new = TrainState(parameters, average, optimizer, step)
        taken = has_labels & jnp.isfinite(norm) & jnp.isfinite(sums.loss)
        return jax.tree.map(lambda a, b: jnp.where(taken, a, b), new, state), sums, norm

    def _gradient(
        self,
        vector: jax.Array,
        frozen: Parameters,
        graphs: Graphs,
        labels: Labels,
        counts: Counts | None = None,
    ) -> tuple[jax.Array, Sums]:
        """Gradient [P] of the loss over all batches as one, evaluated batch after batch."""
        counts = count_labels(labels) if counts is None else counts

        def of_batch(batch: tuple[Graphs, Labels]) -> tuple[jax.Array, Sums]:
            tree, sums = jax.grad(self._loss, has_aux=True)(
                self.unravel(vector), frozen, *batch, counts
            )
            return ravel_pytree(tree)[0], sums

        def add(total: Any, batch: tuple[Graphs, Labels]) -> tuple[Any, None]:
            return jax.tree.map(jnp.add, total, of_batch(batch)), None

        first, rest = (
            jax.tree.map(lambda x, k=k: x[k], (graphs, labels)) for k in (0, slice(1, None))
        )
        total = of_batch(first)
        if len(labels.energy) > 1:
            total, _ = jax.lax.scan(add, total, rest)
        return total

    def _loss(
        self,
        parameters: Parameters,
        frozen: Parameters,
        graphs: Graphs,
        labels: Labels,
        counts: Counts,
    ) -> tuple[jax.Array, Sums]:
        prediction = self._predict(parameters, frozen, graphs, labels)
        return loss_and_sums(prediction, labels, self.section, counts)

    def _predict(
        self, parameters: Parameters, frozen: Parameters, graphs: Graphs, labels: Labels
    ) -> Prediction:
        return predict_labels(
            self.network,
            parameters,
            frozen,
            graphs,
            labels.level,
            self.section.remat,
            self.use_native,
        )

    def _evaluate(
        self, average: jax.Array, frozen: Parameters, graphs: Graphs, labels: Labels
    ) -> tuple[Sums, Spread | None]:
        """Sums of one batch; in a committee those of the mean prediction, and the spread."""
        self.n_traces += 1

        def of_member(vector: jax.Array) -> Prediction:
            return self._predict(self.unravel(vector), frozen, graphs, labels)

        if self.section.committee == 1:
            return loss_and_sums(of_member(average), labels, self.section)[1], None
        mean, spread = committee_prediction(jax.vmap(of_member)(average), labels)
        return loss_and_sums(mean, labels, self.section)[1], spread

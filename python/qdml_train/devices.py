# SPDX-License-Identifier: MIT
"""Devices and hosts of a fit: which share the batches of a step, and what must be agreed upon."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from qdml.errors import ConfigError

from qdml_train.config import TrainSection

AXIS = "batches"
"""Name of the mesh axis along which the batches of a step are divided."""


def join_hosts(section: TrainSection) -> None:
    """Connect the processes of a fit over several hosts, before anything else touches JAX.

    Raises ConfigError when they do not find each other.
    """
    found = section.distributed
    if found is None or jax.distributed.is_initialized():
        return
    given: dict[str, Any] = {}
    if found != "auto":
        given = {
            "coordinator_address": found.coordinator,
            "num_processes": found.processes,
            "process_id": found.process,
        }
    try:
        jax.distributed.initialize(**given)
    except (RuntimeError, ValueError) as error:
        raise ConfigError(
            f"train.distributed: the processes do not find each other ({error}); 'auto' needs "
            "Slurm, Open MPI or a cloud that JAX knows, else give coordinator (host:port), "
            "processes and process"
        ) from error


def device_mesh(section: TrainSection) -> Mesh | None:
    """Devices that share the batches of a step; None for one.

    Without `train.devices` as many as divide `train.accumulate`. Raises ConfigError when the
    devices asked for are not there or the batches cannot be divided among them evenly.
    """
    devices, batches = jax.devices(), section.accumulate
    n = section.devices
    if n is None:
        several = jax.process_count() > 1
        n = len(devices)
        while batches % n and not several:
            n -= 1
    if n > len(devices):
        raise ConfigError(f"train.devices: {n}, but JAX finds {len(devices)}: {devices}")
    if batches % n:
        raise ConfigError(
            f"train.accumulate: {batches} batches per step cannot be divided among {n} devices; "
            f"set a multiple of {n}"
        )
    if jax.process_count() > 1 and n != len(devices):
        raise ConfigError(f"train.devices: {n}; over several hosts all {len(devices)} take part")
    return Mesh(np.array(devices[:n]), (AXIS,)) if n > 1 else None


def place(tree: Any, mesh: Mesh | None, axis: int | None) -> Any:
    """Arrays of the host on the devices: divided along an axis, or (None) whole on each."""
    if mesh is None:
        return tree
    spec = PartitionSpec() if axis is None else PartitionSpec(*[None] * axis, AXIS)
    sharding = NamedSharding(mesh, spec)

    def put(x: Any) -> jax.Array:
        array = np.asarray(x)
        part: Callable[[Any], np.ndarray] = array.__getitem__
        return jax.make_array_from_callback(array.shape, sharding, part)

    return jax.tree.map(put, tree)


def is_writer() -> bool:
    """Whether this process writes files: the first of all hosts."""
    return jax.process_index() == 0


def agreed(*values: float) -> tuple[float, ...]:
    """The numbers of the first process, the same everywhere: what clocks and signals decide."""
    if jax.process_count() == 1:
        return values
    from jax.experimental import multihost_utils

    found = multihost_utils.broadcast_one_to_all(np.array(values, np.float32))
    return tuple(float(x) for x in found)

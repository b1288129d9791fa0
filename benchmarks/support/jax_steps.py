# SPDX-License-Identifier: MIT
"""Energies and forces by the JAX network, timed: `python -m support.jax_steps '[ROW, ...]'`.

One process for all rows, since JAX takes seconds to start on a card; gpu_jax.py starts another
when it dies. Needs jax, flax, numpy, scipy, ase: neither pydantic nor vesin.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from qdml.modelfile import read_model
from qdml_train.model.architecture import read_architecture
from qdml_train.model.graphs import Graphs
from qdml_train.model.potential import predict

from support import gpu_rows
from support.crystal_graph import make_slots, zinc_blende
from support.gpu_speed import PRESETS
from support.random_presets import write_preset

ROOT = Path(__file__).resolve().parents[2]
QUEUED = 200  # calls at most that wait on the device
ANSWERS: dict[tuple[str, int], np.ndarray] = {}
"""Forces of the rows so far with the usual products of matrices, where those are few."""


def read(model: str) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Document and tensors of a file, or of a preset with random weights."""
    if model not in PRESETS:
        return read_model(ROOT / model)
    with tempfile.TemporaryDirectory() as folder:
        return read_model(write_preset(Path(folder) / "random.qdml", model))


def timed(call: Callable[[], Any], seconds: float, n_atoms: int) -> dict[str, Any]:
    """ns per atom and call: one by one, and many that follow one another without waiting."""
    jax.block_until_ready(call())
    single: list[float] = []
    begin = time.perf_counter()
    while len(single) < 3 or time.perf_counter() - begin < seconds / 2:
        start = time.perf_counter()
        jax.block_until_ready(call())
        single.append(time.perf_counter() - start)
    each = statistics.median(single)
    n = min(QUEUED, max(3, int(seconds / 2 / each)))
    start = time.perf_counter()
    for _ in range(n - 1):
        call()
    jax.block_until_ready(call())
    queued = (time.perf_counter() - start) / n
    return {
        "steps": len(single) + n,
        "ns_per_atom_step": 1e9 * min(each, queued) / n_atoms,
        "waiting_ns_per_atom_step": 1e9 * each / n_atoms,
        "queued_ns_per_atom_step": 1e9 * queued / n_atoms,
        "ms_per_step": 1e3 * min(each, queued),
    }


def memory_bytes(compiled: Any) -> int | None:
    """What the compiler plans for arrays within a call, where it says so."""
    try:
        return int(compiled.memory_analysis().temp_size_in_bytes)
    except Exception:
        return None


def measure(row: dict[str, Any]) -> dict[str, Any]:
    """Times of one row; with layers computed again where the memory does not suffice otherwise."""
    began = time.perf_counter()
    document, tensors = read(row["model"])
    architecture = read_architecture(document)
    crystal = zinc_blende(row["atoms"], row["lattice"])
    slots = make_slots(crystal, architecture.cutoff)
    n = len(crystal.positions)
    cation, anion = (document["species"].index(symbol) for symbol in row["elements"])
    species = np.where(crystal.is_anion, anion, cation).astype(np.int32)
    vector = slots.vector.astype(np.float32)
    graphs = Graphs(species, slots.neighbor, slots.reverse, vector, np.zeros(n, np.int32))
    graphs = Graphs(*(jnp.asarray(x) for x in graphs))
    arrays = {k: jnp.asarray(v, jnp.float32) for k, v in tensors.items()}
    found: dict[str, Any] = {
        "atoms": n,
        "neighbours": round(slots.n_edges / n, 2),
        "slots": slots.neighbor.shape[1],
        "device": jax.devices()[0].device_kind,
        "version": f"jax {jax.__version__}",
        "prepare_seconds": round(time.perf_counter() - began, 2),
    }
    for remat in (False, True):
        try:
            return found | attempt(row, architecture, arrays, graphs, remat)
        except jax.errors.JaxRuntimeError as fault:
            if remat:
                raise
            found["without_remat"] = str(fault).splitlines()[0][:200]  # mostly of memory
    raise AssertionError


def attempt(
    row: dict[str, Any], architecture: Any, arrays: Any, graphs: Graphs, remat: bool
) -> dict[str, Any]:
    """Compile, time, look at the forces."""
    began = time.perf_counter()
    precise = None if row["matmul"] == "default" else row["matmul"]
    with jax.default_matmul_precision(precise):
        function = jax.jit(predict, static_argnums=(1, 3, 4))
        compiled = function.lower(arrays, architecture, graphs, 1, remat).compile()
    compile_seconds = time.perf_counter() - began
    forces = np.asarray(compiled(arrays, graphs).forces)
    if not np.isfinite(forces).all():
        raise RuntimeError("forces are not finite")
    found = timed(lambda: compiled(arrays, graphs), row["seconds"], len(forces))
    key = (row["model"], len(forces))
    largest = float(np.abs(forces).max())
    if precise is None:
        ANSWERS[key] = forces
    elif key in ANSWERS:
        found["force_difference_to_default"] = float(np.abs(forces - ANSWERS[key]).max())
    return found | {
        "remat": remat,
        "compile_seconds": round(compile_seconds, 1),
        "memory_bytes": memory_bytes(compiled),
        "largest_force": largest,
    }


def main() -> None:
    gpu_rows.report(measure)


if __name__ == "__main__":
    main()

# SPDX-License-Identifier: MIT
"""One measurement in its own process: `python -m support.workers '{"kind": "engine", ...}'`.

Threads, instruction set and cores are read at start, hence a process each. Prints one JSON object
with times in seconds per step; the caller divides by atoms. No neighbour list is built inside a
timed call of the engine and of JAX; a LAMMPS step is a whole step.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from support import structures


def repeat(call: Callable[[], Any], seconds: float, at_least: int = 3) -> dict[str, Any]:
    """Median and best wall and CPU seconds of `call` after one call that is not counted."""
    call()
    wall, cpu = [], []
    begin = time.perf_counter()
    while len(wall) < at_least or time.perf_counter() - begin < seconds:
        t0, c0 = time.perf_counter(), time.process_time()
        call()
        wall.append(time.perf_counter() - t0)
        cpu.append(time.process_time() - c0)
    return {
        "repetitions": len(wall),
        "wall": statistics.median(wall),
        "wall_best": min(wall),
        "cpu": statistics.median(cpu),
        "cpu_best": min(cpu),
    }


def engine(spec: dict[str, Any]) -> dict[str, Any]:
    """Energy, forces and virial of libqdml through its Python binding, on given edges."""
    from qdml import _native as native
    from qdml.engine import Engine, build_neighbor_list

    atoms = structures.crystal(spec["atoms"])
    species = structures.model_species(atoms)
    start, neighbor, _, vector = build_neighbor_list(
        atoms.positions, atoms.cell.array, [True] * 3, structures.CUTOFF
    )
    potential = Engine(spec["path"], spec["precision"])
    result = repeat(
        lambda: potential.compute_graph(species, start, neighbor, vector), spec["seconds"]
    )
    if hasattr(native, "stage_times"):  # a build with QDML_PROFILE
        native.reset_stage_times()
        began = time.perf_counter()
        for _ in range(result["repetitions"]):
            potential.compute_graph(species, start, neighbor, vector)
        total = (time.perf_counter() - began) / result["repetitions"]
        stages = {k: v / result["repetitions"] for k, v in native.stage_times().items()}
        result["stages"] = stages | {"edges, forces, rest": total - sum(stages.values())}
    return result | {"isa": potential.info["isa"], "neighbours": len(neighbor) / len(atoms)}


def jax(spec: dict[str, Any]) -> dict[str, Any]:
    """The same file in JAX: jit, fp32, energy, forces and virial."""
    import jax
    import jax.numpy as jnp
    from qdml.modelfile import read_model
    from qdml_train.frames import frame_from_atoms
    from qdml_train.model.architecture import Architecture
    from qdml_train.model.potential import Graphs, predict
    from qdml_train.neighbors import build_neighbors
    from qdml_train.packing import Sample, assemble, fitting_shape

    document, tensors = read_model(spec["path"])
    architecture = Architecture.from_document(document)
    atoms = structures.crystal(spec["atoms"])
    neighbors = build_neighbors(frame_from_atoms(atoms, "crystal", 0), structures.CUTOFF)
    sample = Sample(structures.model_species(atoms), neighbors, None, None, None)
    shape = fitting_shape([sample])
    graphs, _ = assemble([sample], shape, structures.CUTOFF, np.float32)
    graphs = Graphs(*(jnp.asarray(x) for x in graphs))
    tensors = {k: jnp.asarray(v, jnp.float32) for k, v in tensors.items()}
    compiled = jax.jit(predict, static_argnums=(1, 3))

    def call() -> None:
        jax.block_until_ready(compiled(tensors, architecture, graphs, shape.graphs))

    began = time.perf_counter()
    call()
    compile_seconds = time.perf_counter() - began
    return repeat(call, spec["seconds"]) | {
        "compile_seconds": compile_seconds,
        "neighbours": len(neighbors.center) / len(atoms),
        "version": jax.__version__,
    }


def lammps(spec: dict[str, Any]) -> dict[str, Any]:
    """A whole NVE step of LAMMPS on one rank by LAMMPS' own clock, list rebuilt every ten steps."""
    from support.lammps_run import run_steps

    result = run_steps(
        structures.crystal(spec["atoms"]), list(structures.SPECIES), Path(spec["path"]),
        steps=spec["steps"], precision=spec["precision"],
    )  # fmt: skip
    share = result["pair_seconds"] / result["loop_seconds"]
    return {
        "repetitions": result["steps"],
        "wall": result["seconds_per_step"],
        "cpu": result["seconds_per_step"] * result["cpu_use"],
        "pair_share": share,
    }


def main() -> None:
    spec = json.loads(sys.argv[1])
    if spec.get("one_core", True) and spec.get("threads", 1) == 1:
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    kinds = {"engine": engine, "jax": jax, "lammps": lammps}
    json.dump(kinds[spec["kind"]](spec), sys.stdout)


if __name__ == "__main__":
    main()

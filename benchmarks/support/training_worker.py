# SPDX-License-Identifier: MIT
"""Training steps of qdml on given batches: `python -m support.training_worker '{"kernels": ...}'`.

A process each, since threads are read at start. A step is what `fit` does with a batch: loss of
energies and forces, its gradient, optimiser, averaged weights. Arrays are made before the clock
runs.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

CONFIG = {"train": {"epochs": 1, "stress_weight": 0.0, "seed": 1}}


def make_fit(spec: dict[str, Any], folder: str) -> Any:
    """The fit of a preset on the frames of the benchmark, as `qdml_train fit` sets it up."""
    from qdml_train.config import parse_config
    from qdml_train.dataset import load_dataset
    from qdml_train.loop import Fit
    from rich.console import Console

    content = {
        "data": {"train": spec["data"], "split": "none", "use_stress": False},
        "model": {"preset": spec["model"]},
        "train": CONFIG["train"] | {"kernels": spec["kernels"]},
        "output": folder,
    }
    config = parse_config(content)
    return Fit(config, load_dataset(config), Console(quiet=True))


def first_batches(fit: Any, count: int) -> list[Any]:
    """The first steps of the first epoch."""
    return fit.epoch(0)[:count]


def describe(fit: Any, steps: list[Any]) -> dict[str, Any]:
    """What the batches hold, and how large the model is."""
    samples = [fit.train_samples[i] for _, found in steps for i in found[0][0]]
    section = fit.config.model
    return {
        "shapes": [list(shape) for shape, _ in steps],
        "frames": len(samples),
        "atoms": sum(s.n_atoms for s in samples),
        "edges": sum(len(s.neighbors.center) for s in samples),
        "parameters": int(fit.n_parameters),
        "cutoff": section.cutoff,
        "l_max": section.l_max,
        "layers": section.layers,
        "channels": section.message_channels,
    }


def write_batches(fit: Any, steps: list[Any], folder: Path) -> list[str]:
    """One file of frames per batch, for other programs."""
    from ase import Atoms
    from ase.calculators.singlepoint import SinglePointCalculator
    from ase.io import write

    files = []
    for k, (_, found) in enumerate(steps):
        batch = []
        for f in (fit.dataset.train[i] for i in found[0][0]):
            atoms = Atoms(f.numbers, f.positions, cell=f.cell, pbc=f.pbc)
            atoms.calc = SinglePointCalculator(atoms, energy=f.energy, forces=f.forces)
            batch.append(atoms)
        files.append(str(folder / f"batch-{k}.extxyz"))
        write(files[-1], batch)
    return files


def measure(fit: Any, steps: list[Any], seconds: float) -> dict[str, Any]:
    """Seconds for all batches once, after a pass that compiles."""
    import jax

    from support.workers import repeat

    arrays = [fit.arrays(step) for step in steps]

    def one_pass() -> None:
        for graphs, labels in arrays:
            fit.state, _, norm = fit.steps.train(fit.state, fit.steps.frozen, graphs, labels, 1e-4)
        jax.block_until_ready((fit.state, norm))

    began = time.perf_counter()
    one_pass()
    compile_seconds = time.perf_counter() - began
    result = repeat(one_pass, seconds)
    return result | {"compile_seconds": compile_seconds, "version": f"jax {jax.__version__}"}


def main() -> None:
    spec = json.loads(sys.argv[1])
    with tempfile.TemporaryDirectory() as folder:
        fit = make_fit(spec, str(Path(folder) / "fit"))
        steps = first_batches(fit, spec["count"])
        result = describe(fit, steps)
        if "write" in spec:
            result["files"] = write_batches(fit, steps, Path(spec["write"]))
        if spec.get("seconds"):
            result |= measure(fit, steps, spec["seconds"])
    json.dump(result, sys.stdout)


if __name__ == "__main__":
    main()

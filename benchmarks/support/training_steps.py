# SPDX-License-Identifier: MIT
"""Training steps of `qdml_train fit`, timed: `python -m support.training_steps '[ROW, ...]'`.

One process for all rows of a device; gpu_training.py starts another when it dies.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import jax
import numpy as np
from qdml_train.config import parse_config
from qdml_train.dataset import Dataset, load_dataset
from qdml_train.loop import Fit
from rich.console import Console

from support import gpu_rows
from support.carried import ROOT


def make_config(row: dict[str, Any], folder: str) -> Any:
    """The configuration of a row: a preset, else the defaults but for what the row says."""
    train = {"epochs": 1, "seed": 1, "kernels": row["kernels"]}
    train |= {k: row[k] for k in ("batch_atoms", "batch_frames") if k in row}
    return parse_config(
        {
            "data": {"train": str(ROOT / row["data"]), "split": "none"},
            "model": {"preset": row["preset"]},
            "train": train,
            "output": folder,
        }
    )


@cache
def frames_of(data: str) -> Dataset:
    """The frames with their edges; the presets share the cutoff."""
    return load_dataset(make_config({"data": data, "preset": "fast", "kernels": "jax"}, "fit"))


def main_steps(fit: Fit, count: int) -> list[Any]:
    """The first steps of the shape with most edge slots in the first epoch: one compilation."""
    steps = fit.epoch(0)
    slots: Counter[Any] = Counter()
    for shape, _ in steps:
        slots[shape] += shape.atoms * shape.slots
    chosen = slots.most_common(1)[0][0]
    return [step for step in steps if step[0] == chosen][:count]


def timed_passes(fit: Fit, steps: list[Any], seconds: float, with_host: bool) -> float:
    """Median seconds for all steps once. `with_host`: as the loop of a fit goes, which makes the
    arrays of each batch and waits for its result; else they are there, and steps are queued.
    """
    arrays = [fit.arrays(step) for step in steps]

    def one_pass() -> None:
        for k, step in enumerate(steps):
            graphs, labels = fit.arrays(step) if with_host else arrays[k]
            fit.state, _, norm = fit.steps.train(
                fit.state, fit.steps.frozen, graphs, labels, np.float32(1e-4)
            )
            if with_host:
                np.asarray(norm)
        jax.block_until_ready((fit.state, norm))

    one_pass()
    times: list[float] = []
    begin = time.perf_counter()
    while len(times) < 2 or time.perf_counter() - begin < seconds:
        start = time.perf_counter()
        one_pass()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def measure(row: dict[str, Any]) -> dict[str, Any]:
    """Frames and atoms per second of one row."""
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        config = make_config(row, str(Path(folder) / "fit"))
        dataset = frames_of(row["data"])
        fit = Fit(config, dataset, Console(quiet=True))
    steps = main_steps(fit, row["count"])
    samples = [fit.train_samples[i] for _, found in steps for i in found[0][0]]
    prepared = time.perf_counter()
    graphs, labels = fit.arrays(steps[0])
    first = fit.steps.train(fit.state, fit.steps.frozen, graphs, labels, np.float32(1e-4))
    fit.state = first[0]
    loss = float(first[1].loss)
    if not np.isfinite(loss):
        raise RuntimeError(f"the loss is {loss}")
    compiled = time.perf_counter()
    step = timed_passes(fit, steps, row["seconds"], with_host=False)
    loop = timed_passes(fit, steps, row["seconds"], with_host=True)
    n_frames, n_atoms = len(samples), sum(s.n_atoms for s in samples)
    return {
        "device_name": jax.devices()[0].device_kind,
        "version": f"jax {jax.__version__}",
        "use_native": fit.steps.use_native,
        "shape": list(steps[0][0]),
        "steps": len(steps),
        "frames": n_frames,
        "atoms": n_atoms,
        "edges": sum(len(s.neighbors.center) for s in samples),
        "parameters": int(fit.n_parameters),
        "first_loss": loss,
        "frames_per_second": n_frames / step,
        "atoms_per_second": n_atoms / step,
        "ms_per_step": 1e3 * step / len(steps),
        "loop_frames_per_second": n_frames / loop,
        "loop_atoms_per_second": n_atoms / loop,
        "prepare_seconds": round(prepared - began, 1),
        "compile_seconds": round(compiled - prepared, 1),
    }


def main() -> None:
    gpu_rows.report(measure)


if __name__ == "__main__":
    main()

# SPDX-License-Identifier: MIT
"""Training steps of the PyTorch package `nequip` on given batches; runs in that package's Python.

Called by training.py with --nequip-python; needs torch, nequip and ase there, nothing of qdml.
Reads {"mode", "batches" (files of frames), "cutoff", "l_max", "channels", "layers", "neighbours",
"seconds", "threads"} from the command line. A step is what nequip's own trainer does with a batch:
model with forces in training mode, squared errors of energy per atom and forces, backward, Adam,
averaged weights. Neighbour lists and batches are made before the clock runs. Modes as in
nequip_worker.py: eager, compile.
"""

from __future__ import annotations

import json
import logging
import statistics
import sys
import time
import warnings

import ase.io
import nequip
import torch
from nequip.data import AtomicDataDict
from nequip.utils.global_state import set_global_state
from nequip_worker import build_data, build_model

ENERGY, FORCES = AtomicDataDict.TOTAL_ENERGY_KEY, AtomicDataDict.FORCE_KEY


def read_batch(path: str, cutoff: float) -> AtomicDataDict.Type:
    """The frames of a file as one batch."""
    frames = [build_data(atoms, cutoff) for atoms in ase.io.read(path, ":")]
    return AtomicDataDict.batched_from_list(frames)


def main() -> None:
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    spec = json.loads(sys.argv[1])
    torch.set_num_threads(spec["threads"])
    set_global_state()
    batches = [read_batch(path, spec["cutoff"]) for path in spec["batches"]]
    model = build_model(spec, spec["mode"]).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4)
    average = torch.optim.swa_utils.AveragedModel(
        model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.99)
    )

    def step(batch: AtomicDataDict.Type) -> None:
        n_atoms = batch[AtomicDataDict.NUM_NODES_KEY].reshape(-1, 1)
        found = model(dict(batch))
        energy = ((found[ENERGY] - batch[ENERGY].reshape(-1, 1)) / n_atoms).square().mean()
        loss = energy + (found[FORCES] - batch[FORCES]).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        average.update_parameters(model)

    def one_pass() -> None:
        for batch in batches:
            step(batch)

    began = time.perf_counter()
    one_pass()
    one_pass()  # the second pass may still compile
    preparing = time.perf_counter() - began
    wall, cpu = [], []
    begin = time.perf_counter()
    while len(wall) < 3 or time.perf_counter() - begin < spec["seconds"]:
        t0, c0 = time.perf_counter(), time.process_time()
        one_pass()
        wall.append(time.perf_counter() - t0)
        cpu.append(time.process_time() - c0)
    result = {
        "repetitions": len(wall),
        "wall": statistics.median(wall),
        "wall_best": min(wall),
        "cpu": statistics.median(cpu),
        "cpu_best": min(cpu),
        "parameters": sum(p.numel() for p in model.parameters()),
        "edges": sum(b[AtomicDataDict.EDGE_INDEX_KEY].shape[1] for b in batches),
        "compile_seconds": preparing,
        "version": f"nequip {nequip.__version__}, torch {torch.__version__}",
    }
    json.dump(result, sys.stdout)


if __name__ == "__main__":
    main()

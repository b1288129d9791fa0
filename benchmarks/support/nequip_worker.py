# SPDX-License-Identifier: MIT
"""The PyTorch package `nequip` on the structure of the other rows; runs in that package's Python.

Called by engine.py with --nequip-python; needs torch, nequip and ase there, nothing of qdml.
Reads {"mode", "structure", "cutoff", "l_max", "channels", "layers", "seconds"} from the command
line and prints times per structure as JSON. Modes:
  eager        the model as built
  compile      torch.compile, by nequip's own `compile_mode="compile"` (two copies of the structure
               in a batch, since nequip runs single structures uncompiled)
  aotinductor  exported to a shared library by nequip's own export, as its LAMMPS pair style loads
  torchscript  what nequip used before; refused by torch >= 2.10
"""

from __future__ import annotations

import json
import logging
import os
import statistics
import sys
import tempfile
import time
import warnings
from pathlib import Path

import ase
import ase.io
import nequip
import torch
from nequip.data import AtomicDataDict, compute_neighborlist_, from_ase
from nequip.model import NequIPGNNModel
from nequip.utils.global_state import set_global_state

INPUTS = [
    AtomicDataDict.POSITIONS_KEY,
    AtomicDataDict.EDGE_INDEX_KEY,
    AtomicDataDict.ATOM_TYPE_KEY,
    AtomicDataDict.CELL_KEY,
    AtomicDataDict.EDGE_CELL_SHIFT_KEY,
]
OUTPUTS = [AtomicDataDict.TOTAL_ENERGY_KEY, AtomicDataDict.FORCE_KEY]


def build_model(spec: dict, mode: str) -> torch.nn.Module:
    """Natural parity, one hidden radial layer of 128: nequip's defaults at the size asked for."""
    return NequIPGNNModel(
        seed=1,
        model_dtype="float32",
        r_max=spec["cutoff"],
        type_names=["Cd", "Se"],
        num_layers=spec["layers"],
        l_max=spec["l_max"],
        parity=False,
        num_features=spec["channels"],
        avg_num_neighbors=spec.get("neighbours", 46.0),
        compile_mode=mode,
    ).eval()


def build_data(atoms: ase.Atoms, cutoff: float) -> AtomicDataDict.Type:
    """Graph of a structure of Cd and Se."""
    data = from_ase(atoms)
    data[AtomicDataDict.ATOM_TYPE_KEY] = torch.tensor((atoms.numbers == 34).astype(int))
    return compute_neighborlist_(data, cutoff)


def prepare(spec: dict, folder: Path):
    """(callable, structures per call, neighbours per atom) of one mode."""
    data = build_data(ase.io.read(spec["structure"]), spec["cutoff"])
    n_atoms = len(data[AtomicDataDict.POSITIONS_KEY])
    neighbours = data[AtomicDataDict.EDGE_INDEX_KEY].shape[1] / n_atoms
    mode = spec["mode"]
    if mode == "torchscript":
        from nequip.utils.versions import _TORCH_GE_2_10

        if _TORCH_GE_2_10:
            raise RuntimeError("TorchScript is refused by nequip with torch >= 2.10")
    if mode in ("eager", "torchscript"):
        model = build_model(spec, "eager")
        if mode == "torchscript":
            model = torch.jit.script(model)
        return (lambda: model(data)), 1, neighbours
    if mode == "compile":
        model = build_model(spec, "compile")
        batch = AtomicDataDict.batched_from_list([data, data])
        return (lambda: model(batch)), 2, neighbours
    from nequip.utils.aot import aot_export_model

    # names of the classes that nequip's own compile script uses for one structure
    dim = torch.export.dynamic_shapes.Dim
    batch_map = {
        "graph": torch.export.Dim.STATIC,
        "node": dim("num_nodes", min=2, max=torch.inf),
        "edge": dim("num_edges", min=2, max=torch.inf),
    }
    library = str(folder / "model.nequip.pt2")
    aot_export_model(
        model=build_model(spec, "eager"), device="cpu", input_fields=INPUTS,
        output_fields=OUTPUTS, data=data, batch_map=batch_map, output_path=library,
    )  # fmt: skip
    loaded = torch._inductor.aoti_load_package(library)
    arguments = [data[k] for k in INPUTS]
    return (lambda: loaded(*arguments)), 1, neighbours


def main() -> None:
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    spec = json.loads(sys.argv[1])
    torch.set_num_threads(1)
    set_global_state()
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        call, structures, neighbours = prepare(spec, Path(folder))
        call()
        call()  # the second call may still compile
        preparing = time.perf_counter() - began
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})  # one core, as the other rows
        wall, cpu = [], []
        begin = time.perf_counter()
        while len(wall) < 3 or time.perf_counter() - begin < spec["seconds"]:
            t0, c0 = time.perf_counter(), time.process_time()
            call()
            wall.append((time.perf_counter() - t0) / structures)
            cpu.append((time.process_time() - c0) / structures)
    result = {
        "repetitions": len(wall),
        "wall": statistics.median(wall),
        "wall_best": min(wall),
        "cpu": statistics.median(cpu),
        "cpu_best": min(cpu),
        "neighbours": neighbours,
        "compile_seconds": preparing,
        "version": f"nequip {nequip.__version__}, torch {torch.__version__}",
    }
    json.dump(result, sys.stdout)


if __name__ == "__main__":
    main()

# SPDX-License-Identifier: MIT
"""What each size of the network buys: held-out error against engine time, at equal training.

    python benchmarks/ablation.py [cdse] [mlearn-si] [acac] [--epochs N] [--under-load]
    python benchmarks/ablation.py --time            # engine times alone, on a quiet machine

One change at a time from `BASE`; every variant sees the same frames equally often, in batches of
the same size, so errors do not depend on how busy the machine was. The engine's time is that of
the model fitted to CdSe on a crystal of 1000 atoms, one core, mixed precision. Started again, it
goes on where it was. JSON and figure to benchmarks/results/ablation.*.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from ase import Atoms
from public_sets import ROOT, SHARED, prepare_mlearn
from support import machine, structures, workers

RESULTS = machine.RESULTS / "ablation.json"
BASE: dict[str, Any] = {
    "l_max": 2, "layers": 3, "channels": [32, 32, 32], "message_channels": 32, "knots": 64,
    "paths": "summed",
}  # fmt: skip
VARIANTS: dict[str, dict[str, Any]] = {
    "base": {},
    "separated paths": {"paths": "separated"},
    "64 channels": {"channels": [64, 64, 64], "message_channels": 64},
    "48 knots": {"knots": 48},
    "96 knots": {"knots": 96},
    "2 layers": {"layers": 2},
    "4 layers": {"layers": 4},
    "l_max 1": {"l_max": 1, "channels": [32, 32]},
    "l_max 3": {"l_max": 3, "channels": [32, 32, 32, 32]},
    "l_max 3, 4 layers": {"l_max": 3, "channels": [32, 32, 32, 32], "layers": 4},
    "l_max 1, 2 layers": {"l_max": 1, "channels": [32, 32], "layers": 2},
    "l_max 2, 64 channels, 2 layers": {
        "channels": [64, 64, 64], "message_channels": 64, "layers": 2,
    },
}  # fmt: skip
SETS: dict[str, dict[str, Any]] = {
    "cdse": {
        "what": "CdSe, this project's PBE frames; held out: a dot, and bulk at 600 K",
        "data": {
            "train": str(ROOT / "potentials/cdse/data/cdse-pbe.extxyz.xz"),
            "split": "info", "elements": ["Cd", "Se", "Cl"], "max_force": 15,
            "origin_weights": {"dimer-*": 0.02},
        },
        "batch_atoms": 192, "epochs": 400,
    },
    "mlearn-si": {
        "what": "silicon of Zuo et al. 2020; the published test frames",
        "data": {
            "train": str(ROOT / "fits/mlearn-si-data/training.extxyz"),
            "test": str(ROOT / "fits/mlearn-si-data/test.extxyz"),
            "split": "random", "valid_fraction": 0.1, "e0": "fit",
        },
        "batch_atoms": 192, "epochs": 80,
    },
    "acac": {
        "what": "acetylacetone trained at 300 K; the published test set at 600 K",
        "data": {
            "train": str(SHARED / "acac/train_300K.xyz.xz"),
            "test": str(SHARED / "acac/test_MD_600K.xyz.xz"),
            "split": "blocks", "valid_fraction": 0.1, "e0": "fit",
        },
        "batch_atoms": 150, "epochs": 150,
    },
}  # fmt: skip
CUTOFF = 5.0  # Å
# in the figure, points by variants that lie upon each other
LABELS = {
    "base": ("base, 48, 96 knots", (-70, -9)),
    "48 knots": ("", (0, 0)),
    "96 knots": ("", (0, 0)),
    "separated paths": ("separated paths", (-10, 6)),
    "4 layers": ("4 layers", (-6, -11)),
    "l_max 3": ("l_max 3", (6, -2)),
    "64 channels": ("64 channels", (6, -3)),
    "l_max 3, 4 layers": ("l_max 3, 4 layers", (-34, -12)),
}
TIMED = 1000  # atoms


def folder_of(set_name: str, variant: str) -> Path:
    return ROOT / "fits/ablation" / set_name / variant.replace(",", "").replace(" ", "-")


def fit(set_name: str, variant: str, epochs: int) -> dict[str, Any]:
    """Fit one variant; errors over its test frames."""
    from qdml_train.workflow import run_fit
    from rich.console import Console

    chosen, folder = SETS[set_name], folder_of(set_name, variant)
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "config.json"
    content = {
        "data": chosen["data"],
        "model": {"cutoff": CUTOFF, **BASE, **VARIANTS[variant]},
        "train": {
            "epochs": epochs, "batch_atoms": chosen["batch_atoms"], "learning_rate": 0.01,
            "validate_every": max(1, epochs // 25),
        },
        "output": str(folder / "fit"),
    }  # fmt: skip
    config.write_text(json.dumps(content, indent=1))
    began = time.process_time()
    found = run_fit(config, [], False, False, Console(), nve_length=0.0)
    test = found["summary"]["by_split"]["test"]
    return {
        "set": set_name,
        "variant": variant,
        "epochs": epochs,
        "training_cpu_s": round(time.process_time() - began, 1),
        "test": {k: v for k, v in test.items() if "mev" in k or k.startswith("n_")},
    }


def time_engine(model: str) -> dict[str, Any]:
    """µs per atom and step of libqdml on a crystal of CdSe."""
    import numpy as np
    from qdml.engine import Engine, build_neighbor_list

    atoms: Atoms = structures.crystal(TIMED)
    potential = Engine(model, "mixed")
    names = list(potential.info["species"])
    species = np.array([names.index(s) for s in atoms.get_chemical_symbols()], np.int32)
    start, neighbor, _, vector = build_neighbor_list(
        atoms.positions, atoms.cell.array, [True] * 3, CUTOFF
    )
    found = workers.repeat(
        lambda: potential.compute_graph(species, start, neighbor, vector), 5.0, 100
    )
    return {
        "engine_us_per_atom_step": round(1e6 * found["cpu_best"] / TIMED, 3),
        "neighbours": round(len(neighbor) / TIMED, 1),
        "isa": potential.info["isa"],
    }


def time_all(document: dict[str, Any], path: Path) -> None:
    """Engine times of the models fitted to CdSe, each in a process of one thread."""
    document["machine_of_times"] = machine.describe()
    for variant in VARIANTS:
        model = folder_of("cdse", variant) / "fit" / "model.qdml"
        if model.exists():
            done = subprocess.run(
                [sys.executable, __file__, "--time-one", str(model)],
                env=os.environ | {"OMP_NUM_THREADS": "1"}, check=True, capture_output=True,
                text=True,
            )  # fmt: skip
            document["times"][variant] = json.loads(done.stdout)
            print(variant, document["times"][variant], flush=True)
            machine.write(path, document)


def draw(document: dict[str, Any], path: Path) -> None:
    """Force error over engine time, one panel per set."""
    sets = [s for s in SETS if any(r["set"] == s for r in document["rows"])]
    figure, axes = plt.subplots(1, len(sets), figsize=(5.2 * len(sets), 4.2), squeeze=False)
    for axis, name in zip(axes[0], sets, strict=True):
        for row in document["rows"]:
            timed = document["times"].get(row["variant"])
            if row["set"] != name or timed is None:
                continue
            x, y = timed["engine_us_per_atom_step"], row["test"]["force_rmse_mev_per_angstrom"]
            axis.plot(x, y, "o", color="#d55e00" if row["variant"] == "base" else "#2b6cb0")
            label, place = LABELS.get(row["variant"], (row["variant"], (4, 3)))
            axis.annotate(label, (x, y), xytext=place, textcoords="offset points", fontsize=7)
        axis.set(xscale="log", xlabel="engine, µs per atom and step (one core)", title=name)
        axis.set_ylabel("test force RMSE (meV/Å)")
        axis.margins(x=0.25, y=0.1)
        axis.set_xticks([2, 5, 10, 20, 50], labels=["2", "5", "10", "20", "50"])
        axis.xaxis.set_minor_formatter(plt.NullFormatter())
    figure.tight_layout()
    figure.savefig(path.with_suffix(".png"), dpi=110)


def markdown(document: dict[str, Any]) -> str:
    """The table of all sets, as docs/training.md has it: force RMSE / energy MAE."""
    sets = [s for s in SETS if any(r["set"] == s for r in document["rows"])]
    lines = [
        "| variant | change | engine, µs/atom-step | training, CPU s | "
        + " | ".join(f"{name}: meV/Å, meV/atom" for name in sets)
        + " |",
        "|---|---|---|---|" + "---|" * len(sets),
    ]
    for variant, changed in VARIANTS.items():
        found = {r["set"]: r for r in document["rows"] if r["variant"] == variant}
        change = ", ".join(f"{k} {v}" for k, v in (changed or BASE).items())
        timed = document["times"].get(variant)
        engine = f"{timed['engine_us_per_atom_step']:.1f}" if timed else "-"
        cost = ", ".join(f"{found[s]['training_cpu_s']:.0f}" for s in sets if s in found)
        cells = [
            f"{found[s]['test']['force_rmse_mev_per_angstrom']:.0f}, "
            f"{found[s]['test']['energy_mae_mev_per_atom']:.1f}"
            if s in found
            else "-"
            for s in sets
        ]
        lines.append(f"| {variant} | {change} | {engine} | {cost} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sets", nargs="*", choices=[[], *SETS], help="default all")
    parser.add_argument("--epochs", type=int, help="instead of those of SETS")
    parser.add_argument("--variants", nargs="*", default=list(VARIANTS), choices=list(VARIANTS))
    parser.add_argument("--time", action="store_true", help="engine times alone")
    parser.add_argument("--time-one", help=argparse.SUPPRESS)
    parser.add_argument("--under-load", action="store_true", help="fit beside other work")
    parser.add_argument("--output", type=Path, default=RESULTS)
    options = parser.parse_args()
    if options.time_one:
        print(json.dumps(time_engine(options.time_one)))
        return
    machine.require_quiet(machine.describe(), options.under_load)
    document: dict[str, Any] = {"base": BASE, "cutoff": CUTOFF, "rows": [], "times": {}}
    if options.output.exists():
        document |= json.loads(options.output.read_text())
    if not options.time:
        document["machine"] = machine.describe()
        prepare_mlearn(ROOT / "fits" / "mlearn-si-data")
        for name in options.sets or SETS:
            epochs = options.epochs or SETS[name]["epochs"]
            for variant in options.variants:
                same = {"set": name, "variant": variant, "epochs": epochs}
                if not any(same.items() <= row.items() for row in document["rows"]):
                    document["rows"].append(fit(name, variant, epochs))
                    machine.write(options.output, document)
    else:
        time_all(document, options.output)
    draw(document, options.output)
    for name in dict.fromkeys(row["set"] for row in document["rows"]):
        print(f"{name}: {SETS[name]['what']}")
    print(markdown(document))


if __name__ == "__main__":
    main()

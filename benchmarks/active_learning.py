# SPDX-License-Identifier: MIT
"""The loop of docs/active-learning.md run with DFT: dots of PbSe, from frames without any dot.

Round 0 is a committee of three fits to the bulk, slabs and clusters of `potentials/pbse/data`.
Every round runs the dots at 300 and 600 K with one member, lets `select` pick what the committee
is unsure of, labels that with CP2K, and goes on with the fits. The errors are those of the test
frames of the archive: a dot that no round sees, and bulk at 600 K. `compare` fits the same network
from random weights to what the loop gathered and, instead, to the frames of dots of the archive,
which come from runs of a universal potential.

Usage: python benchmarks/active_learning.py [--rounds 3] [--budget 6] [--folder fits/loop]
       python benchmarks/active_learning.py compare

Every step is a command of the page and is skipped where its output exists, so a stopped run goes
on. Results and figure go to results/active_learning.*, the labelled frames stay in the folder.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import ase.io
import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from support import machine

ROOT = Path(__file__).resolve().parents[1]
ARCHIVE = ROOT / "potentials/pbse/data/pbse-pbe.extxyz.xz"
RESULTS = machine.RESULTS / "active_learning.json"
MEMBERS = "abc"
CONFIG = {
    "data": {"split": "info", "max_force": 15, "origin_weights": {"dimer-*": 0.02}},
    "model": {
        "cutoff": 5.0, "l_max": 2, "layers": 3, "channels": [32, 32, 16], "message_channels": 32,
    },
    "train": {"batch_atoms": 192, "learning_rate": 0.01, "validate_every": 10},
    "level_of_theory": "PBE",
}  # fmt: skip
FIRST_EPOCHS, MORE_EPOCHS = 300, 150
TEMPERATURES = (300, 600)  # K
MD = ["--steps", "2000", "--timestep", "2", "--every", "40"]


class Loop:
    """The folder of a run and the commands of its rounds."""

    def __init__(self, folder: Path, budget: int, workers: int) -> None:
        self.folder, self.budget, self.workers = folder, budget, workers

    def command(self, words: list[str], log: Path) -> None:
        """Run `qdml ...` or `python -m qdml_train ...`; an error ends the run with its output."""
        if words[0] == "qdml_train":
            words = ["-m", *words]
        else:
            words = [str(Path(sys.executable).with_name("qdml")), *words[1:]]
        with log.open("w") as out:
            done = subprocess.run(
                [sys.executable, *words], cwd=self.folder, stdout=out, check=False,
                stderr=subprocess.STDOUT, env=os.environ | {"JAX_PLATFORMS": "cpu"},
            )  # fmt: skip
        if done.returncode:
            raise SystemExit(f"{' '.join(words)} failed:\n{log.read_text()[-2000:]}")

    def prepare(self) -> None:
        """Frames of round 0, and the dots to run: the first frame of each in the archive."""
        self.folder.mkdir(parents=True, exist_ok=True)
        frames = [f for f in ase.io.read(ARCHIVE, ":") if not is_selected(f)]
        first = [f for f in frames if not is_dot(f) or f.info["split"] == "test"]
        starts: dict[str, Any] = {}
        for frame in frames:
            if is_dot(frame) and frame.info["split"] != "test":
                starts.setdefault(frame.info["origin"], frame)
        dots = [f for f in frames if is_dot(f) and f.info["split"] != "test"]
        for name, content in (("first", first), ("starts", [*starts.values()]), ("dots", dots)):
            path = self.folder / f"{name}.extxyz"
            if not path.exists():
                ase.io.write(path, content, format="extxyz")
        (self.folder / "run.yaml").write_text(json.dumps(CONFIG, indent=1))

    def data(self, n: int) -> list[str]:
        """Files a committee of round n is fitted to."""
        return ["first.extxyz", *(f"round{k}/labelled.extxyz" for k in range(1, n + 1))]

    def fit(self, output: str, data: list[str], epochs: int, seed: int, start: str = "") -> None:
        """One fit; an interrupted one goes on from its checkpoint."""
        if (self.folder / output / "report.html").exists():
            return
        (self.folder / output).parent.mkdir(parents=True, exist_ok=True)
        more = [f"train.from={start}", "train.learning_rate=0.005"] if start else []
        self.command(
            ["qdml_train", "fit", "run.yaml", f"data.train=[{', '.join(data)}]",
             f"train.epochs={epochs}", f"train.seed={seed}", f"output={output}", *more],
            self.folder / f"{output.replace('/', '-')}.log",
        )  # fmt: skip

    def committee(self, n: int) -> list[str]:
        """The three fits of round n, and their errors on the test frames of the archive."""
        models = []
        for seed, member in enumerate(MEMBERS, 1):
            start = f"round{n - 1}/{member}/model.qdml" if n else ""
            epochs = MORE_EPOCHS if n else FIRST_EPOCHS
            self.fit(f"round{n}/{member}", self.data(n), epochs, seed, start)
            models.append(f"round{n}/{member}/model.qdml")
        self.evaluate(models, f"round{n}/test.json")
        return models

    def evaluate(self, models: list[str], output: str) -> None:
        if not (self.folder / output).exists():
            self.command(
                ["qdml_train", "eval", *models, "--data", "first.extxyz", "--split", "test",
                 "--nve", "0", "-o", output], self.folder / "eval.log",
            )  # fmt: skip

    def gather(self, n: int, models: list[str]) -> bool:
        """Run, select and label for round n; False when `select` finds nothing left."""
        folder = self.folder / f"round{n}"
        folder.mkdir(exist_ok=True)
        if not (folder / "md.extxyz").exists():
            temperatures = [word for t in TEMPERATURES for word in ("-T", str(t))]
            self.command(
                ["qdml", "sample", "md", "--from", "starts.extxyz", "--model", models[0],
                 *temperatures, *MD, "--seed", str(n), "-o", f"round{n}/md.extxyz"],
                folder / "md.log",
            )  # fmt: skip
        if not (folder / "picked.extxyz").exists():
            chosen = [word for model in models for word in ("--model", model)]
            known = [word for file in self.data(n - 1) for word in ("--data", file)]
            try:
                self.command(
                    ["qdml_train", "select", f"round{n}/md.extxyz", *chosen, *known,
                     "--budget", str(self.budget), "-o", f"round{n}/picked.extxyz"],
                    folder / "select.log",
                )  # fmt: skip
            except SystemExit as stop:
                if "no sound frame is uncertain" not in str(stop):
                    raise
                return False
        self.command(
            ["qdml", "label", f"round{n}/picked.extxyz", "-o", f"round{n}/labelled.extxyz",
             "--code", "cp2k", "--workers", str(self.workers)], folder / "label.log",
        )  # fmt: skip
        return True

    def row(self, n: int) -> dict[str, Any]:
        """What round n gathered, and the errors of its committee."""
        folder = self.folder / f"round{n}"
        row: dict[str, Any] = {"round": n, "frames": count_training(self.folder, self.data(n))}
        if n:
            labelled = ase.io.read(folder / "labelled.extxyz", ":")
            row["picked"] = Counter(f.info["origin"] for f in labelled)
            row["max_force_spread"] = [round(f.info["max_force_spread"], 3) for f in labelled]
            row["label_cpu_s"] = round(sum(f.info["label_seconds"] for f in labelled))
            row["select"] = (folder / "select.log").read_text().splitlines()
        return row | {"test": errors(folder / "test.json")}


def is_dot(frame: Any) -> bool:
    return frame.info["origin"].startswith("dot-")


def is_selected(frame: Any) -> bool:
    """Whether an earlier run of this loop put the frame into the archive."""
    return frame.info["origin"].startswith("select-")


def count_training(folder: Path, files: list[str]) -> dict[str, int]:
    """Training frames of some files: all, and those of dots."""
    frames = [f for file in files for f in ase.io.read(folder / file, ":")
              if f.info["split"] == "train"]  # fmt: skip
    dots = sum("dot-" in f.info["origin"] for f in frames)
    return {"train": len(frames), "of_dots": dots}


def errors(path: Path) -> dict[str, Any]:
    """Errors of the held-out dot and of bulk at 600 K, and how well the spread tells them."""
    document = json.loads(path.read_text())
    rows = {}
    for origin, row in document["summary"]["by_origin"].items():
        name = origin.split("/")[-1]
        rows[name] = {k: v for k, v in row.items() if "mev" in k or k.startswith("n_")}
    return {"by_origin": rows, "force_error_over_spread": error_over_spread(document["frames"])}


def error_over_spread(frames: list[dict[str, Any]]) -> float | None:
    """Rms force error of the held-out dot over the rms spread of the members; 1 is calibrated."""
    error, spread = 0.0, 0.0
    for frame in frames:
        if frame["origin"].startswith("dot-") and "spread" in frame["forces"]:
            forces = frame["forces"]
            error += np.sum((np.array(forces["predicted"]) - np.array(forces["reference"])) ** 2)
            spread += np.sum(np.array(forces["spread"]) ** 2)
    return round(float(np.sqrt(error / spread)), 2) if spread else None


def dot_of(test: dict[str, Any]) -> dict[str, float]:
    """The row of the held-out dot."""
    return next(row for name, row in test["by_origin"].items() if name.startswith("dot-"))


def draw(document: dict[str, Any], path: Path) -> None:
    """Learning curve of the held-out dot; the comparison fits as open marks."""
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.8))
    rows = document["rounds"]
    x = [row["frames"]["of_dots"] for row in rows]
    for axis, key, label in (
        (axes[0], "force_rmse_mev_per_angstrom", "force RMSE, meV/Å"),
        (axes[1], "energy_mae_mev_per_atom", "energy MAE, meV/atom"),
    ):
        axis.plot(x, [dot_of(r["test"])[key] for r in rows], "o-", color="#2b6cb0",
                  label="the loop, committee of 3")  # fmt: skip
        for name, mark, colour in (
            ("selected", "s", "#2b6cb0"), ("sampled", "^", "#b7562b"),
        ):  # fmt: skip
            if name in document.get("from_random_weights", {}):
                found = document["from_random_weights"][name]
                axis.plot([found["frames"]["of_dots"]], [dot_of(found["test"])[key]], mark,
                          color=colour, mfc="none", ms=9,
                          label=f"random weights, {name} frames")  # fmt: skip
        axis.set(xlabel="labelled frames of dots", ylabel=label)
        axis.xaxis.set_major_locator(plt.MaxNLocator(integer=True))
        axis.set_ylim(0, 1.1 * axis.dataLim.y1)
        axis.grid(alpha=0.3)
    axes[0].legend(frameon=False, fontsize=9)
    figure.suptitle("PbSe, held-out dot: active learning from bulk, slabs, clusters", fontsize=11)
    figure.tight_layout()
    figure.savefig(path, dpi=130)
    plt.close(figure)


def compare(loop: Loop, rounds: int) -> dict[str, Any]:
    """One fit from random weights to all selected frames, one to the sampled frames instead."""
    found = {}
    epochs = FIRST_EPOCHS + rounds * MORE_EPOCHS
    for name, data in (("selected", loop.data(rounds)),
                       ("sampled", ["first.extxyz", "dots.extxyz"])):  # fmt: skip
        loop.fit(f"compare/{name}", data, epochs, 1)
        loop.evaluate([f"compare/{name}/model.qdml"], f"compare/{name}.json")
        test = errors(loop.folder / f"compare/{name}.json")
        found[name] = {"frames": count_training(loop.folder, data), "epochs": epochs, "test": test}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", nargs="?", choices=("loop", "compare"), default="loop")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--budget", type=int, default=6, help="frames a round")
    parser.add_argument("--workers", type=int, default=2, help="DFT calculations at a time")
    parser.add_argument("--folder", type=Path, default=ROOT / "fits/loop")
    options = parser.parse_args()
    loop = Loop(options.folder.resolve(), options.budget, options.workers)
    loop.prepare()
    document = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    if options.what == "compare":
        document["from_random_weights"] = compare(loop, len(document["rounds"]) - 1)
    else:
        document |= {"machine": machine.describe(), "epochs": [FIRST_EPOCHS, MORE_EPOCHS],
                     "config": CONFIG, "rounds": []}  # fmt: skip
        models = loop.committee(0)
        document["rounds"].append(loop.row(0))
        for n in range(1, options.rounds + 1):
            if not loop.gather(n, models):
                print(f"round {n}: nothing uncertain is left")
                break
            models = loop.committee(n)
            document["rounds"].append(loop.row(n))
            machine.write(RESULTS, document)
            draw(document, RESULTS.with_suffix(".png"))
            dot = dot_of(document["rounds"][-1]["test"])
            print(f"round {n}: {dot}", flush=True)
    machine.write(RESULTS, document)
    draw(document, RESULTS.with_suffix(".png"))


if __name__ == "__main__":
    main()
